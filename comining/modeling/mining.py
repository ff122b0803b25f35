"""Mining: from dense predictions of a batch to confident boxes. Pure functions of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import nms

from .labels import Labels, select_rows

#: NMS takes time and memory of the square of this number, of which boxes of different images are
#: no use.
MAX_IN_ONE_NMS = 20_000
#: Coordinates beyond, in pixels, are no image's: a diverging detector's, for which the others'
#: precision must not be lost.
FARTHEST = 1e6


class Candidates(NamedTuple):
    """Confident (anchor, class) pairs of a batch, in flat tensors of M rows each.

    Attributes:
        images: index of the image in the batch.
        anchors: index of the anchor among all R of an image, in detectron2's order (levels one
            after the other, within a level by row, column, anchor shape).
        classes: class in [0, K).
        scores: what they are ranked by: the class score, perhaps times centerness.
        levels: index of the feature level.
    """

    images: Tensor
    anchors: Tensor
    classes: Tensor
    scores: Tensor
    levels: Tensor

    def select(self, index: Tensor) -> Candidates:
        """The rows picked by ``index``, a boolean mask (M,) or row numbers."""
        return Candidates(*select_rows(self, index))


def confident_candidates(
    logits: Sequence[Tensor],
    num_classes: int,
    score_thresh: float,
    topk: int,
    centerness: Sequence[Tensor] | None = None,
) -> Candidates:
    """The (anchor, class) pairs whose score ``sigmoid(logit)`` is above ``score_thresh``.

    The logits are read in place, whatever their memory format: nothing of their size but two
    boolean masks is allocated. The device is waited for twice whatever the number of images and
    levels.

    Args:
        logits: per level (B, A * K, H, W), as a dense head makes them.
        num_classes: K.
        score_thresh: in [0, 1]; a score equal to it is not kept.
        topk: how many of an image and level are wanted. All above the threshold are returned,
            unless a level has more than B times that number; then only the best of each image.
        centerness: per level (B, A, H, W), logits. Given, it does not change what is above the
            threshold, but a candidate's score is sqrt(class score x centerness).
    """
    logit_thresh = _logit(score_thresh)
    above = [(x > logit_thresh).flatten(1) for x in logits]
    found_per_level = _counts(above)
    most = topk * len(logits[0])
    if max(found_per_level) > most:
        # A detector gone wrong is confident of everything, which no memory would hold.
        above = [
            _best_of_each(_ranks(logits, centerness, level), mask, topk) if count > most else mask
            for level, (mask, count) in enumerate(zip(above, found_per_level, strict=True))
        ]
        found_per_level = _counts(above)
    found = torch.cat([x.flatten() for x in above]).nonzero().squeeze(1)

    images, anchors, classes, scores, levels = [], [], [], [], []
    first_anchor, offset = 0, 0
    for level, in_level in enumerate(found.split(found_per_level)):
        level_logits = logits[level]
        _, channels, height, width = level_logits.shape
        index = in_level - offset
        row, column = index.div(width, rounding_mode="floor") % height, index % width
        channel = index.div(height * width, rounding_mode="floor") % channels
        shape = channel.div(num_classes, rounding_mode="floor")
        image = index.div(channels * height * width, rounding_mode="floor")
        score = level_logits[image, channel, row, column].sigmoid()
        if centerness is not None:
            center = centerness[level][image, shape, row, column]
            score = (score * center.sigmoid()).sqrt()
        images.append(image)
        anchors.append(first_anchor + (row * width + column) * (channels // num_classes) + shape)
        classes.append(channel % num_classes)
        scores.append(score)
        levels.append(torch.full_like(index, level))
        offset += level_logits.numel()
        first_anchor += height * width * (channels // num_classes)
    return Candidates(*map(torch.cat, (images, anchors, classes, scores, levels)))


def _counts(masks: Sequence[Tensor]) -> list[int]:
    return torch.stack([mask.count_nonzero() for mask in masks]).tolist()


def _ranks(logits: Sequence[Tensor], centerness: Sequence[Tensor] | None, level: int) -> Tensor:
    """What orders a level's candidates (B, A * K, H, W) as their scores do."""
    if centerness is None:
        return logits[level]
    of_shapes = logits[level].unflatten(1, (centerness[level].shape[1], -1))
    return (F.logsigmoid(of_shapes) + F.logsigmoid(centerness[level])[:, :, None]).flatten(1, 2)


def _best_of_each(ranks: Tensor, mask: Tensor, topk: int) -> Tensor:
    """Of a mask (B, M) on ``ranks`` (B, ...), the ``topk`` of each row that rank best."""
    best = ranks.flatten(1).masked_fill(~mask, -math.inf).topk(min(topk, mask.shape[1])).indices
    return mask & torch.zeros_like(mask).scatter_(1, best, True)


def top_candidates(candidates: Candidates, topk: int) -> Candidates:
    """The ``topk`` best-scored candidates of each image and level."""
    if len(candidates.scores) <= topk:
        return candidates
    by_score = candidates.select(candidates.scores.argsort(descending=True, stable=True))
    group = by_score.images * (by_score.levels.max() + 1) + by_score.levels
    return by_score.select(_rank_in_group(group) < topk)


def best_of_images(labels: Labels, most: int) -> Labels:
    """The ``most`` best-scored labels of each image, by descending score."""
    by_score = labels.select(labels.scores.argsort(descending=True, stable=True))
    return by_score.select(_rank_in_group(by_score.images) < most)


def suppress(
    labels: Labels, iou_thresh: float, max_per_image: int, *, class_wise: bool = True
) -> Labels:
    """Non-maximum suppression of every image, all in one call.

    Boxes that are not finite, which a diverging detector predicts, are dropped.

    Args:
        labels: candidate boxes of a batch.
        iou_thresh: a box is dropped if its IoU with a better one is above.
        max_per_image: at most that many boxes stay per image, the best-scored.
        class_wise: whether only a box of the same class suppresses.

    Returns:
        The kept rows by descending score.
    """
    if len(labels.boxes) == 0:
        return labels
    # Boxes of different images or classes are moved apart so that they can't overlap. In double
    # precision the shift changes no IoU beyond single precision's own rounding.
    finite = labels.boxes.isfinite().all(dim=1)
    boxes = labels.boxes.masked_fill(~finite[:, None], 0).double().clamp(-FARTHEST, FARTHEST)
    group = labels.images
    if class_wise:
        group = group * (labels.classes.max() + 1) + labels.classes
    span = boxes.max() - boxes.min() + 1
    apart, scores = boxes + (group * span)[:, None], labels.scores.double()
    if len(boxes) <= MAX_IN_ONE_NMS:
        kept = nms(apart, scores, iou_thresh)
    else:
        rows = [(labels.images == image).nonzero().squeeze(1) for image in labels.images.unique()]
        kept = torch.cat([x[nms(apart[x], scores[x], iou_thresh)] for x in rows])
        kept = kept[scores[kept].argsort(descending=True, stable=True)]
    finite = finite[kept]
    rank = _rank_in_group(labels.images[kept].masked_fill(~finite, -1))
    return labels.select(kept).select(finite & (rank < max_per_image))


def _rank_in_group(group: Tensor) -> Tensor:
    """For each row of ``group`` (M,), how many rows of the same group come before it."""
    ordered, order = group.sort(stable=True)
    rank = torch.arange(len(group), device=group.device) - torch.searchsorted(ordered, ordered)
    return torch.empty_like(rank).scatter_(0, order, rank)


def _logit(probability: float) -> float:
    if probability <= 0:
        return -math.inf
    return math.inf if probability >= 1 else math.log(probability / (1 - probability))
