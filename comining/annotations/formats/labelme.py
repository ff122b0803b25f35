"""LabelMe: one JSON file per image."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from comining.errors import InputError

from .document import Entry, ImageEdits, NewBox, Shape, mined
from .files_per_image import FilesPerImage
from .geometry import Box, Size, around
from .parsing import number, stated_size, two_decimals

_SCORE = re.compile(r"score ([0-9.]+(?:e-?[0-9]+)?)")
_OUTLINES = ("polygon", "mask", "oriented_rectangle", "rotation", "quadrangle")


class LabelMeDocument(FilesPerImage):
    """Shapes are known by their places in the list ``shapes``."""

    format = "labelme"
    file_suffix = ".json"

    def parse(self, data: bytes, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not a JSON file: {error}. Save it again") from error
        if not is_labelme(content):
            raise InputError(
                f"{path} is not a LabelMe annotation as the other files are: it needs 'imagePath' "
                "and the list 'shapes'. Take it out of the folder"
            )
        return content

    def entry(self, file: str, content: dict[str, Any]) -> Entry:
        where = str(self.root / file)
        image = str(content["imagePath"]).replace("\\", "/")
        # imagePath is relative to the annotation, if the image lies where it was annotated.
        name = (PurePosixPath(file).parent / image).as_posix()
        size = stated_size(content.get("imageWidth"), content.get("imageHeight"), where)
        stem = PurePosixPath(file).with_suffix("").as_posix()
        return Entry(file, name, size, where, other_name=stem)

    def shapes_of(self, content: dict[str, Any], entry: Entry, size: Size) -> Iterator[Shape]:
        for place, shape in enumerate(content["shapes"]):
            where = f"{entry.where}: shape {place + 1}"
            if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
                raise InputError(f"{where} has no 'label': give it one or remove it")
            kind = shape.get("shape_type", "polygon")
            box = _box(kind, _points(shape, where))
            if box is None:
                self.notes[f"shapes of the kind {kind!r}: left out"] += 1
                continue
            if kind != "rectangle":
                self.notes[f"shapes of the kind {kind!r}: taken by their boxes"] += 1
            yield Shape(place, shape["label"], box, _fields(shape))

    def edited(self, content: dict[str, Any], data: bytes, edit: ImageEdits) -> bytes:
        shapes = []
        for place, shape in enumerate(content["shapes"]):
            if place in edit.changed:
                shape = {**shape, **_rectangle(edit.changed[place])}
                if "mask" in shape:
                    shape["mask"] = None
            if place not in edit.removed:
                shapes.append(shape)
        shapes += [_shape(new) for new in edit.added]
        return _dump({**content, "shapes": shapes})

    def created(self, edit: ImageEdits) -> bytes:
        return _dump(
            {
                "version": "5.0.1",
                "flags": {},
                "shapes": [_shape(new) for new in edit.added],
                "imagePath": PurePosixPath(edit.file_name).name,
                "imageData": None,
                "imageHeight": edit.size[1],
                "imageWidth": edit.size[0],
            }
        )


def is_labelme(content: Any) -> bool:
    """Whether JSON is an annotation of LabelMe."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("shapes"), list)
        and isinstance(content.get("imagePath"), str)
    )


def _points(shape: dict[str, Any], where: str) -> list[tuple[float, float]]:
    points = shape.get("points")
    if not isinstance(points, list) or not points:
        raise InputError(f"{where} has no 'points': remove it")
    if not all(isinstance(x, list) and len(x) == 2 for x in points):
        raise InputError(f"{where} has 'points' that are not pairs of numbers: remove it")
    return [(number(x, "a point", where), number(y, "a point", where)) for x, y in points]


def _box(kind: str, points: list[tuple[float, float]]) -> Box | None:
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.hypot(edge[0] - x, edge[1] - y)
        return x - radius, y - radius, x + radius, y + radius
    # Any two opposite corners, in either order.
    if kind in _OUTLINES or kind == "rectangle":
        return around(points)
    return None


def _fields(shape: dict[str, Any]) -> dict[str, Any]:
    flags = shape.get("flags")
    score = _SCORE.search(str(shape.get("description")))
    if isinstance(flags, dict) and flags.get("mined") is True and score:
        return mined(score.group(1))
    return {}


def _rectangle(new: NewBox) -> dict[str, Any]:
    left, top, right, bottom = map(two_decimals, new.box)
    return {
        "label": new.label,
        "points": [[left, top], [right, bottom]],
        "shape_type": "rectangle",
    }


def _shape(new: NewBox) -> dict[str, Any]:
    is_mined = new.score is not None
    return {
        **_rectangle(new),
        "group_id": None,
        "description": f"score {new.score}" if is_mined else "",
        "flags": {"mined": True} if is_mined else {},
    }


def _dump(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=2).encode()
