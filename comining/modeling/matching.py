"""Labelling of anchors and locations against the labels of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, pairwise_point_box_distance
from torch import Tensor
from torch.nn import functional as F

from .labels import pairwise_iou
from .targets import Targets

#: What a matcher labels an anchor that is not background.
FOREGROUND, IGNORED = 1, -1


class TouchingMatcher(Matcher):
    """detectron2's, except that a target which no anchor touches makes no anchor foreground.

    There, all anchors have the IoU 0 with it, which is the highest: all that touch no other become
    foreground. Slivers at the right or lower border of an image, of objects that it cuts off, are
    such targets.
    """

    def set_low_quality_matches_(self, match_labels: Tensor, match_quality_matrix: Tensor) -> None:
        touched = match_quality_matrix.amax(dim=1) > 0
        super().set_low_quality_matches_(match_labels, match_quality_matrix[touched])


class Matched(NamedTuple):
    """What each of the R anchors or locations of B images is to learn.

    Attributes:
        classes: (B, R) int64: [0, K) foreground, K background, -1 ignored.
        boxes: (B, R, 4), those of the matched targets; undefined where it is not foreground, like
            the others.
        class_weights, box_weights: (B, R), those of the matched targets.
        overlaps: (B, R), the highest IoU of an anchor with a target that is not ignored; of a
            location, 1 if it lies in the box of one, else 0.
        doubtful: (B, R) bool, whether it would be background but for ignored targets.
    """

    classes: Tensor
    boxes: Tensor
    class_weights: Tensor
    box_weights: Tensor
    overlaps: Tensor
    doubtful: Tensor


def label_anchors(
    anchors: Tensor, targets: Sequence[Targets], matcher: Matcher, *, num_classes: int
) -> Matched:
    """Match every anchor of every image with the target it overlaps most.

    The result is that of detectron2's ``RetinaNet.label_anchors``, except that a target which no
    anchor touches makes no anchor foreground. The device is never waited for.

    Args:
        anchors: (R, 4) XYXY, the same for all images.
        targets: of each of B images.
        matcher: its IoU thresholds, what it labels an anchor between them (0 background, 1
            foreground, -1 ignored), and whether each target's best anchors are always foreground.
        num_classes: K.
    """
    # The matcher's thresholds start with -inf, so the first one always applies, and end with inf.
    intervals = list(zip(matcher.thresholds[:-1], matcher.labels, strict=True))
    not_background = min(lower for lower, meaning in intervals if meaning in (FOREGROUND, IGNORED))
    of_images = []
    for gt in targets:
        if len(gt.boxes) == 0:
            classes = anchors.new_full((len(anchors),), num_classes, dtype=torch.int64)
            boxes, nothing = torch.zeros_like(anchors), anchors.new_zeros(len(anchors))
            of_images.append(Matched(classes, boxes, nothing, nothing, nothing, nothing > 0))
            continue
        every_iou = pairwise_iou(gt.boxes, anchors)  # (G, R)
        is_ignored = gt.ignored[:, None]
        # An ignored target takes no anchor from an object.
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
            # Nothing is above a target's best, but an IoU of 0 must not count.
            best_of_target = iou.amax(dim=1, keepdim=True).clamp_(min=torch.finfo(iou.dtype).tiny)
            is_best = (iou >= best_of_target).any(dim=0)
            of_image = torch.where(is_best, matched, of_image)
        ignored_iou = every_iou.masked_fill_(~is_ignored, 0).amax(dim=0)
        touched = (ignored_iou > 0) & (ignored_iou >= not_background)
        doubtful = touched & (of_image == num_classes)
        of_image = of_image.masked_fill(doubtful, IGNORED)
        boxes, class_weights, box_weights = (
            x[best] for x in (gt.boxes, gt.class_weights, gt.box_weights)
        )
        of_images.append(Matched(of_image, boxes, class_weights, box_weights, best_iou, doubtful))
    return _stack(of_images)


def label_locations(
    cells: Sequence[Tensor],
    targets: Sequence[Targets],
    *,
    center_sampling_radius: float,
    num_classes: int,
) -> Matched:
    """Match every location of every image with the smallest target it answers for.

    A location answers for a box that it lies in, at most ``center_sampling_radius`` strides from
    the centre in x and y, if the farthest edge of the box is 4 to 8 strides away; of the first
    level 0 to 8, of the last one 4 or more (FCOS, section 3.2).

    The result is that of detectron2's ``FCOS.label_anchors``. The device is never waited for.

    Args:
        cells: per level (R_l, 4) XYXY, R in all: squares around the locations, as large as the
            level's stride; the same for all images.
        targets: of each of B images.
        center_sampling_radius: in strides.
        num_classes: K.
    """
    every_cell = Boxes(torch.cat(list(cells)))
    locations = every_cell.get_centers()
    strides = (every_cell.tensor[:, 2] - every_cell.tensor[:, 0])[:, None]  # (R, 1)
    lower, upper = strides * 4, strides * 8
    lower[: len(cells[0])] = 0
    upper[-len(cells[-1]) :] = torch.inf

    of_images = []
    for gt in targets:
        gt_boxes = Boxes(gt.boxes)
        to_edges = pairwise_point_box_distance(locations, gt_boxes)  # (R, G, 4)
        to_center = (locations[:, None] - gt_boxes.get_centers()).abs().amax(dim=2)
        reach = to_edges.amax(dim=2)
        is_inside = to_edges.amin(dim=2) > 0
        answers = (
            is_inside
            & (to_center < center_sampling_radius * strides)
            & (reach > lower)
            & (reach < upper)
        )
        # Like detectron2, which compares areas after this subtraction: so large a number rounds
        # them to 8 square pixels, and among equals the first target wins.
        # An ignored target takes no location from an object.
        quality = torch.where(gt.ignored, 1e-4, 1e8 - gt_boxes.area())
        quality = torch.where(answers, quality, 0)
        # Background comes first, as a target that is only worse than a real match.
        best = F.pad(quality, (1, 0), value=1e-5).argmax(dim=1)
        classes = gt.classes.masked_fill(gt.ignored, IGNORED)
        of_images.append(
            Matched(
                F.pad(classes, (1, 0), value=num_classes)[best],
                F.pad(gt.boxes, (0, 0, 1, 0))[best],
                F.pad(gt.class_weights, (1, 0))[best],
                F.pad(gt.box_weights, (1, 0))[best],
                (is_inside & ~gt.ignored).any(dim=1).to(quality.dtype),
                F.pad(gt.ignored, (1, 0))[best],
            )
        )
    return _stack(of_images)


def _stack(of_images: Sequence[Matched]) -> Matched:
    return Matched(*(torch.stack(fields) for fields in zip(*of_images, strict=True)))
