"""Labelling of anchors against the labels of a batch."""

from __future__ import annotations

import torch
from detectron2.modeling.matcher import Matcher
from torch import Tensor

from .labels import Labels, pairwise_iou

IGNORED = -1


def label_anchors(
    anchors: Tensor, labels: Labels, matcher: Matcher, *, num_images: int, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Match every anchor of every image with the label it overlaps most.

    The result is that of detectron2's ``RetinaNet.label_anchors``, except that a label which no
    anchor touches makes no anchor foreground. The device is waited for once per batch, not once
    per image.

    Args:
        anchors: (R, 4) XYXY, the same for all images.
        labels: ground truth of the batch.
        matcher: its IoU thresholds, what it labels an anchor between them (0 background, 1
            foreground, -1 ignored), and whether each label's best anchors are always foreground.
        num_images: B.
        num_classes: K.

    Returns:
        (B, R) int64, the class of each anchor: [0, K) foreground, K background, -1 ignored; and
        (B, R, 4), the matched boxes, undefined where an anchor is not foreground.
    """
    # The matcher's thresholds start with -inf and end with inf.
    edges = anchors.new_tensor(matcher.thresholds[1:-1])
    meaning = torch.tensor(matcher.labels, device=anchors.device)
    if_not_foreground = torch.where(meaning == IGNORED, IGNORED, num_classes)

    classes, boxes = [], []
    for gt in labels.split(num_images):
        if len(gt.boxes) == 0:
            classes.append(anchors.new_full((len(anchors),), num_classes, dtype=torch.int64))
            boxes.append(torch.zeros_like(anchors))
            continue
        iou = pairwise_iou(gt.boxes, anchors)  # (G, R)
        best_iou, best = iou.max(dim=0)
        interval = torch.bucketize(best_iou, edges, right=True)
        foreground = meaning[interval] == 1
        if matcher.allow_low_quality_matches:
            best_of_label = iou.amax(dim=1, keepdim=True)
            foreground |= ((iou == best_of_label) & (best_of_label > 0)).any(dim=0)
        classes.append(torch.where(foreground, gt.classes[best], if_not_foreground[interval]))
        boxes.append(gt.boxes[best])
    return torch.stack(classes), torch.stack(boxes)
