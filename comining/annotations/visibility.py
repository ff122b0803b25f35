"""How hard annotated objects are to see: small, crowded, cut off, of little contrast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from comining.counted import counted
from comining.errors import InputError

from .image_files import turned

Images = Sequence[Mapping[str, Any]]

SURROUNDINGS = 1.5
"""An object's surroundings are its box, grown about its centre by this factor."""
_AT_BORDER = 1  # pixels


def measure(
    images: Images, annotations: Sequence[Mapping[str, Any]], image_root: Path | None
) -> dict[str, np.ndarray]:
    """Measure what makes objects hard to see; greater means harder.

    Args:
        images: COCO images.
        annotations: N COCO annotations of them.
        image_root: where the files are; without it there is no `low_contrast`.

    Returns:
        (N,) float for each of

        - `smallness`: minus the logarithm of the box's mean edge over the image's mean edge
          (geometric means).
        - `crowding`: the share of the box and its surroundings that boxes of others cover, each
          counted for itself; at most 1.
        - `cut_off`: 1 if the box reaches to the image's border (within a pixel), or else 0.
        - `low_contrast`: minus the logarithm of 1 plus the distance (of 0 to 441) between the mean
          RGB colours of the box and of its surroundings.

    Raises:
        InputError: images without size; a file that is missing, can't be read or has another size.
    """
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, annotation in enumerate(annotations):
        members[annotation["image_id"]].append(index)
    names = ["smallness", "crowding", "cut_off"] + (["low_contrast"] if image_root else [])
    features = {name: np.zeros(len(annotations)) for name in names}
    _check_sizes([image for image in images if image["id"] in members])
    for image in images:
        indices = members.get(image["id"])
        if not indices:
            continue
        width, height = image["width"], image["height"]
        boxes = _xyxy([annotations[index]["bbox"] for index in indices])
        features["smallness"][indices] = -np.log(_area(boxes) / (width * height)) / 2
        features["crowding"][indices] = crowding(boxes)
        low, high = (
            boxes[:, :2] <= _AT_BORDER,
            boxes[:, 2:] >= np.array([width, height]) - _AT_BORDER,
        )
        features["cut_off"][indices] = (low | high).any(1)
        if image_root:
            pixels = _read(image_root / str(image.get("file_name")), (width, height))
            features["low_contrast"][indices] = -np.log1p(contrast(pixels, boxes))
    return features


def crowding(boxes: np.ndarray) -> np.ndarray:
    """The share of each box and its surroundings that the others cover; see `measure`.

    Args:
        boxes: (N, 4) XYXY of positive area, of one image.

    Returns:
        (N,) within 0 to 1.
    """
    grown = _grow(boxes)
    corner = np.maximum(grown[:, None, :2], boxes[None, :, :2])
    opposite = np.minimum(grown[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(opposite - corner, 0, None).prod(-1)
    np.fill_diagonal(shared, 0)
    return np.minimum(shared.sum(1) / _area(grown), 1)


def contrast(pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The distance between the mean colours of boxes and of their surroundings without them.

    Args:
        pixels: (height, width, 3) uint8.
        boxes: (N, 4) XYXY. Pixels count that lie in them with any part.

    Returns:
        (N,) 0 to 441; 0 for a box without surroundings inside the image.
    """
    distances = np.zeros(len(boxes))
    for index, (box, grown) in enumerate(zip(boxes, _grow(boxes), strict=True)):
        inner, outer = _shown(pixels, box), _shown(pixels, grown)
        num_inner, num_ring = len(inner), len(outer) - len(inner)
        if num_inner and num_ring:
            sum_inner = inner.sum(0)
            ring = (outer.sum(0) - sum_inner) / num_ring
            distances[index] = np.linalg.norm(sum_inner / num_inner - ring)
    return distances


def _shown(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The colours (K, 3) of the pixels that a box touches."""
    x0, y0 = np.maximum(np.floor(box[:2]), 0).astype(int)
    x1, y1 = np.maximum(np.ceil(box[2:]), 0).astype(int)
    return pixels[y0:y1, x0:x1].reshape(-1, 3)


def _check_sizes(images: Images) -> None:
    bad = [
        str(image["id"])
        for image in images
        if not all(
            type(image.get(side)) in (int, float) and image[side] > 0
            for side in ("width", "height")
        )
    ]
    if bad:
        more = ", ..." if len(bad) > 5 else ""
        raise InputError(
            f"{counted(len(bad), 'images')} without 'width' and 'height', which 'hard-to-see' "
            f"needs: {', '.join(bad[:5])}{more}"
        )


def _read(image_file: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(image_file) as stored:
            image = turned(stored)
            if image.size != size:
                raise InputError(
                    f"{image_file} has {image.size[0]}x{image.size[1]} pixels, but its record says "
                    f"{size[0]}x{size[1]}: correct the record or take the image that it means"
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{image_file} can't be read ({error}): name the folder of the images"
        ) from error


def _xyxy(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """COCO boxes (N, 4) as XYXY of at least one pixel, as COCO has boxes without height."""
    array = np.array(boxes, float).reshape(-1, 4)
    array[:, 2:] = array[:, :2] + np.maximum(array[:, 2:], 1)
    return array


def _grow(boxes: np.ndarray) -> np.ndarray:
    margin = (boxes[:, 2:] - boxes[:, :2]) * (SURROUNDINGS - 1) / 2
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)
