"""What a detector finds in an image and in its mirror image."""

from __future__ import annotations

import torch
from detectron2.structures import ImageList
from torch import Tensor
from torch.nn import functional as F

from .labels import HIT_IOU, Labels, pairwise_iou
from .two_views import TwoViews


def seen_in_both(found: Labels, images: ImageList) -> Labels:
    """Detections on N images, each with its score in that of the two where it scores less.

    Args:
        found: on the N images and on their mirror images.
        images: the N images, then their mirror images in the same order.

    Returns:
        Those on the N images, by descending score in each; what the mirror image does not show
        scores 0.
    """
    num_images = len(images) // 2
    views = TwoViews(images.tensor, images.image_sizes, [True] * num_images, [None] * num_images)
    of_each = [
        labels.split(len(images))[:num_images] for labels in (found, views.to_other_view(found))
    ]
    seen = []
    for labels, others in zip(*of_each, strict=True):
        scores = torch.minimum(labels.scores, _highest_score(labels, others))
        order = scores.argsort(descending=True, stable=True)
        seen.append(labels._replace(scores=scores).select(order))
    return Labels.cat(seen)


def _highest_score(labels: Labels, others: Labels) -> Tensor:
    """Of the others with each label's place and class, all of one image; 0 if there is none."""
    hits = pairwise_iou(labels.boxes, others.boxes) > HIT_IOU
    hits &= labels.classes[:, None] == others.classes
    return F.pad(hits * others.scores, (0, 1)).amax(1)
