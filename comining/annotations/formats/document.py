"""What every annotation format offers: its images, their boxes, and an edited copy of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from comining.annotations.completion import MINED

from .geometry import Box, Size

#: Where something stands in a document: a place, an id or a path. Only the document knows which.
Ref: TypeAlias = Any


@dataclass(frozen=True)
class Entry:
    """An image that a document lists.

    Attributes:
        key: where it stands in the document.
        name: of its file, as the document spells it: a path, a URL or a stem.
        size: width and height that the document states, if it does.
        where: what a message names: the file and perhaps the place in it.
        record: fields of its COCO record that are to be kept.
        other_name: what the image may be called if none is called ``name``, or "".
    """

    key: Ref
    name: str
    size: Size | None
    where: str
    record: dict[str, Any] = field(default_factory=dict)
    other_name: str = ""


@dataclass(frozen=True)
class Shape:
    """An object that a document holds.

    Attributes:
        ref: where it stands within its image's part of the document.
        label: name of the category; None for a region to ignore, of all categories.
        box: in the picture that the document describes.
        record: fields of its COCO record besides the box and the category.
    """

    ref: Ref
    label: str | None
    box: Box
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NewBox:
    """A box to be written into a document.

    Attributes:
        label: name of the category.
        box: in the picture that the document describes.
        score: of a mined box; None for others.
        record: its whole COCO record.
    """

    label: str
    box: Box
    score: float | None
    record: dict[str, Any]


@dataclass
class ImageEdits:
    """What is to be changed of one image.

    Attributes:
        key: where it stands in the document; None if it isn't listed there.
        file_name: relative to the image folder, with "/".
        size: of the picture that the document describes.
        removed: refs of shapes.
        changed: by ref, what takes a shape's place.
        added: new boxes.
    """

    key: Ref
    file_name: str
    size: Size
    removed: set[Ref] = field(default_factory=set)
    changed: dict[Ref, NewBox] = field(default_factory=dict)
    added: list[NewBox] = field(default_factory=list)


class Document(ABC):
    """Annotations as they were read, of one file or of a folder of files.

    Attributes:
        path: the file or folder that the user named.
        root: what is read: ``path``, or the folder that it describes.
        format: name of the format.
        suffix: of the file to be written, ".json" for COCO's alone; "" for a folder.
        categories: declared ones, in order, each with ``id`` and ``name``.
        notes: how often what was repaired or left out.
    """

    format: ClassVar[str]
    suffix: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path
        self.categories: list[dict[str, Any]] = []
        self.notes: Counter[str] = Counter()

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """The images in the document's order."""

    @abstractmethod
    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        """The objects of an image; what is no box, or has none around it, goes into the notes.

        Args:
            entry: one of `entries`.
            size: of the picture that the document describes.
        """

    @abstractmethod
    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        """Write an edited copy; the document itself stays as it was.

        Args:
            edits: of images with anything to be changed.
            dataset: the whole COCO data set that the copy is to hold.
            target: a new file, or a folder that is there and empty.
        """

    def top_level(self) -> dict[str, Any]:
        """What the COCO data set holds besides its three lists."""
        return {}

    def declare(self, names: Sequence[str]) -> None:
        """Set the categories, with ids from 1."""
        self.categories = [{"id": id_, "name": name} for id_, name in enumerate(names, 1)]


def mined(score: Any) -> dict[str, Any]:
    """Fields of the COCO record of a box that an earlier completion has added.

    A score that isn't a number from 0 to 1 makes it an annotation like all others.
    """
    try:
        value = float(score)
    except (TypeError, ValueError):
        return {}
    return {"origin": MINED, "score": value} if 0 <= value <= 1 else {}
