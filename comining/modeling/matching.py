"""Labelling of anchors against the labels of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.modeling.matcher import Matcher
from torch import Tensor

from .labels import Labels, pairwise_iou

#: What a matcher labels an anchor that is not background.
FOREGROUND, IGNORED = 1, -1


def label_anchors(
    anchors: Tensor, labels: Sequence[Labels], matcher: Matcher, *, num_classes: int
) -> tuple[Tensor, Tensor]:
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
        (B, R) int64, the class of each anchor: [0, K) foreground, K background, -1 ignored; and
        (B, R, 4), the matched boxes, undefined where an anchor is not foreground.
    """
    # The matcher's thresholds start with -inf, so the first one always applies, and end with inf.
    intervals = list(zip(matcher.thresholds[:-1], matcher.labels, strict=True))
    classes, boxes = [], []
    for gt in labels:
        if len(gt.boxes) == 0:
            classes.append(anchors.new_full((len(anchors),), num_classes, dtype=torch.int64))
            boxes.append(torch.zeros_like(anchors))
            continue
        iou = pairwise_iou(gt.boxes, anchors)  # (G, R)
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
        classes.append(of_image)
        boxes.append(gt.boxes[best])
    return torch.stack(classes), torch.stack(boxes)
