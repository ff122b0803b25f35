"""The mechanism of Co-mining, for any detector of detectron2."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.structures import ImageList, Instances
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor

from comining.counted import counted
from comining.errors import InputError

from .agreement import seen_in_both
from .dense import Detector
from .known import Known
from .labels import Labels, annotated_labels
from .methods import Method, Step, build_method
from .mining_log import MiningLog
from .origin import Origin
from .predictions import Predictions
from .teacher import evaluated_weights, settings_of
from .two_views import TwoViews
from .view import SecondView, random_seed, view_rng

#: Suffixes of the two branches' losses: of the original view and of the augmented one.
BRANCHES = ("", "_aug")


class TwoViewDetector(Detector):
    """Trains a detector on two views whose confident predictions label each other.

    In training, one forward pass sees the original and the second view of every image, and a
    `Method` decides what either branch learns of what they detect (as published, what the other one
    is confident of: Co-mining, Wang et al., AAAI 2021). At inference the detector is the plain one,
    to which the class adds no parameters.

    It comes before a detector among the bases of a class that defines `predict_views` and what
    `Detector` asks for, and that calls `train_branches`. `CoMining` is that of dense detectors.
    """

    def __init__(
        self,
        *,
        view: SecondView,
        method: Method,
        seed: int = -1,
        vis_period: int = 0,
        max_iter: int | None = None,
        **detector: Any,
    ) -> None:
        """
        Args:
            view: makes the second view of images that do not bring one.
            method: decides what the branches learn beside the annotations.
            seed: of the second views; below 0, a random one.
            vis_period: a picture is logged every so many iterations; 0 for never.
            max_iter: how many iterations a training has, to be told to the method; None if that is
                not known.
            detector: arguments of the detector.

        Raises:
            InputError: the detector's input does not have three channels.
        """
        super().__init__(**detector)
        if len(self.pixel_mean) != 3:
            raise InputError(
                f"MODEL.PIXEL_MEAN has {counted(len(self.pixel_mean), 'channels')}; Co-mining's "
                "colour jitter needs three"
            )
        self.view = view
        self.method = method
        for name, module in method.modules().items():
            self.add_module(name, module)
        self.max_iter = max_iter
        self.seed = seed if seed >= 0 else random_seed()
        self.mining_log = MiningLog(BRANCHES, self.num_classes, vis_period)
        self._last_batch = (-1, 0)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        settings_of(cfg)
        detector = super().from_config(cfg)
        return {
            **detector,
            "view": SecondView(cfg),
            "method": build_method(cfg, cls.count_classes(detector)),
            "seed": cfg.SEED,
            "vis_period": cfg.VIS_PERIOD,
            "max_iter": cfg.SOLVER.MAX_ITER,
        }

    @classmethod
    def count_classes(cls, detector: dict[str, Any]) -> int | None:
        """The number of classes that a detector's arguments tell; None if they don't."""
        return detector.get("num_classes")

    def predict_views(self, images: ImageList) -> Any:
        """The network's predictions in whatever form the methods of `Detector` want.

        Args:
            images: B, normalised and padded.
        """
        raise NotImplementedError

    def ask_teacher(self, images: TwoViews) -> Predictions | None:
        """What the teacher predicts on a batch; None if there is none."""
        return None

    @torch.no_grad()
    def mine_images(
        self, batched_inputs: list[dict[str, Any]], score_thresh: float | None = None
    ) -> list[Labels]:
        """What mining finds in the given images by themselves, in evaluation mode.

        If the method mines what both views of an image show (`Method.asks_both_views`), and second
        views may be mirrored, the mirror image must show it here, and a box has its lower score in
        the two; else the image is asked alone.

        Args:
            batched_inputs: N items with ``image``, as for inference. Mirror images have no other
                key.
            score_thresh: in [0, 1], on the same scores as `score_thresholds`; None for these.

        Returns:
            N labels by descending score, in the frame of ``image``; those of a dense detector
            are not clipped to it.
            `is_known` tells which of them are no news.
        """
        if self.training:
            raise RuntimeError("mine_images works in evaluation mode: call eval() first")
        method = self.method
        floor = method.floor if score_thresh is None else score_thresh
        if method.one_per_place:
            floor = min(floor, method.floor)
        found = self._find(batched_inputs, floor)
        if self.asks_mirror_image:
            mirrored = [{"image": item["image"].flip(2)} for item in batched_inputs]
            widths = [item["image"].shape[2] for item in batched_inputs]
            there = self._find(mirrored, floor)
            found = seen_in_both(found, there, widths)
        if score_thresh is None:
            thresholds = method.thresholds()
            if thresholds is not None:
                found = found.select(found.scores > thresholds[found.classes])
        elif method.one_per_place:
            found = found.select(found.scores > score_thresh)
        return found.split(len(batched_inputs))

    @property
    def asks_mirror_image(self) -> bool:
        """Whether `mine_images` asks the mirror image, too."""
        return self.method.asks_both_views and self.view.flip_prob > 0

    def score_thresholds(self) -> list[float]:
        """By class, the score above which predictions are mined; 1 where nothing is.

        A fixed threshold is on the class score. Those that a method has come to in the training are
        on what the detector ranks by: FCOS on sqrt(class score x centerness).
        """
        thresholds = self.method.thresholds()
        if thresholds is None:
            return [self.method.floor] * self.num_classes
        return thresholds.clamp(max=1).tolist()

    def is_known(self, mined: Labels, annotated: Labels) -> Tensor:
        """Tell which mined boxes are no news, since something is annotated there.

        Args:
            mined, annotated: labels in the same frame, P and M rows.

        Returns:
            (P,) bool.
        """
        return self.method.is_known(mined, annotated)

    def _find(self, batched_inputs: list[dict[str, Any]], score_thresh: float) -> Labels:
        images = self.preprocess_image(batched_inputs)
        with evaluated_weights(self):
            outputs = self.predict_views(images)
        return self.detections(outputs, score_thresh, one_per_place=self.method.one_per_place)

    def _predictions(
        self, outputs: Any, images: TwoViews, floor: float, *, of_both: bool = True
    ) -> Predictions:
        one_per_place = self.method.one_per_place
        return Predictions(
            self, outputs, images, floor=floor, one_per_place=one_per_place, of_both=of_both
        )

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """In training, normalise, pad and batch both views; else the detector's own way."""
        if not self.training:
            return super().preprocess_image(batched_inputs)
        (iteration, batch), rank = self._next_batch(), comm.get_rank()
        rngs = [
            view_rng(self.seed, iteration, rank, index, batch)
            for index in range(len(batched_inputs))
        ]
        views, flipped = self.view.of_batch(batched_inputs, rngs)
        both = [{"image": item["image"]} for item in batched_inputs + views]
        images = super().preprocess_image(both)
        withheld = [item.get("withheld") for item in batched_inputs]
        known = Known.of_batch(batched_inputs, self.num_classes, self.device)
        origins = [Origin.of_item(item) for item in batched_inputs]
        return TwoViews(images.tensor, images.image_sizes, flipped, withheld, known, origins)

    def _next_batch(self) -> tuple[int, int]:
        """The iteration, and how many batches it has had before.

        It has several where gradients are accumulated. For detectron2's PreciseBN every batch is
        one of iteration 0.
        """
        iteration = get_event_storage().iter
        last_iteration, batch = self._last_batch
        self._last_batch = (iteration, batch + 1 if iteration == last_iteration else 0)
        return self._last_batch

    def train_branches(
        self, images: TwoViews, outputs: Any, gt_instances: list[Instances]
    ) -> dict[str, Tensor]:
        """The detector's losses of both branches, against annotated and mined boxes.

        Args:
            images: the 2N images.
            outputs: of `predict_views` on them.
            gt_instances: the annotations of the N images, in the original's frame.

        Returns:
            Each loss of the detector, and with the suffix "_aug" the same of the second view.
        """
        # detectron2's PreciseBN passes batches that only batch normalisation is to learn from.
        is_step = torch.is_grad_enabled()
        with torch.no_grad():
            annotated = images.in_both_views(annotated_labels(gt_instances))
            found = self._predictions(outputs, images, self.method.floor)
            step = Step(
                images=images,
                detections=found.detections,
                annotated=annotated,
                iteration=get_event_storage().iter,
                batch=self._last_batch[1],
                max_iter=self.max_iter,
                is_learning=is_step,
                pictures=self._to_rgb,
                predictions=found,
                teacher=self.ask_teacher(images),
                known=images.known,
            )
            supervision = self.method.supervise(step)
            if step.known is not None:
                supervision = supervision.within(step.known)
            targets = supervision.targets(annotated).split(len(images))
            if is_step:
                self.mining_log(step, supervision, self._to_rgb)
        known = {} if images.known is None else {"known": images.known}
        losses = self.branch_losses(outputs, targets, supervision.background, **known)
        return {
            name + suffix: values[branch]
            for branch, suffix in enumerate(BRANCHES)
            for name, values in losses.items()
        }

    def _to_rgb(self, views: Tensor) -> Tensor:
        """The model's input (N, 3, H, W) as pictures, uint8."""
        pixels = (views * self.pixel_std + self.pixel_mean).round().clamp(0, 255).to(torch.uint8)
        return pixels.flip(1) if self.view.is_bgr else pixels
