"""The mechanism of Co-mining, for any dense detector of detectron2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.structures import ImageList, Instances
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor

from comining.errors import InputError

from .adaptive import CLOSE_IOU, FLOOR, AdaptiveThresholds, build_adaptive_thresholds
from .agreement import seen_in_both
from .labels import HIT_IOU, IGNORED_CLASS, Labels, annotated_labels, overlap_any
from .mining import suppress
from .mining_log import MiningLog
from .transfer import move_batch
from .two_views import TwoViews
from .view import SecondView, random_seed, view_rng

#: Suffixes of the two branches' losses: of the original view and of the augmented one.
BRANCHES = ("", "_aug")
#: The largest score of a mined box that an adaptive threshold lets through: 1 marks annotated ones.
BELOW_1 = 1 - 2**-24


class CoMining(DenseDetector):
    """Trains a dense detector on two views whose confident predictions label each other.

    Use it as the first base class of a detector: ``class CoMiningX(CoMining, X)``. In training,
    one forward pass sees the original and the second view of every image. What either branch
    detects confidently becomes extra ground truth for the other (Co-mining, Wang et al., AAAI
    2021); with adaptive thresholds, what both detect. At inference the detector is plain ``X``, to
    which the class adds no parameters.

    A detector defines `dense_outputs`, `mine` and `branch_losses`; all else is common.
    """

    def __init__(
        self,
        *,
        view: SecondView,
        score_thresh: float = 0.6,
        adaptive: AdaptiveThresholds | None = None,
        iou_thresh: float = 0.4,
        crosswise: bool = True,
        seed: int = -1,
        vis_period: int = 0,
        **detector: Any,
    ) -> None:
        """
        Args:
            view: makes the second view of images that do not bring one.
            score_thresh: predictions scored above become labels of the other branch; in [0, 1].
            adaptive: finds the threshold instead of it, and what to ignore.
            iou_thresh: with a fixed threshold, a mined box whose IoU with an annotated one of its
                class is above is no news and dropped; in [0, 1].
            crosswise: whether each branch labels the other one; else itself.
            seed: of the second views; below 0, a random one.
            vis_period: a picture is logged every so many iterations; 0 for never.
            detector: arguments of the detector.

        Raises:
            InputError: a value is outside its range, or the detector's input does not have three
                channels.
        """
        super().__init__(**detector)
        for name, value in (("SCORE_THRESH", score_thresh), ("IOU_THRESH", iou_thresh)):
            if not 0 <= value <= 1:
                raise InputError(f"MODEL.COMINING.{name} is {value}; it must be between 0 and 1")
        if len(self.pixel_mean) != 3:
            raise InputError(
                f"MODEL.PIXEL_MEAN has {len(self.pixel_mean)} channels; Co-mining's colour jitter "
                "needs three"
            )
        self.view = view
        self.score_thresh = score_thresh
        self.adaptive = adaptive
        self.iou_thresh = iou_thresh
        self.crosswise = crosswise
        self.seed = seed if seed >= 0 else random_seed()
        self.mining_log = MiningLog(BRANCHES, self.num_classes, vis_period)
        self._last_batch = (-1, 0)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        if "COMINING" not in cfg.MODEL:
            raise InputError(
                "the config lacks MODEL.COMINING: call comining.add_comining_config(cfg) before "
                "merging files into it"
            )
        detector = super().from_config(cfg)
        return {
            **detector,
            "view": SecondView(cfg),
            "score_thresh": cfg.MODEL.COMINING.SCORE_THRESH,
            "adaptive": build_adaptive_thresholds(cfg, detector.get("num_classes")),
            "iou_thresh": cfg.MODEL.COMINING.IOU_THRESH,
            "crosswise": cfg.MODEL.COMINING.CROSSWISE,
            "seed": cfg.SEED,
            "vis_period": cfg.VIS_PERIOD,
        }

    def dense_outputs(self, features: list[Tensor], predictions: list[list[Tensor]]) -> Any:
        """The head's predictions in whatever form the detector's two other methods want.

        Args:
            features: per level (2N, C, H, W).
            predictions: the head's output on them.
        """
        raise NotImplementedError

    def mine(self, outputs: Any, score_thresh: float, max_per_image: int) -> Labels:
        """What the detector is confident of, by its own rules of thresholding and suppression.

        Args:
            outputs: from `dense_outputs`.
            score_thresh: class scores above count; in [0, 1].
            max_per_image: at most that many, the best-scored, of an image.

        Returns:
            Labels of the 2N images, boxes in the frame of their view and not clipped to it.
        """
        raise NotImplementedError

    def branch_losses(self, outputs: Any, labels: Sequence[Labels]) -> dict[str, Tensor]:
        """The detector's losses against ``labels``, of both branches.

        Args:
            outputs: from `dense_outputs`.
            labels: ground truth of each of the 2N images. Of those that score less than 1 only the
                class is learnt.

        Returns:
            By the detector's own loss names, a tensor (2,): the loss of the original branch and
            of the augmented one, each normalised by itself.
        """
        raise NotImplementedError

    @torch.no_grad()
    def mine_images(
        self, batched_inputs: list[dict[str, Any]], score_thresh: float | None = None
    ) -> list[Labels]:
        """What mining finds in the given images by themselves, in evaluation mode.

        With adaptive thresholds a training needs both views to show an object. So if its second
        views may be mirrored, the mirror image must show it here, and a box has its lower score in
        the two; else the image is asked alone.

        Args:
            batched_inputs: N items with ``image``, as for inference. Mirror images have no other
                key.
            score_thresh: in [0, 1], on the same scores as `score_thresholds`; None for these.

        Returns:
            N labels by descending score, in the frame of ``image`` and not clipped to it.
            `is_known` tells which of them are no news.
        """
        if self.training:
            raise RuntimeError("mine_images works in evaluation mode: call eval() first")
        num_images = len(batched_inputs)
        outputs = self._outputs(batched_inputs)
        if self.adaptive is None:
            above = self.score_thresh if score_thresh is None else score_thresh
            return self.mine(outputs, above, self.max_detections_per_image).split(num_images)
        floor = FLOOR if score_thresh is None else min(FLOOR, score_thresh)
        found = self._one_per_place(outputs, floor)
        if self.asks_mirror_image:
            mirrored = [{"image": item["image"].flip(2)} for item in batched_inputs]
            widths = [item["image"].shape[2] for item in batched_inputs]
            found = seen_in_both(found, self._one_per_place(self._outputs(mirrored), floor), widths)
        if score_thresh is None:
            mined = found.select(found.scores > self.adaptive.thresholds()[0][found.classes])
        else:
            mined = found.select(found.scores > score_thresh)
        return mined.split(num_images)

    @property
    def asks_mirror_image(self) -> bool:
        """Whether `mine_images` asks the mirror image, too."""
        return self.adaptive is not None and self.view.flip_prob > 0

    def score_thresholds(self) -> list[float]:
        """By class, the score above which predictions are mined; 1 where nothing is.

        A fixed threshold is on the class score. Adaptive ones are those that the training has come
        to, on what the detector ranks by: FCOS on sqrt(class score x centerness).
        """
        if self.adaptive is None:
            return [self.score_thresh] * self.num_classes
        return self.adaptive.thresholds()[0].clamp(max=1).tolist()

    def is_known(self, mined: Labels, annotated: Labels) -> Tensor:
        """Tell which mined boxes are no news, since something is annotated there.

        Args:
            mined, annotated: labels in the same frame, P and M rows.

        Returns:
            (P,) bool.
        """
        if self.adaptive is None:
            return overlap_any(mined, annotated, self.iou_thresh)
        return overlap_any(mined, annotated, CLOSE_IOU, class_wise=False)

    def _outputs(self, batched_inputs: list[dict[str, Any]]) -> Any:
        images = self.preprocess_image(batched_inputs)
        backbone_features = self.backbone(images.tensor)
        features = [backbone_features[name] for name in self.head_in_features]
        return self.dense_outputs(features, self.head(features))

    def _one_per_place(self, outputs: Any, score_thresh: float) -> Labels:
        """Detections of all images, of every place but the best-scored class."""
        # Of a crowded image they may be more than the limit, which is meant for places.
        found = self.mine(outputs, score_thresh, sys.maxsize)
        return suppress(found, HIT_IOU, self.max_detections_per_image, class_wise=False)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """detectron2's ``DenseDetector.forward``."""
        if self.training:
            batched_inputs = move_batch(batched_inputs, self.device)
        return super().forward(batched_inputs)

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """In training, normalise, pad and batch both views; else the detector's own way."""
        if not self.training:
            return super().preprocess_image(batched_inputs)
        (iteration, batch), rank = self._next_batch(), comm.get_rank()
        originals, views, flipped, withheld = [], [], [], []
        for index, item in enumerate(batched_inputs):
            image = item["image"]
            name = item.get("file_name", f"image {index} of the batch")
            if len(image) != 3:
                raise InputError(
                    f"{name} has {len(image)} channels; Co-mining needs three: convert it to RGB"
                )
            if "image_aug" in item:
                view, flip = item["image_aug"], False
                if view.shape != image.shape:
                    raise InputError(
                        f"'image_aug' of {name} has shape "
                        f"{tuple(view.shape)}, its 'image' {tuple(image.shape)}: a mapper's second "
                        "view must keep the frame of the first"
                    )
            else:
                draw = self.view.draw(view_rng(self.seed, iteration, rank, index, batch))
                view, flip = self.view.make(image, draw), draw.flip
            originals.append({"image": image})
            views.append({"image": view})
            flipped.append(flip)
            withheld.append(item.get("withheld"))
        images = super().preprocess_image(originals + views)
        return TwoViews(images.tensor, images.image_sizes, flipped, withheld)

    def _next_batch(self) -> tuple[int, int]:
        """The iteration, and how many batches it has had before.

        It has several where gradients are accumulated. For detectron2's PreciseBN every batch is
        one of iteration 0.
        """
        iteration = get_event_storage().iter
        last_iteration, batch = self._last_batch
        self._last_batch = (iteration, batch + 1 if iteration == last_iteration else 0)
        return self._last_batch

    def forward_training(
        self,
        images: TwoViews,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """The detector's losses of both branches, against annotated and mined boxes.

        Args:
            images: the 2N images.
            features: per level (2N, C, H, W).
            predictions: the head's output on them.
            gt_instances: the annotations of the N images, in the original's frame.

        Returns:
            Each loss of the detector, and with the suffix "_aug" the same of the second view.
        """
        # detectron2's PreciseBN passes batches that only batch normalisation is to learn from.
        is_step = torch.is_grad_enabled()
        outputs = self.dense_outputs(features, predictions)
        with torch.no_grad():
            annotated = images.in_both_views(annotated_labels(gt_instances))
            confident, ignored, thresholds = self._confident(outputs, annotated, learn=is_step)
            others = images.to_other_view(confident)
            found, witness = confident, others
            if self.crosswise:
                found, witness = others, confident
                ignored = images.to_other_view(ignored)
            is_news = ~self.is_known(found, annotated)
            if self.adaptive is None:  # as published: mined boxes are as good as annotated ones
                mined = found.select(is_news)
                scores = torch.ones_like(mined.scores)
            else:
                is_agreed = overlap_any(found, witness, HIT_IOU)
                mined, of_one_view = found.select_each(is_news & is_agreed, is_news & ~is_agreed)
                ignored = Labels.cat((_as_ignored(of_one_view), ignored))
                scores = mined.scores.clamp(max=BELOW_1)
            learnt = mined._replace(scores=scores)
            labels = Labels.cat((annotated, learnt, ignored)).split(len(images))
            if is_step:
                self.mining_log(
                    images,
                    self._to_rgb,
                    confident=confident,
                    others=others,
                    annotated=annotated,
                    mined=mined,
                    ignored=ignored,
                    thresholds=thresholds,
                )
        losses = self.branch_losses(outputs, labels)
        return {
            name + suffix: values[branch]
            for branch, suffix in enumerate(BRANCHES)
            for name, values in losses.items()
        }

    def _confident(
        self, outputs: Any, annotated: Labels, *, learn: bool
    ) -> tuple[Labels, Labels, dict[str, Tensor]]:
        """What each view's detector is confident of, what of the rest is to be ignored, and the
        mean thresholds, to be logged."""
        if self.adaptive is None:
            mined = self.mine(outputs, self.score_thresh, self.max_detections_per_image)
            return mined, Labels(*(field[:0] for field in mined)), {}
        if learn and get_event_storage().iter == 0:
            self.adaptive.reset()  # of weights that only begin this training
        found = self._one_per_place(outputs, FLOOR)
        mine_above, ignore_above = self.adaptive.thresholds()
        observe = self.adaptive.observe if learn else self.adaptive.are_far
        far = observe(found, annotated)
        is_mined = found.scores > mine_above[found.classes]
        is_ignored = far & ~is_mined & (found.scores > ignore_above)
        mined, ignored = found.select_each(is_mined, is_ignored)
        means = {
            name: score.clamp(max=1).mean()
            for name, score in (("mining_above", mine_above), ("ignoring_above", ignore_above))
        }
        return mined, _as_ignored(ignored), means

    def _to_rgb(self, views: Tensor) -> Tensor:
        """The model's input (N, 3, H, W) as pictures, uint8."""
        pixels = (views * self.pixel_std + self.pixel_mean).clamp(0, 255).to(torch.uint8)
        return pixels.flip(1) if self.view.is_bgr else pixels


def _as_ignored(labels: Labels) -> Labels:
    return labels._replace(classes=torch.full_like(labels.classes, IGNORED_CLASS))
