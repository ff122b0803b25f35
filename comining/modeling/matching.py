"""Labelling of anchors and locations against the labels of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, pairwise_point_box_distance
from torch import Tensor
from torch.nn import functional as F

from .labels import Labels, pairwise_iou

#: What a matcher labels an anchor that is not background.
FOREGROUND, IGNORED = 1, -1


def label_anchors(
    anchors: Tensor, labels: Sequence[Labels], matcher: Matcher, *, num_classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Match every anchor of every image with the label it overlaps most.

    The result is that of detectron2's ``RetinaNet.label_anchors``, except that a label which no
    anchor touches makes no anchor foreground. The device is never waited for.

    Args:
        anchors: (R, 4) XYXY, the same for all images.
        labels: ground truth of each of B images.
        matcher: its IoU thresholds, what it labels an anchor between them (0 background, 1
            foreground, -1 ignored), and whether each label's best anchors are always foreground.
        num_classes: K.

    Returns:
        (B, R) int64, the class of each anchor: [0, K) foreground, K background, -1 ignored; of the
        matched labels (B, R, 4) the boxes and (B, R) the scores, undefined where an anchor is not
        foreground.
    """
    # The matcher's thresholds start with -inf, so the first one always applies, and end with inf.
    intervals = list(zip(matcher.thresholds[:-1], matcher.labels, strict=True))
    not_background = min(lower for lower, meaning in intervals if meaning in (FOREGROUND, IGNORED))
    classes, boxes, scores = [], [], []
    for gt in labels:
        if len(gt.boxes) == 0:
            classes.append(anchors.new_full((len(anchors),), num_classes, dtype=torch.int64))
            boxes.append(torch.zeros_like(anchors))
            scores.append(anchors.new_zeros(len(anchors)))
            continue
        every_iou = pairwise_iou(gt.boxes, anchors)  # (G, R)
        is_ignored = (gt.classes < 0)[:, None]
        # An ignored label takes no anchor from an object.
        iou = every_iou.masked_fill(is_ignored, 0)
        best_iou, best = iou.max(dim=0)
        matched = gt.classes[best]
        of_image = torch.full_like(matched, num_classes)
        for lower, meaning in intervals:
            reached = best_iou >= lower
            if meaning == FOREGROUND:
                of_image = torch.where(reached, matched, of_image)
            else:
                of_image = of_image.masked_fill(
                    reached, IGNORED if meaning == IGNORED else num_classes
                )
        if matcher.allow_low_quality_matches:
            # Nothing is above a label's best, but an IoU of 0 must not count.
            best_of_label = iou.amax(dim=1, keepdim=True).clamp_(min=torch.finfo(iou.dtype).tiny)
            is_best = (iou >= best_of_label).any(dim=0)
            of_image = torch.where(is_best, matched, of_image)
        ignored_iou = every_iou.masked_fill_(~is_ignored, 0).amax(dim=0)
        touched = (ignored_iou > 0) & (ignored_iou >= not_background)
        of_image = of_image.masked_fill(touched & (of_image == num_classes), IGNORED)
        classes.append(of_image)
        boxes.append(gt.boxes[best])
        scores.append(gt.scores[best])
    return torch.stack(classes), torch.stack(boxes), torch.stack(scores)


def label_locations(
    cells: Sequence[Tensor],
    labels: Sequence[Labels],
    *,
    center_sampling_radius: float,
    num_classes: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Match every location of every image with the smallest label it answers for.

    A location answers for a box that it lies in, at most ``center_sampling_radius`` strides from
    the centre in x and y, if the farthest edge of the box is 4 to 8 strides away; of the first
    level 0 to 8, of the last one 4 or more (FCOS, section 3.2).

    The result is that of detectron2's ``FCOS.label_anchors``. The device is never waited for.

    Args:
        cells: per level (R_l, 4) XYXY, R in all: squares around the locations, as large as the
            level's stride; the same for all images.
        labels: ground truth of each of B images.
        center_sampling_radius: in strides.
        num_classes: K.

    Returns:
        (B, R) int64, the class of each location: [0, K) foreground, K background, -1 ignored; of
        the matched labels (B, R, 4) the boxes and (B, R) the scores, zero where a location is
        background.
    """
    every_cell = Boxes(torch.cat(list(cells)))
    locations = every_cell.get_centers()
    strides = (every_cell.tensor[:, 2] - every_cell.tensor[:, 0])[:, None]  # (R, 1)
    lower, upper = strides * 4, strides * 8
    lower[: len(cells[0])] = 0
    upper[-len(cells[-1]) :] = torch.inf

    classes, boxes, scores = [], [], []
    for gt in labels:
        gt_boxes = Boxes(gt.boxes)
        to_edges = pairwise_point_box_distance(locations, gt_boxes)  # (R, G, 4)
        to_center = (locations[:, None] - gt_boxes.get_centers()).abs().amax(dim=2)
        reach = to_edges.amax(dim=2)
        answers = (
            (to_edges.amin(dim=2) > 0)
            & (to_center < center_sampling_radius * strides)
            & (reach > lower)
            & (reach < upper)
        )
        # Like detectron2, which compares areas after this subtraction: so large a number rounds
        # them to 8 square pixels, and among equals the first label wins.
        # An ignored label takes no location from an object.
        quality = torch.where(gt.classes < 0, 1e-4, 1e8 - gt_boxes.area())
        quality = torch.where(answers, quality, 0)
        # Background comes first, as a label that is only worse than a real match.
        best = F.pad(quality, (1, 0), value=1e-5).argmax(dim=1)
        classes.append(F.pad(gt.classes, (1, 0), value=num_classes)[best])
        boxes.append(F.pad(gt.boxes, (0, 0, 1, 0))[best])
        scores.append(F.pad(gt.scores, (1, 0))[best])
    return torch.stack(classes), torch.stack(boxes), torch.stack(scores)
