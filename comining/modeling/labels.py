"""Labelled boxes of a whole batch, and pure functions on them.

All functions work on flat tensors that hold the boxes of every image of the batch, so that no step
of the mechanism needs a loop over images or a wait for the device per image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from detectron2.structures import Instances
from torch import Tensor

#: A box hits another if their IoU is above.
HIT_IOU = 0.5
#: More pairs of boxes are compared image by image: less memory, but a wait for the device for each.
MAX_PAIRS = 10_000_000

#: A NamedTuple of tensors with as many rows each, among them ``images``.
Rows = TypeVar("Rows", bound=Any)


class Labels(NamedTuple):
    """Boxes of a batch in flat tensors; row m of each field belongs to box m of M.

    Attributes:
        boxes: (M, 4) XYXY in pixels of the image that the box belongs to.
        classes: (M,) int64 in [0, K).
        images: (M,) int64, the index of the image in the batch.
        scores: (M,) in [0, 1], what a detector ranks the boxes by; 1 of annotated ones.
    """

    boxes: Tensor
    classes: Tensor
    images: Tensor
    scores: Tensor

    def select(self, index: Tensor) -> Labels:
        """The rows picked by ``index``, a boolean mask (M,) or row numbers."""
        return Labels(*select_rows(self, index))

    def select_each(self, *masks: Tensor) -> list[Labels]:
        """The rows picked by each of several masks (M,), waiting for the device once for all."""
        every = torch.stack(masks)
        counts = every.sum(1).tolist()
        order = every.byte().argsort(dim=1, descending=True, stable=True)
        return [self.select(rows[:count]) for rows, count in zip(order, counts, strict=True)]

    def none(self) -> Labels:
        """No rows at all, on the same device."""
        return Labels(*(field[:0] for field in self))

    @staticmethod
    def cat(parts: Sequence[Labels]) -> Labels:
        """All rows of all ``parts``, in that order."""
        return cat_rows(parts)

    def split(self, num_images: int) -> list[Labels]:
        """One `Labels` per image of the batch, each in the order of its rows here.

        The device is waited for once.
        """
        return split_rows(self, num_images)


def cat_rows(parts: Sequence[Rows]) -> Rows:
    """All rows of several tuples of one kind, at least one, in that order."""
    return type(parts[0])(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def split_rows(rows: Rows, num_images: int) -> list[Rows]:
    """One tuple per image of the batch, each in the order of its rows in ``rows``.

    The device is waited for once.
    """
    every_image = torch.arange(num_images, device=rows.images.device)
    counts = (rows.images == every_image[:, None]).sum(1).tolist()
    order = rows.images.argsort(stable=True)
    parts = [field[order].split(counts) for field in rows]
    return [type(rows)(*fields) for fields in zip(*parts, strict=True)]


def select_rows(fields: Iterable[Tensor], index: Tensor) -> list[Tensor]:
    """The same rows of several tensors, waiting for the device at most once.

    Args:
        fields: tensors of M rows.
        index: a boolean mask (M,) or row numbers.
    """
    rows = index.nonzero().squeeze(1) if index.dtype == torch.bool else index
    return [field[rows] for field in fields]


def annotated_labels(instances: Sequence[Instances]) -> Labels:
    """The ground truth of N images, each with ``gt_boxes`` and ``gt_classes``, as `Labels`."""
    boxes = torch.cat([x.gt_boxes.tensor for x in instances])
    return Labels(
        boxes=boxes,
        classes=torch.cat([x.gt_classes for x in instances]),
        images=torch.cat([torch.full_like(x.gt_classes, i) for i, x in enumerate(instances)]),
        scores=boxes.new_ones(len(boxes)),
    )


def flip_boxes(boxes: Tensor, widths: Tensor) -> Tensor:
    """Mirror boxes (M, 4) XYXY left to right in images of the given ``widths`` (M,), in pixels."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack((widths - x1, y0, widths - x0, y1), dim=-1)


def box_areas(boxes: Tensor) -> Tensor:
    """Areas (M,) of boxes (M, 4) XYXY."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def pairwise_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """IoU of every box of ``boxes1`` (..., M, 4) with every one of ``boxes2`` (..., G, 4), XYXY.

    Returns:
        (..., M, G) in [0, 1]; 0 where two boxes do not overlap, also for boxes without area.
    """
    # One plane per coordinate and in-place steps: anchors make this the largest tensor there is.
    x0, y0, x1, y1 = boxes1[..., :, None, :].unbind(-1)  # (..., M, 1)
    u0, v0, u1, v1 = boxes2[..., None, :, :].mT.contiguous().unbind(-2)  # (..., 1, G)
    width = torch.minimum(x1, u1).sub_(torch.maximum(x0, u0)).clamp_(min=0)
    height = torch.minimum(y1, v1).sub_(torch.maximum(y0, v0)).clamp_(min=0)
    intersection = width.mul_(height)
    union = ((x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0)).sub_(intersection)
    return intersection.div_(union.clamp_(min=torch.finfo(union.dtype).tiny))


def overlap_any(
    labels: Labels, others: Labels, iou_thresh: float, *, class_wise: bool = True
) -> Tensor:
    """Tell which labels overlap one of ``others`` in the same image.

    A mined box that overlaps an annotated one so is no news (Co-mining, section "Co-mining").

    Args:
        labels, others: M and P rows in the same frame.
        iou_thresh: two boxes overlap if their IoU is above; in [0, 1].
        class_wise: whether they must be of the same class, too.

    Returns:
        (M,) bool.
    """
    if len(labels.boxes) == 0 or len(others.boxes) == 0:
        return torch.zeros_like(labels.classes, dtype=torch.bool)
    if len(labels.boxes) * len(others.boxes) <= MAX_PAIRS:
        return overlaps(labels, others, iou_thresh, class_wise=class_wise).any(1)
    overlap = torch.zeros_like(labels.classes, dtype=torch.bool)
    for image in labels.images.unique():
        rows = (labels.images == image).nonzero().squeeze(1)
        of_image = others.select(others.images == image)
        of_pairs = overlaps(labels.select(rows), of_image, iou_thresh, class_wise=class_wise)
        overlap[rows] = of_pairs.any(1)
    return overlap


def overlaps(
    labels: Labels, others: Labels, iou_thresh: float, *, class_wise: bool = True
) -> Tensor:
    """Which labels overlap which of ``others``: what `overlap_any` is asked for, by pair.

    Returns:
        (M, P) bool.
    """
    same = labels.images[:, None] == others.images
    if class_wise:
        same &= labels.classes[:, None] == others.classes
    return (pairwise_iou(labels.boxes, others.boxes) > iou_thresh) & same
