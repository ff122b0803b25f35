"""VGG Image Annotator (VIA): its annotations as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comining.errors import InputError

from .document import Document, Entry, ImageEdits, NewBox, Shape
from .geometry import Size
from .table import Table, write_table
from .via_regions import LabelAttribute, rectangle, region_shape

_SHAPE, _ATTRIBUTES = "region_shape_attributes", "region_attributes"


class ViaCsvDocument(Document):
    """Images are known by their names, shapes by their rows. A row may stand for no region."""

    format = "via"
    suffix = ".csv"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._table = Table(path)
        self._name = next(x for x in self._table.columns if x.lstrip("#") == "filename")
        self._regions: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._of_image: dict[str, list[int]] = {}
        for row, line in zip(self._table.rows, self._table.lines, strict=True):
            where = f"{path}: line {line}"
            region = _json(row[_SHAPE], _SHAPE, where), _json(row[_ATTRIBUTES], _ATTRIBUTES, where)
            self._of_image.setdefault(row[self._name], []).append(len(self._regions))
            self._regions.append(region)
        self._label = LabelAttribute(path, (x for _, x in self._regions), {})

    def entries(self) -> Iterator[Entry]:
        for name in self._of_image:
            yield Entry(name, name, None, f"{self.path}: {name}")

    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        for row in self._of_image[entry.key]:
            if not self._regions[row][0]:
                continue
            where = f"{self.path}: line {self._table.lines[row]}"
            shape = region_shape(self._label, row, self._regions[row], self.notes, where)
            if shape is not None:
                yield shape

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        by_image = {x.key: x for x in edits if x.key is not None}
        rows: list[dict[str, str]] = []
        for name, places in self._of_image.items():
            old = [self._table.rows[place] for place in places]
            if name in by_image:
                rows += self._edited(old[0], places, by_image[name])
            else:
                rows += old
        for edit in edits:
            if edit.key is None:
                blank = {self._name: edit.file_name, "file_size": "-1", "file_attributes": "{}"}
                rows += self._numbered(blank, [self._row(new) for new in edit.added])
        write_table(target, self._table.columns, rows)

    def _edited(
        self, first: dict[str, str], places: list[int], edit: ImageEdits
    ) -> list[dict[str, str]]:
        regions = []
        for place in places:
            if place in edit.removed or not self._regions[place][0]:
                continue
            if place in edit.changed:
                regions.append(self._row(edit.changed[place], self._regions[place][1]))
            else:
                row = self._table.rows[place]
                regions.append({k: row[k] for k in (_SHAPE, _ATTRIBUTES)})
        regions += [self._row(new) for new in edit.added]
        return self._numbered(first, regions)

    def _row(self, new: NewBox, attributes: dict[str, Any] | None = None) -> dict[str, str]:
        values = {**(attributes or {}), **self._label.attributes(new)}
        return {
            _SHAPE: json.dumps(rectangle(new.box), separators=(",", ":")),
            _ATTRIBUTES: json.dumps(values, separators=(",", ":"), ensure_ascii=False),
        }

    @staticmethod
    def _numbered(image: dict[str, str], regions: list[dict[str, str]]) -> list[dict[str, str]]:
        if not regions:
            blank = {_SHAPE: "{}", _ATTRIBUTES: "{}"}
            return [{**image, "region_count": "0", "region_id": "0", **blank}]
        number_ = str(len(regions))
        return [
            {**image, "region_count": number_, "region_id": str(i), **x}
            for i, x in enumerate(regions)
        ]


def is_via_table(columns: Sequence[str]) -> bool:
    """Whether a CSV file with these columns is one of VIA's."""
    names = {x.lstrip("#") for x in columns}
    return {"filename", _SHAPE, _ATTRIBUTES} <= names


def _json(text: str, column: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {column} is not JSON: {error}. Export it again") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: {column} is not a JSON object: export it again")
    return value
