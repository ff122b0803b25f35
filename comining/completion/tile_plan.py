"""Whether images are too large to be seen whole, and how large the tiles are that they become.

Shrunk to what a machine can take, a large image may lose its objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from comining.annotations.tiles import cover_evenly

from .machine import Machine
from .plan import MAX_ENLARGED, MAX_PIXELS, WANTED_EDGE, choose_scale

#: Images are cut if that shows the objects so many times larger.
WORTHWHILE = 2.0
#: There is time for about so many tiles in a minute that a completion takes. Where there would be
#: more, they are larger, up to twice.
TILES_A_MINUTE = {"cpu": 100, "cuda": 330}
#: A box that ends nearer to a tile's border than this share of the tile's edge may be cut off.
MARGIN = 0.01
#: The share of objects that are to be whole in a tile.
WHOLE = 0.95


class Tiling(NamedTuple):
    """How images are cut.

    Attributes:
        edge: of a tile, in pixels of the image.
        overlap: of neighbouring tiles, in the same pixels, at least.
        why: the reason, as a sentence.
    """

    edge: int
    overlap: int
    why: str


def choose_tiling(
    dataset: Mapping[str, Any], machine: Machine, minutes: float = 10.0
) -> Tiling | None:
    """As `plan_tiles`, for a data set in COCO format with at least one annotation."""
    images = np.array([(x["width"], x["height"]) for x in dataset["images"]], dtype=float)
    objects = [x["bbox"][2:] for x in dataset["annotations"] if not x.get("iscrowd")]
    return plan_tiles(images, np.array(objects, dtype=float), machine, minutes)


def plan_tiles(
    images: np.ndarray, boxes: np.ndarray, machine: Machine, minutes: float = 10.0
) -> Tiling | None:
    """Whether and how to cut images, so that objects have the size that a network wants.

    Args:
        images: (N, 2) width and height in pixels.
        boxes: (M, 2) width and height in pixels.
        machine: sets how many network pixels an image may have, and how many tiles there may be.
        minutes: how long the completion may take.

    Returns:
        None if whole images show the objects about as large, or if the objects are too large
        themselves.
    """
    scale = choose_scale(images, boxes, machine)
    width, height = np.median(images, axis=0)
    whole = min(scale.factor, scale.long_edge / max(width, height))
    object_edge = float(np.median(np.sqrt(boxes.prod(1))))
    longest = boxes.max(1)
    needed = float(np.quantile(longest, WHOLE, method="higher"))
    pixels = MAX_PIXELS[machine.kind]
    wanted = min(WANTED_EDGE[machine.kind] / object_edge, MAX_ENLARGED)
    # Beyond this, neighbours would share more than half.
    factor = min(wanted, pixels**0.5 * (0.5 - 2 * MARGIN) / needed)
    edge, overlap = _cut_by(factor, pixels, needed, float(longest.max()))
    while _full_tiles(images, edge, overlap) > TILES_A_MINUTE[machine.kind] * minutes:
        if factor <= wanted / 2:
            break
        factor *= 0.95
        edge, overlap = _cut_by(factor, pixels, needed, float(longest.max()))
    if factor < WORTHWHILE * whole:
        return None
    number = sum(len(cover_evenly(int(w), int(h), edge, overlap)) for w, h in images)
    why = (
        f"whole images of {width:.0f} x {height:.0f} pixels would show the median object "
        f"{object_edge * whole:.1f} pixels wide: they are cut into {number} tiles of {edge} "
        f"pixels, which overlap by {overlap} so that objects are whole in one of them"
    )
    return Tiling(edge, overlap, why)


def _cut_by(factor: float, pixels: float, needed: float, longest: float) -> tuple[int, int]:
    """Edge and overlap of tiles of so many network pixels, so many times larger.

    Args:
        factor: network pixels per pixel of the image.
        pixels: of a tile.
        needed, longest: edges of objects, in pixels of the image: of those that are to be whole in
            a tile, and of the longest, which is to be if it takes no more than a quarter.
    """
    edge = round(pixels**0.5 / factor)
    spanned = max(needed, min(longest, edge / 4))
    return edge, int(np.ceil(spanned + 2 * MARGIN * edge))


def _full_tiles(images: np.ndarray, edge: int, overlap: int) -> float:
    """How many tiles there are; those of images with a shorter edge are a part of one."""
    sizes, numbers = np.unique(images.astype(int), axis=0, return_counts=True)
    parts = np.minimum(sizes / edge, 1).prod(1)
    tiles = [len(cover_evenly(w, h, edge, overlap)) for w, h in sizes.tolist()]
    return float((parts * tiles * numbers).sum())
