"""A picture of what the two branches of an image learn from."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from .labels import Labels

#: As in the other pictures of the project.
COLORS = {"annotated": "lime", "mined": "deepskyblue", "ignored": "gray", "withheld": "red"}


#: Pixels outside of a picture that a box may reach.
OUTSIDE = 4


def draw_views(views: Tensor, labels: dict[str, tuple[Labels, Labels]]) -> Tensor:
    """Draw boxes on an image and its second view, side by side.

    Args:
        views: (2, 3, H, W) uint8, RGB.
        labels: by the names of `COLORS`, those of the image and of its second view.

    Returns:
        (3, H, 2 * W) uint8, RGB, on the CPU.
    """
    drawn = []
    for branch, view in enumerate(views.cpu()):
        # Later ones cover earlier ones.
        for name in ("withheld", "ignored", "mined", "annotated"):
            boxes = labels[name][branch].boxes.cpu() if name in labels else torch.zeros(0, 4)
            # Lines take as long as they are, and mined boxes may reach anywhere.
            height, width = view.shape[1:]
            limits = torch.tensor([width, height, width, height])
            boxes = boxes.clamp(min=-OUTSIDE).minimum(limits + OUTSIDE)
            if len(boxes):
                view = draw_bounding_boxes(view, boxes, colors=COLORS[name], width=2)
        drawn.append(view)
    return torch.cat(drawn, dim=2)
