"""CVAT for images 1.1: one XML file for all images."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comining.errors import InputError

from .document import Document, Entry, ImageEdits, NewBox, Shape, mined
from .geometry import Box, Size, around, around_ellipse, around_rotated
from .parsing import append_indented, number, parse_xml, read_bytes, stated_size, xml_bytes

_EDGES = ("xtl", "ytl", "xbr", "ybr")
#: What CVAT draws that has no box around it, or none that is an object's.
_NO_BOX = ("polyline", "points", "skeleton", "tag")


class CvatDocument(Document):
    """Images are known by their places in the file, shapes by those within their image.

    CVAT ignores attributes that a label doesn't declare, so that boxes that are mined can say so
    and give their score: a label that declares a text "score" shows it.
    """

    format = "cvat"
    suffix = ".xml"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._data = read_bytes(path)
        self._root = parse_xml(self._data, path)
        if self._root.find("track") is not None:
            raise InputError(
                f"{path} is an export as CVAT for video, whose boxes go on from frame to frame: "
                "export it as CVAT for images 1.1"
            )
        self._images = self._root.findall("image")
        if not self._images:
            raise InputError(f"{path} lists no images: export it from CVAT again")
        names = [
            (label.findtext("name") or "").strip()
            for label in self._root.iterfind("meta//labels/label")
            if label.find("parent") is None  # else it is a joint of a skeleton
        ]
        self.declare(list(dict.fromkeys(filter(None, names))))

    def entries(self) -> Iterator[Entry]:
        for place, image in enumerate(self._images):
            name = image.get("name")
            where = f"{self.path}: image {name or place + 1}"
            if not name:
                raise InputError(f"{where} has no name: export it from CVAT again")
            size = stated_size(image.get("width"), image.get("height"), where)
            yield Entry(place, name, size, where)

    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        image = self._images[entry.key]
        for place, element in enumerate(image):
            if not isinstance(element.tag, str):  # a comment
                continue
            if element.tag in _NO_BOX:
                self.notes[f"shapes of the kind <{element.tag}>: left out"] += 1
                continue
            where = f"{entry.where}: <{element.tag}> {place + 1}"
            box = self._box(element, where)
            if box is None:
                continue
            label = element.get("label")
            if not label:
                raise InputError(f"{where} has no label: give it one or remove it")
            yield Shape(place, label, box, _fields(element))

    def _box(self, element: ET.Element, where: str) -> Box | None:
        def value(name: str) -> float:
            return number(element.get(name), name, where)

        if element.tag == "box":
            left, top, right, bottom = map(value, _EDGES)
            degrees = number(element.get("rotation", 0), "rotation", where)
            if not degrees:
                return left, top, right, bottom
            self.notes["boxes are rotated: taken upright, large enough to hold them"] += 1
            center = (left + right) / 2, (top + bottom) / 2
            return around_rotated((left, top, right, bottom), degrees, center)
        box = None
        if element.tag == "polygon":
            box = around(_points(element.get("points", ""), where))
        elif element.tag == "ellipse":
            degrees = number(element.get("rotation", 0), "rotation", where)
            center = value("cx"), value("cy")
            box = around_ellipse(center, (value("rx"), value("ry")), degrees)
        elif element.tag == "mask":
            left, top = value("left"), value("top")
            box = left, top, left + value("width"), top + value("height")
        elif element.tag == "cuboid":
            corners = [f"{side}{face}" for face in (1, 2) for side in ("tl", "bl", "tr", "br")]
            box = around([(value(f"x{x}"), value(f"y{x}")) for x in corners])
        how = "taken by their boxes" if box else "left out"
        self.notes[f"shapes of the kind <{element.tag}>: {how}"] += 1
        return box

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        root = copy.deepcopy(self._root)
        images = root.findall("image")
        ids = [int(x.get("id", "")) for x in images if x.get("id", "").isdigit()]
        free = max(ids, default=len(images) - 1) + 1
        for edit in edits:
            if edit.key is None:
                width, height = map(str, edit.size)
                image = ET.Element(
                    "image",
                    {"id": str(free), "name": edit.file_name, "width": width, "height": height},
                )
                free += 1
                image.extend(map(_element, edit.added))
                append_indented(root, image)
                continue
            image = images[edit.key]
            elements = list(image)
            for ref, new in edit.changed.items():
                _change(elements[ref], new)
            for ref in edit.removed:
                image.remove(elements[ref])
            for new in edit.added:
                append_indented(image, _element(new))
        target.write_bytes(xml_bytes(root, self._data))


def _points(text: str, where: str) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in text.split(";") if pair.strip()]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{where} has the points {text!r}: 'x,y;x,y;...' is needed")
    return [(number(x, "a point", where), number(y, "a point", where)) for x, y in pairs]


def _fields(element: ET.Element) -> dict[str, Any]:
    attributes = {x.get("name"): x.text for x in element.findall("attribute")}
    return mined(attributes.get("score")) if attributes.get("origin") == "mined" else {}


def _edges(box: Box) -> dict[str, str]:
    return {k: f"{x:.2f}" for k, x in zip(_EDGES, box, strict=True)}


def _change(element: ET.Element, new: NewBox) -> None:
    kept = {k: element.get(k) for k in ("source", "occluded", "z_order", "group_id")}
    attributes = {k: v for k, v in kept.items() if v is not None}
    element.tag = "box"
    element.attrib = {"label": new.label, **attributes, **_edges(new.box)}


def _element(new: NewBox) -> ET.Element:
    source = "manual" if new.score is None else "auto"
    element = ET.Element(
        "box",
        {"label": new.label, "source": source, "occluded": "0", **_edges(new.box), "z_order": "0"},
    )
    if new.score is not None:
        for name, text in (("origin", "mined"), ("score", str(new.score))):
            ET.SubElement(element, "attribute", {"name": name}).text = text
    return element
