"""Rectangles as annotation tools export them, to upright boxes in the image."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .exchange_fields import as_number
from .report import Report

#: Pixels that a box may reach beyond its image without a word: tools round.
_ROUNDING = 0.5


class ReviewedBox(NamedTuple):
    """A box that a reviewer left or drew.

    Attributes:
        category: name.
        bbox: XYWH in pixels.
    """

    category: str
    bbox: tuple[float, float, float, float]


class ExportedBox(NamedTuple):
    """A rectangle of an export, its values yet unchecked.

    Attributes:
        name: what the tool calls it, for messages.
        image: that of the data set.
        labels: names; exactly one is usable.
        bbox: XYWH in units of the tool.
        units: pixels of a unit across and down.
        degrees: by which it is turned clockwise; null means 0.
        pivot: about which point it turns, as shares of its width and height.
    """

    name: str
    image: Mapping[str, Any]
    labels: Sequence[str]
    bbox: Sequence[Any]
    units: tuple[float, float]
    degrees: Any
    pivot: tuple[float, float]


def turned_box(
    bbox: Sequence[float], degrees: float, pivot: tuple[float, float]
) -> tuple[float, float, float, float]:
    """The upright box around a turned one.

    Args:
        bbox: XYWH in pixels before it is turned; width and height may be negative.
        degrees: clockwise.
        pivot: as shares of width and height.

    Returns:
        XYWH in pixels, width and height not negative.
    """
    x, y, width, height = bbox
    if not degrees % 360:  # exactly, for it is compared with what it was
        return min(x, x + width), min(y, y + height), abs(width), abs(height)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(width * (i - pivot[0]), height * (j - pivot[1])) for i in (0, 1) for j in (0, 1)]
    across = [cos * a - sin * b for a, b in corners]
    down = [sin * a + cos * b for a, b in corners]
    return (
        x + width * pivot[0] + min(across),
        y + height * pivot[1] + min(down),
        max(across) - min(across),
        max(down) - min(down),
    )


def upright_boxes(
    exported: Iterable[ExportedBox], categories: Iterable[str], report: Report
) -> dict[int, list[ReviewedBox]]:
    """What the rectangles of an export mean, by image id.

    A turned rectangle becomes the upright box around it, a mirrored one is turned over, and what
    reaches beyond the image is clipped; the report counts that.

    Args:
        exported: rectangles.
        categories: names of the data set's.
        report: gets the counts, and an error for each kind of rectangles that can't be used.
    """
    exact = list(categories)
    names = {x.strip(): x for x in exact} | {x: x for x in exact}
    unknown = (
        f"boxes have a label that is none of the data set's ({', '.join(exact)}): rename the label "
        "or remove them"
    )
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    boxes: defaultdict[int, list[ReviewedBox]] = defaultdict(list)
    for box in exported:
        labels = list(dict.fromkeys(names.get(x, names.get(x.strip(), x)) for x in box.labels))
        if not labels:
            found["error", "boxes have no label: give them one or remove them"].append(box.name)
        elif len(labels) > 1:
            found["error", "boxes have several labels: leave them one"].append(
                f"{box.name}: {', '.join(labels)}"
            )
        elif labels[0] not in names:
            found["error", unknown].append(f"{box.name}: {labels[0]!r}")
        bbox, remarks = _upright_box(box)
        for remark in remarks:
            found[remark].append(box.name)
        if bbox and labels:
            boxes[box.image["id"]].append(ReviewedBox(labels[0], bbox))
    for (severity, text), offenders in found.items():
        report.add(severity, text, offenders)
    return boxes


def _upright_box(
    box: ExportedBox,
) -> tuple[tuple[float, float, float, float] | None, list[tuple[str, str]]]:
    """XYWH in pixels within the image, and what is to be said of it: severity and text."""
    numbers = [x for x in map(as_number, box.bbox) if x is not None]
    degrees = 0.0 if box.degrees in (None, "") else as_number(box.degrees)
    if len(numbers) != 4 or degrees is None:
        return None, [("error", _NO_NUMBER)]
    x, y, width, height = (a * unit for a, unit in zip(numbers, box.units * 2, strict=True))
    if not width or not height:
        return None, [("error", "boxes have no area: draw them again or remove them")]
    remarks = []
    if degrees % 360:
        remarks.append(("repaired", "boxes are turned: made upright, large enough to hold them"))
    if width < 0 or height < 0:
        remarks.append(("repaired", "boxes have a negative width or height: turned over"))
    left, top, width, height = turned_box((x, y, width, height), degrees, box.pivot)
    edges = left, top, left + width, top + height
    across, down = box.image["width"], box.image["height"]
    inside = max(left, 0), max(top, 0), min(edges[2], across), min(edges[3], down)
    if inside == edges:
        return (left, top, width, height), remarks
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        return None, [("error", "boxes lie outside their image: draw them again or remove them")]
    if any(abs(a - b) > _ROUNDING for a, b in zip(inside, edges, strict=True)):
        remarks.append(("repaired", "boxes reach beyond their image: clipped"))
    return (inside[0], inside[1], inside[2] - inside[0], inside[3] - inside[1]), remarks


_NO_NUMBER = (
    "boxes have no number as x, y, width, height or rotation: draw them again or remove them"
)
