"""VGG Image Annotator (VIA): a project or its annotations, as JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.errors import InputError

from .document import Document, Entry, ImageEdits, NewBox, Shape
from .geometry import Size
from .via_regions import LabelAttribute, rectangle, region_shape

_METADATA = "_via_img_metadata"
#: What VIA states as the size of a file that it doesn't know.
_UNKNOWN_BYTES = -1


class ViaDocument(Document):
    """Images are known by VIA's keys, shapes by their places among the regions."""

    format = "via"
    suffix = ".via.json"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._content = read_json(path)
        self._images = _images(self._content)
        for key, image in self._images.items():
            if not isinstance(image, dict):
                raise InputError(f"{path}: {key} is no object: export it from VIA again")
        declared = self._content.get("_via_attributes")
        attributes = declared.get("region") if isinstance(declared, dict) else None
        regions = [x for image in self._images.values() for x in _regions(image, str(path))]
        self._label = LabelAttribute(
            path,
            (x["region_attributes"] for x in regions),
            attributes if isinstance(attributes, dict) else {},
        )
        self.declare(self._label.options)

    def entries(self) -> Iterator[Entry]:
        for key, image in self._images.items():
            name = image.get("filename")
            where = f"{self.path}: {key}"
            if not isinstance(name, str) or not name:
                raise InputError(f"{where} has no 'filename': export it from VIA again")
            yield Entry(key, name, None, where)

    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        for place, region in enumerate(_regions(self._images[entry.key], entry.where)):
            where = f"{entry.where}: region {place + 1}"
            parts = region["shape_attributes"], region["region_attributes"]
            shape = region_shape(self._label, place, parts, self.notes, where)
            if shape is not None:
                yield shape

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        content = copy.deepcopy(self._content)
        images = _images(content)
        for edit in edits:
            if edit.key is None:
                key = f"{edit.file_name}{_UNKNOWN_BYTES}"
                images[key] = {
                    "filename": edit.file_name,
                    "size": _UNKNOWN_BYTES,
                    "regions": [self._region(new) for new in edit.added],
                    "file_attributes": {},
                }
                if isinstance(content.get("_via_image_id_list"), list):
                    content["_via_image_id_list"].append(key)
                continue
            image = images[edit.key]
            regions = []
            for place, region in enumerate(_regions(image, str(edit.key))):
                if place in edit.changed:
                    new = self._region(edit.changed[place])
                    new["region_attributes"] = {
                        **region["region_attributes"],
                        **new["region_attributes"],
                    }
                    region = {**region, **new}
                if place not in edit.removed:
                    regions.append(region)
            regions += [self._region(new) for new in edit.added]
            is_dict = isinstance(image["regions"], dict)
            image["regions"] = {str(i): x for i, x in enumerate(regions)} if is_dict else regions
        target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    def _region(self, new: NewBox) -> dict[str, Any]:
        return {
            "shape_attributes": rectangle(new.box),
            "region_attributes": self._label.attributes(new),
        }


def is_via(content: Any) -> bool:
    """Whether JSON is a project or the annotations of VIA."""
    if not isinstance(content, dict) or not content:
        return False
    if isinstance(content.get(_METADATA), dict):
        return True
    return all(isinstance(x, dict) and "filename" in x and "regions" in x for x in content.values())


def _images(content: dict[str, Any]) -> dict[str, Any]:
    return content.get(_METADATA, content)


def _regions(image: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """A list in VIA 2, an object whose keys are numbers in VIA 1."""
    regions = image.get("regions")
    regions = list(regions.values()) if isinstance(regions, dict) else regions
    if not isinstance(regions, list) or not all(
        isinstance(x, dict)
        and isinstance(x.get("shape_attributes"), dict)
        and isinstance(x.get("region_attributes"), dict)
        for x in regions
    ):
        raise InputError(
            f"{where}: 'regions' must hold objects with 'shape_attributes' and "
            "'region_attributes': export it from VIA again"
        )
    return regions
