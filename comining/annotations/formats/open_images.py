"""Open Images: boxes as CSV, names of the labels in a second one beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comining.annotations.image_files import has_image_name
from comining.annotations.known import ABSENT, EXHAUSTIVE
from comining.errors import InputError

from .document import Document, Entry, ImageEdits, NewBox, Shape, mined
from .geometry import Box, Size
from .open_images_labels import verified_labels
from .parsing import number, without_suffix
from .table import Table, read_lines, write_table

_EDGES = ("XMin", "YMin", "XMax", "YMax")
_FLAGS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
_SOURCE = "comining"


class OpenImagesDocument(Document):
    """Images are known by their ImageID, shapes by their rows.

    Groups (IsGroupOf) become crowds. Where labels of whole images lie beside the boxes, what was
    verified as absent is, and boxed categories that were verified as present are exhaustive. One
    without a box isn't: its objects may be boxed as what they are in particular.
    """

    format = "openimages"
    suffix = ".csv"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._table = Table(path)
        if not set(_EDGES) <= set(self._table.columns):
            raise InputError(
                f"{path} holds labels of whole images, without {', '.join(_EDGES)}: give the file "
                "of the boxes (...-annotations-bbox.csv)"
            )
        self._of_image: dict[str, list[int]] = {}
        for place, row in enumerate(self._table.rows):
            self._of_image.setdefault(row["ImageID"], []).append(place)
        codes = {row["LabelName"] for row in self._table.rows}
        self._names = _descriptions(path, codes)
        self._codes = {self._name(code): code for code in codes}
        self._labels = verified_labels(path, self._of_image)
        if self._labels:
            self.categories = [
                {"id": id_, "name": name} for id_, name in enumerate(sorted(self._codes), start=1)
            ]
        if self._names is None and any(x.startswith("/m/") for x in codes):
            self.notes[
                "labels have no name, only a code: put class-descriptions.csv beside the file"
            ] = len(codes)

    def entries(self) -> Iterator[Entry]:
        for image_id, places in self._of_image.items():
            where = f"{self.path}: line {self._table.lines[places[0]]}"
            if not image_id:
                raise InputError(f"{where} has no ImageID: give it one or remove it")
            yield Entry(image_id, image_id, None, where, self._known(image_id))

    def _known(self, image_id: str) -> dict[str, list[int]]:
        if image_id not in self._labels:
            return {}
        labels = self._labels[image_id]
        rows = (self._table.rows[place] for place in self._of_image[image_id])
        boxed = {row["LabelName"] for row in rows if row.get("Source") != _SOURCE}
        ids = {self._codes[x["name"]]: x["id"] for x in self.categories}
        contradicted = sum(not present and code in boxed for code, present in labels.items())
        if contradicted:
            self.notes["labels have boxes, though verified as absent: taken as present"] += (
                contradicted
            )
        return {
            EXHAUSTIVE: sorted(ids[x] for x, present in labels.items() if present and x in boxed),
            ABSENT: sorted(
                ids[x]
                for x, present in labels.items()
                if not present and x in ids and x not in boxed
            ),
        }

    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        width, height = size
        for place in self._of_image[entry.key]:
            row = self._table.rows[place]
            where = f"{self.path}: line {self._table.lines[place]}"
            left, top, right, bottom = (number(row[x], x, where) for x in _EDGES)
            if not all(-0.01 <= x <= 1.01 for x in (left, top, right, bottom)):
                raise InputError(
                    f"{where} has coordinates that are not fractions from 0 to 1: divide pixels "
                    "by the image's width and height"
                )
            if not row["LabelName"]:
                raise InputError(f"{where} has no LabelName: give it one or remove it")
            box = left * width, top * height, right * width, bottom * height
            yield Shape(place, self._name(row["LabelName"]), box, _fields(row))

    def _name(self, code: str) -> str:
        return (self._names or {}).get(code, code)

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        removed = {ref for edit in edits for ref in edit.removed}
        changed = {
            ref: self._cells(new, edit.size) for edit in edits for ref, new in edit.changed.items()
        }
        rows = [
            {**row, **changed.get(place, {})}
            for place, row in enumerate(self._table.rows)
            if place not in removed
        ]
        stems = Counter(without_suffix(x["file_name"]) for x in dataset["images"])
        for edit in edits:
            image_id = edit.key
            if image_id is None:
                is_clear = stems[without_suffix(edit.file_name)] == 1
                image_id = self._image_id(edit.file_name) if is_clear else edit.file_name
            rows += [self._row(new, image_id, edit.size) for new in edit.added]
        write_table(target, self._table.columns, rows)

    def _image_id(self, file_name: str) -> str:
        """As the file names images: with a suffix or without."""
        if any(map(has_image_name, self._of_image)):
            return file_name
        return without_suffix(file_name)

    def _cells(self, new: NewBox, size: Size) -> dict[str, str]:
        return {"LabelName": self._codes.get(new.label, new.label), **_fractions(new.box, size)}

    def _row(self, new: NewBox, image_id: str, size: Size) -> dict[str, str]:
        is_mined = new.score is not None
        return {
            "ImageID": image_id,
            "Source": _SOURCE if is_mined else "freeform",
            "Confidence": str(new.score) if is_mined else "1",
            # Not known.
            **dict.fromkeys(_FLAGS, "-1"),
            **self._cells(new, size),
        }


def is_open_images_table(columns: Sequence[str]) -> bool:
    """Whether a CSV file with these columns is one of Open Images' annotations."""
    return {"ImageID", "LabelName"} <= set(columns)


def _descriptions(path: Path, codes: set[str]) -> dict[str, str] | None:
    """Names by code, of the CSV file of two columns beside the boxes that has these codes."""
    for other in sorted(path.parent.glob("*.csv")):
        if other == path:
            continue
        try:
            rows = [row for _, row in read_lines(other)]
        except InputError:
            continue  # whatever it is, it is none of the descriptions
        if any(len(row) != 2 for row in rows):
            continue
        names = {code: name.strip() for code, name in rows if code in codes and name.strip()}
        if names:
            counts = Counter(names.values())
            return {k: v if counts[v] == 1 else f"{v} ({k})" for k, v in names.items()}
    return None


def _fields(row: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"iscrowd": int(row.get("IsGroupOf", "") == "1")}
    return {**fields, **mined(row.get("Confidence"))} if row.get("Source") == _SOURCE else fields


def _fractions(box: Box, size: Size) -> dict[str, str]:
    scale = size * 2
    return {k: f"{x / s:.6f}" for k, x, s in zip(_EDGES, box, scale, strict=True)}
