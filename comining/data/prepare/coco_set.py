"""COCO annotation files from plain lists of images and boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Box(NamedTuple):
    """An object: its category's name and XYXY in pixels, as the source has it."""

    category: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class AnnotatedImage:
    """An image file, its size (width, height) in pixels and its objects."""

    file_name: str
    size: tuple[int, int]
    boxes: tuple[Box, ...]


def as_coco(
    images: Sequence[AnnotatedImage], categories: Sequence[str], info: dict[str, Any]
) -> dict[str, Any]:
    """Give images as a COCO dictionary; all ids count from 1 in the order of the arguments.

    Boxes are clipped to their image. Those of no width or no height are left out;
    `info["left_out"]` tells how many.

    Args:
        images: in the order wanted.
        categories: the names; boxes of others are left out without being counted.
        info: what else `info` holds.
    """
    category_ids = {name: index for index, name in enumerate(categories, start=1)}
    annotations: list[dict[str, Any]] = []
    left_out = 0
    for image_id, image in enumerate(images, start=1):
        width, height = image.size
        for box in image.boxes:
            if box.category not in category_ids:
                continue
            x0, x1 = (min(max(x, 0), width) for x in (box.x0, box.x1))
            y0, y1 = (min(max(y, 0), height) for y in (box.y0, box.y1))
            if x1 <= x0 or y1 <= y0:
                left_out += 1
                continue
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_ids[box.category],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
            )
    return {
        "info": {**info, "left_out": left_out},
        "images": [
            {
                "id": i,
                "file_name": image.file_name,
                "width": image.size[0],
                "height": image.size[1],
            }
            for i, image in enumerate(images, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for name, i in category_ids.items()],
    }


def summary(name: str, coco: dict[str, Any]) -> str:
    """One line: images and boxes of a file, by category."""
    number = Counter(annotation["category_id"] for annotation in coco["annotations"])
    parts = ", ".join(f"{c['name']} {number[c['id']]}" for c in coco["categories"])
    line = f"{name:17} {len(coco['images']):5} images {len(coco['annotations']):6} boxes ({parts})"
    left_out = coco["info"]["left_out"]
    return line + (f", {left_out} without extent left out" if left_out else "")
