"""What VIA's JSON and CSV share: the shapes of regions and the attribute with the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from comining.errors import InputError

from .document import NewBox, Shape, mined
from .geometry import Box, around, around_ellipse
from .parsing import number, two_decimals

#: Names that users give the attribute with the label, in lower case, the likeliest first.
_USUAL = ("label", "class", "category", "class_name", "name", "type", "object")
_OWN = ("origin", "score")


class LabelAttribute:
    """The region attribute that holds the label: the only one, or one with a usual name.

    Attributes:
        name: of the attribute.

    Raises:
        InputError: it can't be told which of several it is.
    """

    def __init__(
        self, path: Path, regions: Iterable[dict[str, Any]], declared: dict[str, Any]
    ) -> None:
        regions = list(regions)
        found = Counter(k for x in regions for k in x if k not in _OWN)
        names = list(dict.fromkeys([*found, *declared]))
        usual = [x for u in _USUAL for x in names if x.lower() == u]
        if len(names) > 1 and not usual:
            raise InputError(
                f"{path} has the region attributes {', '.join(map(repr, names))}: name the one "
                "that holds the label 'label'"
            )
        self.name = usual[0] if usual else (names or ["label"])[0]
        details = declared.get(self.name)
        options = details.get("options") if isinstance(details, dict) else None
        self.options = list(options) if isinstance(options, dict) else []
        self._is_checkbox = any(isinstance(x.get(self.name), dict) for x in regions)

    def label(self, attributes: dict[str, Any]) -> str | None:
        """The label of a region; None if it has none, or several."""
        value = attributes.get(self.name)
        if isinstance(value, dict):
            ticked = [str(k) for k, v in value.items() if v]
            return ticked[0] if len(ticked) == 1 else None
        return str(value).strip() or None if value is not None else None

    def attributes(self, new: NewBox) -> dict[str, Any]:
        """The attributes of a new region."""
        value = {new.label: True} if self._is_checkbox else new.label
        marks = {} if new.score is None else {"origin": "mined", "score": str(new.score)}
        return {self.name: value, **marks}


def region_shape(
    label: LabelAttribute,
    place: Any,
    region: tuple[dict[str, Any], dict[str, Any]],
    notes: Counter[str],
    where: str,
) -> Shape | None:
    """A region as a shape; None, and a note, if it has no box or no label.

    Args:
        label: of the document.
        place: what the shape is to be known by.
        region: its shape and its attributes.
        notes: of the document.
        where: names the region in errors.

    Raises:
        InputError: it isn't as VIA writes it.
    """
    shape, attributes = region
    kind, box = _region_box(shape, where)
    name = label.label(attributes)
    if box is None:
        notes[f"regions of the kind {kind!r}: left out"] += 1
        return None
    if name is None:
        notes[f"regions have no {label.name!r}, or several: left out"] += 1
        return None
    if kind != "rect":
        notes[f"regions of the kind {kind!r}: taken by their boxes"] += 1
    return Shape(place, name, box, _fields(attributes))


def _region_box(shape: dict[str, Any], where: str) -> tuple[str, Box | None]:
    """The kind of a region's shape and the box around it, None for points and lines.

    Raises:
        InputError: it isn't as VIA writes it.
    """
    kind = str(shape.get("name"))

    def value(key: str) -> float:
        return number(shape.get(key), key, where)

    if kind == "rect":
        left, top = value("x"), value("y")
        return kind, (left, top, left + value("width"), top + value("height"))
    if kind == "circle":
        return kind, around_ellipse((value("cx"), value("cy")), (value("r"), value("r")))
    if kind == "ellipse":
        # VIA turns by radians.
        degrees = number(shape.get("theta", 0), "theta", where) * 57.29577951308232
        return kind, around_ellipse((value("cx"), value("cy")), (value("rx"), value("ry")), degrees)
    if kind == "polygon":
        across, down = shape.get("all_points_x"), shape.get("all_points_y")
        if (
            not isinstance(across, list)
            or not isinstance(down, list)
            or not across
            or len(across) != len(down)
        ):
            raise InputError(f"{where} is a polygon without points: remove it")
        return kind, around(
            [
                (number(x, "a point", where), number(y, "a point", where))
                for x, y in zip(across, down, strict=True)
            ]
        )
    return kind, None


def rectangle(box: Box) -> dict[str, Any]:
    """The shape of a region that is a box."""
    left, top, right, bottom = box
    return {
        "name": "rect",
        "x": two_decimals(left),
        "y": two_decimals(top),
        "width": two_decimals(right - left),
        "height": two_decimals(bottom - top),
    }


def _fields(attributes: dict[str, Any]) -> dict[str, Any]:
    """Fields of a region's COCO record."""
    return mined(attributes.get("score")) if attributes.get("origin") == "mined" else {}
