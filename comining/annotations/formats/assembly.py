"""A COCO data set of a document and a folder of images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from comining.annotations.known import EXHAUSTIVE, default_of
from comining.annotations.report import some
from comining.counted import counted
from comining.errors import InputError

from .document import Document, Entry, Ref, Shape
from .geometry import Box, Size, turned
from .images import ImageFolder, ImageSize
from .source import Source

#: Files round to some decimals: a box that reaches less than this beyond its image is no mistake.
_TOLERANCE = 0.5
#: Decimals of a pixel that are kept where boxes are given as fractions of the image.
_DECIMALS = 4


def assemble(document: Document, folder: ImageFolder, listed_only: bool) -> Source:
    """Read a document into a COCO data set; see `read_annotations`.

    Raises:
        InputError: images are missing, ambiguous, listed twice, damaged or of another size than
            the document states, or there is no category.
    """
    entries = list(document.entries())
    names = _images_of(entries, document, folder)
    _check_unique(entries, names)
    _check_readable(names, folder)
    assembly = _Assembly(document, folder)
    for entry, name in zip(entries, names, strict=True):
        assembly.add_listed(entry, name)
    unlisted = [] if listed_only else sorted(set(folder.names) - set(names))
    broken = {x for x in unlisted if not folder.is_readable(x)}
    if broken:
        named = some(sorted(broken))
        document.notes[f"unlisted images can't be read: left out ({named})"] = len(broken)
    # The default of a file, where it has one, is none of images that the file doesn't list.
    record: dict[str, Any] = {} if default_of(document.top_level()) is None else {EXHAUSTIVE: []}
    unlisted = [x for x in unlisted if x not in broken]
    for name in unlisted:
        assembly.add_image(name, folder.size(name), dict(record))
    return assembly.source(len(unlisted))


def _check_readable(names: list[str], folder: ImageFolder) -> None:
    broken = [x for x in names if not folder.is_readable(x)]
    if len(broken) > 1:
        raise InputError(
            f"{len(broken)} listed images in {folder.root} can't be read: {some(broken)}. Replace "
            "them, or take them out of the annotations"
        )
    for name in broken:
        folder.size(name)  # tells why


def _images_of(entries: list[Entry], document: Document, folder: ImageFolder) -> list[str]:
    names = []
    for entry in entries:
        use_other = entry.other_name and not folder.candidates(entry.name)
        if use_other and folder.candidates(entry.other_name):
            document.notes["images are named otherwise: that of the file's name taken"] += 1
            names.append(entry.other_name)
        else:
            names.append(entry.name)
    return folder.find(names, str(document.path))


def _check_unique(entries: list[Entry], names: list[str]) -> None:
    first: dict[str, Entry] = {}
    for entry, name in zip(entries, names, strict=True):
        other = first.setdefault(name, entry)
        if other is not entry:
            raise InputError(
                f"{other.where} ({other.name}) and {entry.where} ({entry.name}) are annotations of "
                f"the same image {name}: remove one of them"
            )


class _Assembly:
    """The data set while it grows."""

    def __init__(self, document: Document, folder: ImageFolder) -> None:
        self.document = document
        self.folder = folder
        self.images: list[dict[str, Any]] = []
        self.shapes: list[tuple[int, Shape, Box]] = []
        self.keys: dict[int, Ref] = {}
        self.orientations: dict[int, int] = {}
        self._taken: set[int] = set()
        self._free = count(1)
        self._first: dict[str, str] = {}

    def add_image(self, name: str, size: ImageSize, record: dict[str, Any]) -> int:
        id_ = record.get("id")
        if id_ is None:
            id_ = next(x for x in self._free if x not in self._taken)
        self._taken.add(id_)
        width, height = size.upright
        self.images.append(
            {**record, "id": id_, "file_name": name, "width": width, "height": height}
        )
        return id_

    def add_listed(self, entry: Entry, name: str) -> None:
        size = self.folder.size(name)
        described = self._described_size(entry, name, size)
        id_ = self.add_image(name, size, entry.record)
        self.keys[id_] = entry.key
        if described != size.upright:
            self.orientations[id_] = size.orientation
        orientation = self.orientations.get(id_, 1)
        for shape in self.document.shapes(entry, described):
            box = self._clipped(shape.box, described, entry.where)
            if box is not None:
                self.shapes.append((id_, shape, turned(box, orientation, size.upright)))

    def _described_size(self, entry: Entry, name: str, size: ImageSize) -> Size:
        if entry.size is None or entry.size == size.upright:
            return size.upright
        if entry.size == size.stored:
            self.document.notes[
                "images are described as stored, not as the camera was held: boxes turned"
            ] += 1
            return size.stored
        stated, real = ("x".join(map(str, x)) for x in (entry.size, size.upright))
        raise InputError(
            f"{entry.where}: the image {entry.name} is said to be {stated}, but "
            f"{self.folder.root / name} is {real}: give the images that were annotated"
        )

    def _clipped(self, box: Box, size: Size, where: str) -> Box | None:
        left, top, right, bottom = box
        if right <= left or bottom <= top:
            self._note("boxes have no area: left out", where)
            return None
        width, height = size
        inside = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            self._note("boxes lie outside their image: left out", where)
            return None
        if max(abs(a - b) for a, b in zip(box, inside, strict=True)) > _TOLERANCE:
            self._note("boxes reach beyond their image: clipped", where)
        return inside

    def _note(self, text: str, where: str) -> None:
        self.document.notes[text] += 1
        self._first.setdefault(text, where)

    def source(self, unlisted: int) -> Source:
        categories = self._categories()
        ids = {None: None, **{x["name"]: x["id"] for x in categories}}
        taken = {shape.record["id"] for _, shape, _ in self.shapes if "id" in shape.record}
        free = (x for x in count(1) if x not in taken)
        annotations, refs = [], {}
        for image_id, shape, box in self.shapes:
            annotation = _annotation(shape, box)
            id_ = shape.record["id"] if "id" in shape.record else next(free)
            annotations.append(
                {
                    **annotation,
                    "id": id_,
                    "image_id": image_id,
                    "category_id": ids[shape.label],
                }
            )
            refs[id_] = shape.ref
        dataset = {"images": self.images, "annotations": annotations, "categories": categories}
        return Source(
            path=Path(self.document.path),
            format=self.document.format,
            dataset={**self.document.top_level(), **dataset},
            notes=list(self._notes(unlisted)),
            unlisted=unlisted,
            document=self.document,
            keys=self.keys,
            refs=refs,
            orientations=self.orientations,
        )

    def _categories(self) -> list[dict[str, Any]]:
        declared = self.document.categories
        known = {x["name"] for x in declared}
        labels = {shape.label for _, shape, _ in self.shapes if shape.label is not None}
        found = sorted(labels - known)
        start = max((x["id"] for x in declared), default=0) + 1
        categories = [*declared, *({"id": i, "name": x} for i, x in enumerate(found, start))]
        if not categories:
            left_out = "; ".join(self._notes(0))
            raise InputError(
                f"{self.document.path} has no box with a label"
                f"{f' ({left_out})' if left_out else ''}: annotate some objects first"
            )
        return categories

    def _notes(self, unlisted: int) -> Iterator[str]:
        for text, number in self.document.notes.items():
            first = f" (first in {self._first[text]})" if text in self._first else ""
            yield counted(number, text) + first
        if unlisted:
            yield counted(
                unlisted, f"images are not listed: added from {self.folder.root}, with no box yet"
            )


def _annotation(shape: Shape, box: Box) -> dict[str, Any]:
    """A COCO record of a shape; of a COCO file's, the numbers stay as they are."""
    if box == shape.box and "bbox" in shape.record:
        bbox = shape.record["bbox"]
    else:
        left, top, right, bottom = (round(float(x), _DECIMALS) for x in box)
        bbox = [left, top, round(right - left, _DECIMALS), round(bottom - top, _DECIMALS)]
    area = round(bbox[2] * bbox[3], _DECIMALS)
    return {"iscrowd": 0, "area": area, **shape.record, "bbox": bbox}
