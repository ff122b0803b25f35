"""Upright boxes, XYXY in pixels, around what annotation tools draw."""

from __future__ import annotations

import math
from collections.abc import Iterable

#: Left, top, right, bottom.
Box = tuple[float, float, float, float]
Point = tuple[float, float]
#: Width and height.
Size = tuple[int, int]

#: By EXIF orientation, whether turning the picture upright mirrors it across and down after rows
#: and columns have changed places. Other orientations don't change the size.
_FLIPS = {5: (False, False), 6: (True, False), 7: (True, True), 8: (False, True)}


def around(points: Iterable[Point]) -> Box:
    """The box around at least one point."""
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def around_rotated(box: Box, degrees: float, pivot: Point) -> Box:
    """The box around one that is rotated clockwise about a point."""
    left, top, right, bottom = box
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return around(
        (
            pivot[0] + (x - pivot[0]) * cos - (y - pivot[1]) * sin,
            pivot[1] + (x - pivot[0]) * sin + (y - pivot[1]) * cos,
        )
        for x, y in corners
    )


def around_ellipse(center: Point, radii: Point, degrees: float = 0.0) -> Box:
    """The box around an ellipse that is rotated about its centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across = math.hypot(radii[0] * cos, radii[1] * sin)
    down = math.hypot(radii[0] * sin, radii[1] * cos)
    return center[0] - across, center[1] - down, center[0] + across, center[1] + down


def turned(box: Box, orientation: int, upright: Size) -> Box:
    """Where a box of a picture as it is stored lies when the picture is turned upright.

    Args:
        box: in the stored picture.
        orientation: what EXIF says; only 5 to 8 turn anything.
        upright: width and height of the upright picture.
    """
    if orientation not in _FLIPS:
        return box
    mirror_x, mirror_y = _FLIPS[orientation]
    width, height = upright
    left, top, right, bottom = box
    x = (width - bottom, width - top) if mirror_x else (top, bottom)
    y = (height - right, height - left) if mirror_y else (left, right)
    return x[0], y[0], x[1], y[1]


def turned_back(box: Box, orientation: int, upright: Size) -> Box:
    """The inverse of `turned`."""
    if orientation not in _FLIPS:
        return box
    mirror_x, mirror_y = _FLIPS[orientation]
    width, height = upright
    left, top, right, bottom = box
    y = (width - right, width - left) if mirror_x else (left, right)
    x = (height - bottom, height - top) if mirror_y else (top, bottom)
    return x[0], y[0], x[1], y[1]
