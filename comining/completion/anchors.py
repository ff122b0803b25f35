"""Anchors that fit the boxes of a data set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: An anchor matches a box from this IoU on, as in `MODEL.RETINANET.IOU_THRESHOLDS`.
MATCH_IOU = 0.5
#: Edges of anchors below this many network pixels are of no use on features of stride 8.
SMALLEST = 8.0
#: Neighbouring sizes differ by at most this factor, so that a square box in between matches one.
STEP = 2**0.5
#: The smallest anchor is larger than the small boxes by this factor, which it still matches: on the
#: finest level, where anchors lie closest, there is room for more of the others.
SLACK = 2**0.25
#: Boxes more elongated than this speak for anchors that are, too.
ELONGATED = 1.6


class Anchors(NamedTuple):
    """Anchors of a detector.

    Attributes:
        sizes: by feature level, the square roots of areas in network pixels.
        ratios: height / width.
    """

    sizes: list[list[float]]
    ratios: list[float]


def choose_anchors(boxes: np.ndarray, classes: np.ndarray, num_levels: int = 3) -> Anchors:
    """Anchors from the sizes of annotated boxes.

    They begin a little above the small boxes (the 2nd percentile), on the level of the highest
    resolution: so the anchors of each level are as large as can be beside its stride, and none
    falls between them. From level to level sizes double at least, as strides do, or more, up to the
    large boxes (the 98th percentile); within a level they go on in steps of at most the root of 2.
    Elongated ones are added where a tenth of the boxes are elongated. The median box of every class
    matches an anchor: where it would not, its ratio is added.

    Args:
        boxes: (M, 2) width and height in network pixels, M > 0.
        classes: (M,) of any kind.
        num_levels: feature levels, from the highest resolution on.
    """
    edges = np.sqrt(boxes.prod(1)).clip(SMALLEST)
    medians = np.array([np.median(boxes[classes == x], axis=0) for x in np.unique(classes)])
    median_edges = np.sqrt(medians.prod(1)).clip(SMALLEST)
    low = SLACK * min(np.percentile(edges, 2), median_edges.min())
    high = max(np.percentile(edges, 98), median_edges.max())
    of_level = max(2.0, (high / low) ** (1 / num_levels))
    per_level = int(np.ceil(np.log(of_level) / np.log(STEP) - 1e-9))
    sizes = low * of_level ** (np.arange(num_levels * per_level) / per_level)
    ratios = {1.0}
    shapes = boxes[:, 1] / boxes[:, 0]
    for ratio in (0.5, 2.0):
        share = np.mean(shapes < 1 / ELONGATED if ratio < 1 else shapes > ELONGATED)
        if share >= 0.1:
            ratios.add(ratio)
    for width, height in medians:
        if best_iou(width, height, sizes, sorted(ratios)) < MATCH_IOU:
            ratios.add(float(f"{height / width:.2g}"))
    rounded = [float(f"{x:.3g}") for x in sizes]
    levels = np.array_split(np.array(rounded), num_levels)
    return Anchors([level.tolist() for level in levels], sorted(ratios))


def best_iou(width: float, height: float, sizes: np.ndarray, ratios: list[float]) -> float:
    """The IoU of a box with the anchor at its centre that fits it best."""
    anchors = np.array([(size / r**0.5, size * r**0.5) for size in sizes for r in ratios])
    intersection = np.minimum(anchors, (width, height)).prod(1)
    return float((intersection / (anchors.prod(1) + width * height - intersection)).max())
