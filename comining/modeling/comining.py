"""The mechanism of Co-mining, for any dense detector of detectron2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.structures import ImageList, Instances
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor

from comining.errors import InputError

from .labels import Labels, annotated_labels, flip_boxes, merge_labels
from .quality import MiningQuality
from .transfer import move_batch
from .view import SecondView, random_seed, view_rng

#: Suffixes of the two branches' losses: of the original view and of the augmented one.
BRANCHES = ("", "_aug")


class TwoViews(ImageList):
    """A padded batch of 2N images: N originals, then their second views in the same order."""

    def __init__(
        self,
        tensor: Tensor,
        image_sizes: list[tuple[int, int]],
        flipped: list[bool],
        withheld: list[Instances | None],
    ) -> None:
        """
        Args:
            tensor: (2N, C, H, W).
            image_sizes: 2N times (height, width) before padding, in pixels.
            flipped: N flags, whether an image's second view is mirrored left to right.
            withheld: of the N originals, the objects that are known not to be annotated; None
                where that is not known.
        """
        super().__init__(tensor, image_sizes)
        self.flipped = flipped
        self.withheld = withheld
        if any(flipped):
            mirrors = [
                width if flip else math.nan
                for (_, width), flip in zip(image_sizes, flipped * 2, strict=True)
            ]
            self._mirrors = torch.tensor(mirrors, device=tensor.device)

    def in_both_views(self, labels: Labels) -> Labels:
        """Labels on the N originals, followed by the same on their second views."""
        return Labels.cat((labels, self.to_other_view(labels)))

    def to_other_view(self, labels: Labels) -> Labels:
        """Labels on any of the 2N images, moved to the other view of the same image."""
        num_images = len(self.flipped)
        images = (labels.images + num_images) % (2 * num_images)
        if not any(self.flipped):
            return labels._replace(images=images)
        widths = self._mirrors[images]
        boxes = torch.where(widths.isnan()[:, None], labels.boxes, flip_boxes(labels.boxes, widths))
        return labels._replace(boxes=boxes, images=images)


class CoMining(DenseDetector):
    """Trains a dense detector on two views whose confident predictions label each other.

    Use it as the first base class of a detector: ``class CoMiningX(CoMining, X)``. In training,
    one forward pass sees the original and the second view of every image. What either branch
    detects confidently becomes extra ground truth for the other (Co-mining, Wang et al., AAAI
    2021). At inference the detector is plain ``X``, to which the class adds no parameters.

    A detector defines `dense_outputs`, `mine` and `branch_losses`; all else is common.
    """

    def __init__(
        self,
        *,
        view: SecondView,
        score_thresh: float = 0.6,
        iou_thresh: float = 0.4,
        seed: int = -1,
        **detector: Any,
    ) -> None:
        """
        Args:
            view: makes the second view of images that do not bring one.
            score_thresh: predictions scored above become labels of the other branch; in [0, 1].
            iou_thresh: a mined box whose IoU with an annotated one of its class is above is no
                news and dropped; in [0, 1].
            seed: of the second views; below 0, a random one.
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
        self.iou_thresh = iou_thresh
        self.seed = seed if seed >= 0 else random_seed()
        self.quality = MiningQuality()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        if "COMINING" not in cfg.MODEL:
            raise InputError(
                "the config lacks MODEL.COMINING: call comining.add_comining_config(cfg) before "
                "merging files into it"
            )
        return {
            **super().from_config(cfg),
            "view": SecondView(cfg),
            "score_thresh": cfg.MODEL.COMINING.SCORE_THRESH,
            "iou_thresh": cfg.MODEL.COMINING.IOU_THRESH,
            "seed": cfg.SEED,
        }

    def dense_outputs(self, features: list[Tensor], predictions: list[list[Tensor]]) -> Any:
        """The head's predictions in whatever form the detector's two other methods want.

        Args:
            features: per level (2N, C, H, W).
            predictions: the head's output on them.
        """
        raise NotImplementedError

    def mine(self, outputs: Any, score_thresh: float) -> Labels:
        """What the detector is confident of, by its own rules of thresholding and suppression.

        Args:
            outputs: from `dense_outputs`.
            score_thresh: class scores above count; in [0, 1].

        Returns:
            Labels of the 2N images, boxes in the frame of their view and not clipped to it.
        """
        raise NotImplementedError

    def branch_losses(self, outputs: Any, labels: Sequence[Labels]) -> dict[str, Tensor]:
        """The detector's losses against ``labels``, of both branches.

        Args:
            outputs: from `dense_outputs`.
            labels: ground truth of each of the 2N images.

        Returns:
            By the detector's own loss names, a tensor (2,): the loss of the original branch and
            of the augmented one, each normalised by itself.
        """
        raise NotImplementedError

    @torch.no_grad()
    def mine_images(self, batched_inputs: list[dict[str, Any]]) -> list[Labels]:
        """What mining finds in the given images by themselves, in evaluation mode.

        Args:
            batched_inputs: N items with ``image``, as for inference.

        Returns:
            N labels by descending score, in the frame of ``image`` and not clipped to it.
        """
        if self.training:
            raise RuntimeError("mine_images works in evaluation mode: call eval() first")
        images = self.preprocess_image(batched_inputs)
        backbone_features = self.backbone(images.tensor)
        features = [backbone_features[name] for name in self.head_in_features]
        mined = self.mine(self.dense_outputs(features, self.head(features)), self.score_thresh)
        return mined.split(len(batched_inputs))

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """detectron2's ``DenseDetector.forward``."""
        if self.training:
            batched_inputs = move_batch(batched_inputs, self.device)
        return super().forward(batched_inputs)

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """In training, normalise, pad and batch both views; else the detector's own way."""
        if not self.training:
            return super().preprocess_image(batched_inputs)
        iteration, rank = get_event_storage().iter, comm.get_rank()
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
                draw = self.view.draw(view_rng(self.seed, iteration, rank, index))
                view, flip = self.view.make(image, draw), draw.flip
            originals.append({"image": image})
            views.append({"image": view})
            flipped.append(flip)
            withheld.append(item.get("withheld"))
        images = super().preprocess_image(originals + views)
        return TwoViews(images.tensor, images.image_sizes, flipped, withheld)

    def forward_training(
        self,
        images: TwoViews,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """The detector's losses of both branches, each against what the other one found.

        Args:
            images: the 2N images.
            features: per level (2N, C, H, W).
            predictions: the head's output on them.
            gt_instances: the annotations of the N images, in the original's frame.

        Returns:
            Each loss of the detector, and with the suffix "_aug" the same of the second view.
        """
        num_images = len(gt_instances)
        outputs = self.dense_outputs(features, predictions)
        with torch.no_grad():
            annotated = images.in_both_views(annotated_labels(gt_instances))
            mined = images.to_other_view(self.mine(outputs, self.score_thresh))
            merged = merge_labels(annotated, mined, self.iou_thresh)
            labels = merged.split(2 * num_images)
            new = Labels(*(field[len(annotated.boxes) :] for field in merged))
            self._log_quality(new, images)
        for branch, suffix in enumerate(BRANCHES):
            of_branch = labels[branch * num_images :][:num_images]
            num_new = [
                len(x.boxes) - len(gt) for x, gt in zip(of_branch, gt_instances, strict=True)
            ]
            get_event_storage().put_scalar(f"comining/mined_per_image{suffix}", np.mean(num_new))
        losses = self.branch_losses(outputs, labels)
        return {
            name + suffix: values[branch]
            for branch, suffix in enumerate(BRANCHES)
            for name, values in losses.items()
        }

    def _log_quality(self, mined: Labels, images: TwoViews) -> None:
        """Log precision and recall of mined labels on images whose withheld objects are known."""
        if None in images.withheld:
            return
        withheld = images.in_both_views(annotated_labels(images.withheld))
        self.quality.update(mined, withheld, len(images.withheld))
        for branch, suffix in enumerate(BRANCHES):
            shares = self.quality.precision_and_recall(branch)
            for name, share in zip(("precision", "recall"), shares, strict=True):
                if share is not None:
                    get_event_storage().put_scalar(
                        f"comining/mined_{name}{suffix}", share, smoothing_hint=False
                    )
