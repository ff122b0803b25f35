"""What a detector finds in an image and in its mirror image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from .labels import HIT_IOU, Labels, flip_boxes, overlaps
from .transfer import send


def seen_in_both(found: Labels, mirrored: Labels, widths: Sequence[int]) -> Labels:
    """Detections on N images that their mirror images show, too: in the same place and class.

    Args:
        found: on the images.
        mirrored: on the mirror images, in the frame of these.
        widths: of the N images, in pixels.

    Returns:
        Those of ``found``, each with its score in that of the two where it scores less, by
        descending score in every image.
    """
    num_images = len(widths)
    every_width = send(torch.tensor(widths), mirrored.boxes.device)
    others = mirrored._replace(boxes=flip_boxes(mirrored.boxes, every_width[mirrored.images]))
    seen = []
    for ours, theirs in zip(found.split(num_images), others.split(num_images), strict=True):
        hits = overlaps(ours, theirs, HIT_IOU)
        # One column more, as there may be none.
        there = F.pad(torch.where(hits, theirs.scores, 0), (0, 1)).amax(1)
        both = ours._replace(scores=torch.minimum(ours.scores, there)).select(hits.any(1))
        seen.append(both.select(both.scores.argsort(descending=True, stable=True)))
    return Labels.cat(seen)
