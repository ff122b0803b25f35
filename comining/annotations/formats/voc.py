"""Pascal VOC: one XML file per image."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from comining.errors import InputError

from .document import Entry, ImageEdits, NewBox, Shape, mined
from .files_per_image import FilesPerImage
from .geometry import Box, Size
from .parsing import append_indented, number, parse_xml, stated_size, two_decimals, xml_bytes

_EDGES = ("xmin", "ymin", "xmax", "ymax")


class VocDocument(FilesPerImage):
    """Shapes are known by their places among the ``<object>`` elements of a file.

    Coordinates are taken as most tools write them, with 0 for the first edge of the image.
    Coordinates are written as integers unless those that are there have decimals.
    """

    format = "voc"
    file_suffix = ".xml"
    _has_decimals = False
    #: That the images lie in, as the last file says.
    _folder = ""

    def parse(self, data: bytes, path: Path) -> ET.Element:
        root = parse_xml(data, path)
        if root.tag != "annotation":
            raise InputError(
                f"{path} is not a Pascal VOC annotation as the other files are: it begins with "
                f"<{root.tag}>. Take it out of the folder"
            )
        return root

    def entry(self, file: str, content: ET.Element) -> Entry:
        where = str(self.root / file)
        name = (content.findtext("filename") or "").strip()
        self._folder = (content.findtext("folder") or "").strip() or self._folder
        # Of more than one image of that name, the one that lies as the annotation does is meant.
        stem = PurePosixPath(file).with_suffix("")
        name = (stem.parent / name).as_posix() if name else stem.as_posix()
        size = content.find("size")
        stated = None
        if size is not None:
            stated = stated_size(size.findtext("width"), size.findtext("height"), where)
        return Entry(file, name, stated, where, other_name=stem.as_posix())

    def shapes_of(self, content: ET.Element, entry: Entry, size: Size) -> Iterator[Shape]:
        for place, element in enumerate(content.findall("object")):
            where = f"{entry.where}: object {place + 1}"
            label = (element.findtext("name") or "").strip()
            if not label:
                raise InputError(f"{where} has no <name>: give it one or remove it")
            yield Shape(place, label, self._box(element, where), _fields(element))

    def _box(self, element: ET.Element, where: str) -> Box:
        bounds = element.find("bndbox")
        if bounds is None:
            raise InputError(f"{where} has no <bndbox>: give it one or remove it")
        texts = [(bounds.findtext(edge) or "").strip() for edge in _EDGES]
        self._has_decimals |= any("." in text for text in texts)
        left, top, right, bottom = (
            number(text, edge, where) for text, edge in zip(texts, _EDGES, strict=True)
        )
        return left, top, right, bottom

    def edited(self, content: ET.Element, data: bytes, edit: ImageEdits) -> bytes:
        elements = content.findall("object")
        for ref, new in edit.changed.items():
            self._change(elements[ref], new)
        for ref in edit.removed:
            _remove(content, elements[ref])
        for new in edit.added:
            append_indented(content, self._object(new))
        return xml_bytes(content, data)

    def created(self, edit: ImageEdits) -> bytes:
        root = ET.Element("annotation")
        path = PurePosixPath(edit.file_name)
        ET.SubElement(root, "folder").text = path.parent.name or self._folder
        ET.SubElement(root, "filename").text = path.name
        size = ET.SubElement(root, "size")
        ET.SubElement(size, "width").text = str(edit.size[0])
        ET.SubElement(size, "height").text = str(edit.size[1])
        ET.SubElement(size, "depth").text = "3"
        ET.SubElement(root, "segmented").text = "0"
        root.extend(self._object(new) for new in edit.added)
        ET.indent(root, "\t")
        return xml_bytes(root, b"")

    def _change(self, element: ET.Element, new: NewBox) -> None:
        name, bounds = element.find("name"), element.find("bndbox")
        assert name is not None, "it was read"
        assert bounds is not None, "it was read"
        name.text = new.label
        for edge, text in self._edges(new.box).items():
            child = bounds.find(edge)
            assert child is not None, "it was read"
            child.text = text

    def _object(self, new: NewBox) -> ET.Element:
        element = ET.Element("object")
        for tag, text in (
            ("name", new.label),
            ("pose", "Unspecified"),
            ("truncated", "0"),
            ("difficult", "0"),
        ):
            ET.SubElement(element, tag).text = text
        bounds = ET.SubElement(element, "bndbox")
        for edge, text in self._edges(new.box).items():
            ET.SubElement(bounds, edge).text = text
        if new.score is not None:
            ET.SubElement(element, "origin").text = "mined"
            ET.SubElement(element, "score").text = str(new.score)
        return element

    def _edges(self, box: Box) -> dict[str, str]:
        if self._has_decimals:
            return {k: str(two_decimals(x)) for k, x in zip(_EDGES, box, strict=True)}
        left, top, right, bottom = map(round, box)
        whole = left, top, max(right, left + 1), max(bottom, top + 1)
        return {k: str(x) for k, x in zip(_EDGES, whole, strict=True)}


def _fields(element: ET.Element) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for tag in ("difficult", "truncated", "occluded"):
        if (element.findtext(tag) or "").strip() == "1":
            fields[tag] = 1
    if element.findtext("origin") == "mined":
        fields |= mined(element.findtext("score"))
    return fields


def _remove(parent: ET.Element, child: ET.Element) -> None:
    """Remove a child and the indentation that belongs to it."""
    place = list(parent).index(child)
    if place == len(parent) - 1 and place > 0:
        parent[place - 1].tail = child.tail
    parent.remove(child)
