"""A trained detector as a function of one picture, for exporters that follow tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from detectron2.modeling import RetinaNet
from detectron2.modeling.meta_arch import fcos
from detectron2.modeling.meta_arch.dense_detector import DenseDetector, permute_to_N_HWA_K
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import nms

from comining.errors import InputError


class ExportableDetector(nn.Module):
    """A RetinaNet or FCOS of detectron2, or trained by Co-mining, without anything but tensors.

    It finds what the detector finds in evaluation mode. detectron2's own inference can't be
    exported faithfully: what it takes from the sizes of tensors, such as the number of candidates,
    would be constants of the exported model.
    """

    def __init__(self, detector: DenseDetector, image_format: str) -> None:
        """
        Args:
            detector: gets into evaluation mode, and its parameters are shared.
            image_format: the order of the channels that it was trained with: "BGR" or "RGB".

        Raises:
            InputError: it is another detector, or the format another one.
        """
        super().__init__()
        if not isinstance(detector, RetinaNet | fcos.FCOS):
            raise InputError(
                f"a {type(detector).__name__} can't be exported, only a RetinaNet or FCOS"
            )
        if image_format not in ("BGR", "RGB"):
            raise InputError(f"INPUT.FORMAT is {image_format}; only BGR and RGB can be exported")
        self.detector = detector
        self.is_bgr = image_format == "BGR"
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect the objects of a picture.

        Args:
            image: (H, W, 3), RGB, uint8, of a size as in training. Any H and W are legal.

        Returns:
            By descending score: boxes (N, 4), XYXY in pixels of ``image`` and clipped to it; scores
            (N,) in [0, 1]; classes (N,), int64, from 0. N may be 0.
        """
        detector = self.detector
        features = detector.backbone(self._prepare(image))
        features = [features[name] for name in detector.head_in_features]
        logits, deltas, *centerness = detector.head(features)
        level_scores = [_by_place(x, detector.num_classes).sigmoid() for x in logits]
        if centerness:
            level_scores = [
                torch.sqrt(x * _by_place(y, 1).sigmoid())
                for x, y in zip(level_scores, centerness[0], strict=True)
            ]
        anchors = [x.tensor for x in detector.anchor_generator(features)]
        boxes, scores, classes = self._candidates(
            anchors, level_scores, [_by_place(x, 4) for x in deltas]
        )
        kept = nms(
            move_apart(boxes, classes, detector.num_classes), scores, detector.test_nms_thresh
        )
        kept = kept[: detector.max_detections_per_image]
        height, width = image.shape[:2]
        boxes = _clip(boxes[kept], height, width)
        has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        return boxes[has_area], scores[kept][has_area], classes[kept][has_area]

    def _prepare(self, image: Tensor) -> Tensor:
        """The batch of one, (1, 3, H', W'), that the backbone gets."""
        channels = image.permute(2, 0, 1).float()
        if self.is_bgr:
            channels = channels.flip(0)
        pixels = (channels - self.detector.pixel_mean) / self.detector.pixel_std
        divisor = max(1, self.detector.backbone.size_divisibility)
        height, width = pixels.shape[1:]
        return F.pad(pixels, (0, -width % divisor, 0, -height % divisor))[None]

    def _candidates(
        self, anchors: Sequence[Tensor], scores: Sequence[Tensor], deltas: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and classes of the best of every level that exceed the threshold."""
        found = []
        for level_anchors, level_scores, level_deltas in zip(anchors, scores, deltas, strict=True):
            places, classes = (level_scores > self.detector.test_score_thresh).nonzero().unbind(1)
            # A slice may ask for more than there is; torch.topk may not.
            order = level_scores[places, classes].argsort(descending=True)
            order = order[: self.detector.test_topk_candidates]
            places, classes = places[order], classes[order]
            boxes = self.detector.box2box_transform.apply_deltas(
                level_deltas[places], level_anchors[places]
            )
            found.append((boxes, level_scores[places, classes], classes))
        all_boxes, all_scores, all_classes = (torch.cat(x) for x in zip(*found, strict=True))
        return all_boxes, all_scores, all_classes


def _by_place(prediction: Tensor, dims: int) -> Tensor:
    """A level's predictions (1, A * dims, H, W) as (H * W * A, dims)."""
    return permute_to_N_HWA_K(prediction, dims)[0]


def move_apart(boxes: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """The boxes moved so that those of different classes don't overlap."""
    # Side by side on a square: on a line, the last of many classes would lose more digits.
    columns = math.ceil(math.sqrt(num_classes))
    cells = torch.stack((classes % columns, classes // columns), dim=1) - columns // 2
    # Without any box there is no largest coordinate.
    extent = 2 * torch.cat((boxes.flatten(), boxes.new_zeros(1))).abs().max() + 1
    return boxes + (cells * extent).repeat(1, 2)


def _clip(boxes: Tensor, height: int, width: int) -> Tensor:
    x, y = boxes[:, 0::2].clamp(min=0, max=width), boxes[:, 1::2].clamp(min=0, max=height)
    return torch.stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]), dim=1)
