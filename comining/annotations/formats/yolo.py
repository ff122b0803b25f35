"""YOLO: one text file per image, a class number and fractions of the image a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comining.counted import counted
from comining.errors import InputError

from .document import Entry, ImageEdits, NewBox, Shape
from .files_per_image import FilesPerImage
from .geometry import Box, Size, around
from .parsing import number
from .yolo_names import LISTS, find_names, movable_text, read_names, read_yaml

#: Rounded fractions may exceed 1 by that.
_TOLERANCE = 0.01
_FORM = "class x y width height"


class YoloDocument(FilesPerImage):
    """Shapes are known by their lines.

    A line with more numbers is an outline and taken by its box; with just one more, that is a
    confidence, which is left out. A category's id is its class number plus 1.

    Attributes:
        names_file: what a copy of the folder names its classes by, a file's name and its text; None
            if they have no names.
    """

    format = "yolo"
    file_suffix = ".txt"

    def __init__(self, path: Path, root: Path, files: Sequence[str], names: Path | None) -> None:
        super().__init__(path, root, files)
        self.names_file: tuple[str, str] | None = None
        found = (names, read_names(names)) if names else find_names(root)
        if found and found[1] is not None:
            self.named_by, listed = str(found[0]), found[1]
            self.declare(listed)
            if names or found[0].parent == root.resolve():
                self.names_file = found[0].name, movable_text(found[0], root)
            else:
                # It describes more than the folder.
                self.names_file = LISTS[0], "".join(f"{x}\n" for x in listed)
                self.notes[f"classes are named by {found[0]}"] = len(listed)
        else:
            self.named_by = "no data.yaml or classes.txt beside the labels"
            self._declare_numbers()

    def _declare_numbers(self) -> None:
        highest = -1
        for file in self.files:
            for line, text in _lines(self._read(file)[0]):
                where = f"{self.root / file}: line {line + 1}"
                highest = max(highest, _class(text.split()[0], where))
        self.declare([str(x) for x in range(highest + 1)])
        if highest >= 0:
            self.notes[
                "classes have no name, only a number: put a classes.txt beside the labels"
            ] = highest + 1

    def parse(self, data: bytes, path: Path) -> str:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a text: take it out of the folder") from error

    def entry(self, file: str, content: str) -> Entry:
        return Entry(file, file[: -len(self.file_suffix)], None, str(self.root / file))

    def shapes_of(self, content: str, entry: Entry, size: Size) -> Iterator[Shape]:
        for line, text in _lines(content):
            where = f"{entry.where}: line {line + 1}"
            fields = text.split()
            class_ = _class(fields[0], where)
            if class_ >= len(self.categories):
                raise InputError(
                    f"{where}: the class number {class_} has no name: there are "
                    f"{len(self.categories)}, from 0 to {len(self.categories) - 1} "
                    f"({self.named_by})"
                )
            left, top, right, bottom = self._fractions(fields[1:], where)
            width, height = size
            box = left * width, top * height, right * width, bottom * height
            yield Shape(line, self.categories[class_]["name"], box)

    def _fractions(self, fields: list[str], where: str) -> Box:
        values = [number(x, "a coordinate", where) for x in fields]
        if len(values) == 5:
            self.notes["boxes have a confidence: left out"] += 1
            values = values[:4]
        if len(values) < 4 or len(values) % 2:
            raise InputError(
                f"{where} has {counted(len(values) + 1, 'columns')}: {_FORM!r} is needed, or a "
                "class and the corners of an outline"
            )
        if not all(-_TOLERANCE <= x <= 1 + _TOLERANCE for x in values):
            raise InputError(
                f"{where} has coordinates that are not fractions from 0 to 1: divide pixels by "
                "the image's width and height"
            )
        if len(values) > 4:
            self.notes["outlines: taken by their boxes"] += 1
            return around(zip(values[::2], values[1::2], strict=True))
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        super().write(edits, dataset, target)
        if self.names_file is not None:
            name, text = self.names_file
            (target / name).write_bytes(text.encode())

    def edited(self, content: str, data: bytes, edit: ImageEdits) -> bytes:
        lines: list[str] = []
        for number_, text in enumerate(content.splitlines()):
            if number_ in edit.changed:
                text = self._line(edit.changed[number_], edit.size)
            if number_ not in edit.removed:
                lines.append(text)
        lines += [self._line(new, edit.size) for new in edit.added]
        return _joined(lines)

    def created(self, edit: ImageEdits) -> bytes:
        return _joined([self._line(new, edit.size) for new in edit.added])

    def _line(self, new: NewBox, size: Size) -> str:
        class_ = next(i for i, x in enumerate(self.categories) if x["name"] == new.label)
        left, top, right, bottom = new.box
        width, height = size
        fractions = (
            (left + right) / 2 / width,
            (top + bottom) / 2 / height,
            (right - left) / width,
            (bottom - top) / height,
        )
        return " ".join([str(class_), *(f"{x:.6f}" for x in fractions)])


def labels_root(data_yaml: Path) -> Path:
    """The folder of the data set that a data.yaml describes.

    Raises:
        InputError: the file is broken or names no classes.
    """
    content = read_yaml(data_yaml)
    if "names" not in content:
        raise InputError(f"{data_yaml} is not the data.yaml of a YOLO data set: it needs 'names'")
    root = data_yaml.parent / str(content.get("path") or ".")
    return root if root.is_dir() else data_yaml.parent


def _lines(content: str) -> Iterator[tuple[int, str]]:
    return ((i, x) for i, x in enumerate(content.splitlines()) if x.strip())


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{x}\n" for x in lines).encode()


def _class(text: str, where: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InputError(f"{where} begins with {text!r}, not with a class number: {_FORM!r}")
    return int(text)
