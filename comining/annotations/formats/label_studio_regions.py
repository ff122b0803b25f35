"""What Label Studio's JSON and JSON-MIN share: regions in percent of the image, and URLs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from comining.annotations.image_files import has_image_name
from comining.errors import InputError

from .document import NewBox
from .geometry import Box, Size, around, around_ellipse, around_rotated
from .parsing import number, stated_size

MODEL = "comining"
RECTANGLE = "rectanglelabels"


def image_of(fields: Mapping[str, Any], where: str) -> str:
    """The path of the image among the fields of a task: that of a local file, or of a URL.

    Raises:
        InputError: there is none.
    """
    texts = {k: v for k, v in fields.items() if isinstance(v, str)}
    names = {k: _path(v) for k, v in texts.items()}
    images = [k for k, name in names.items() if has_image_name(name.replace("\\", "/"))]
    keys = [*(x for x in ("image", "img") if x in texts), *images]
    if not keys:
        raise InputError(f"{where} names no image: export tasks that are made of images")
    return names[keys[0]]


def _path(url: str) -> str:
    try:
        parts = urlsplit(url.replace("\\", "/"))
    except ValueError:
        return url  # any text may stand among the fields
    local = parse_qs(parts.query).get("d")
    if local:
        return local[0]
    # Only in a URL do these characters end the path; files may have them in their names.
    return unquote(parts.path) if parts.scheme or url.startswith("/") else url


def region_label(value: Mapping[str, Any]) -> str | None:
    """The label of a region, None if it has none. Of several, the first."""
    for key, labels in value.items():
        if key.endswith("labels") and isinstance(labels, list) and labels:
            return str(labels[0])
    return None


def region_kind(value: Mapping[str, Any]) -> str:
    """What draws such regions, such as "polygonlabels"."""
    return next((k for k in value if k.endswith("labels")), "without a label")


def region_box(value: Mapping[str, Any], size: Size, where: str) -> Box | None:
    """The upright box around a region, in pixels; None for key points and brush strokes.

    Raises:
        InputError: numbers are missing or none.
    """
    width, height = size

    def pixels(key: str, extent: int) -> float:
        return number(value.get(key), key, where) * extent / 100

    if "points" in value:
        points = value["points"]
        if not isinstance(points, list) or not points or not all(map(_is_pair, points)):
            raise InputError(f"{where} is a polygon without points: remove it")
        return around(
            [
                (number(x, "x", where) * width / 100, number(y, "y", where) * height / 100)
                for x, y in points
            ]
        )
    degrees = number(value.get("rotation") or 0, "rotation", where)
    if "radiusX" in value:
        center = pixels("x", width), pixels("y", height)
        radii = pixels("radiusX", width), pixels("radiusY", height)
        return around_ellipse(center, radii, degrees)
    if "keypointlabels" in value or not {"x", "y", "width", "height"} <= set(value):
        return None
    left, top = pixels("x", width), pixels("y", height)
    box = left, top, left + pixels("width", width), top + pixels("height", height)
    # Rectangles turn about their first corner.
    return around_rotated(box, degrees, (left, top)) if math.fmod(degrees, 360) else box


def _is_pair(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2


def region_size(region: Mapping[str, Any], where: str) -> Size | None:
    """The size of the image that a region states."""
    return stated_size(region.get("original_width"), region.get("original_height"), where)


def percent(box: Box, size: Size) -> dict[str, Any]:
    """The place of a rectangle, as Label Studio gives it."""
    left, top, right, bottom = box
    width, height = size
    return {
        "x": 100 * left / width,
        "y": 100 * top / height,
        "width": 100 * (right - left) / width,
        "height": 100 * (bottom - top) / height,
        "rotation": 0,
    }


def rectangle(new: NewBox, size: Size) -> dict[str, Any]:
    """The value of a region that is a box."""
    return {**percent(new.box, size), RECTANGLE: [new.label]}
