"""A picture of what a detector found in an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from detectron2.structures import Instances
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

#: Ten strong ones, then ten light ones.
COLOURS = [
    tuple(round(255 * x) for x in colour[:3])
    for first in (0, 1)
    for colour in colormaps["tab20"](np.arange(20))[first::2].tolist()
]


def draw(
    pixels: np.ndarray, instances: Instances, classes: dict[int, dict[str, Any]]
) -> Image.Image:
    """The picture with boxes, class names and scores, one colour for each class.

    Args:
        pixels: (H, W, 3), RGB, uint8.
        instances: by descending score.
        classes: by the model's number, with ``name``.
    """
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / 300))
    font = ImageFont.load_default(max(10, 6 * line))
    # The most certain ones on top.
    for box, number, score in reversed(
        list(
            zip(
                instances.pred_boxes.tensor.tolist(),
                instances.pred_classes.tolist(),
                instances.scores.tolist(),
                strict=True,
            )
        )
    ):
        colour = COLOURS[number % len(COLOURS)]
        pen.rectangle(box, outline=colour, width=line)
        text = f"{classes[number]['name']} {score:.0%}"
        _, _, width, height = pen.textbbox((0, 0), text, font)
        # Above the box, but inside the picture.
        x = max(0, min(box[0], picture.width - width))
        y = max(0, box[1] - height)
        pen.rectangle((x, y, x + width, y + height), fill=colour)
        pen.text((x, y), text, "black" if sum(colour) > 380 else "white", font)
    return picture
