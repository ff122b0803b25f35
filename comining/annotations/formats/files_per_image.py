"""What formats have in common that keep the annotations of each image in a file of its own."""

from __future__ import annotations

import hashlib
import shutil
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from comining.errors import InputError

from .document import Document, Entry, ImageEdits, Shape
from .geometry import Size
from .parsing import read_bytes, without_suffix

#: Folders of images, and what those of their annotations are called beside them.
TWINS = (("images", "labels"), ("JPEGImages", "Annotations"))


class FilesPerImage(Document):
    """A folder of annotation files.

    Images are known by the paths of their files, relative to the folder. Files are read when they
    are needed, since some hold the image too; a file that was changed in the meantime is refused.

    Attributes:
        files: relative paths of the annotation files, sorted.
    """

    suffix = ""
    #: Of the annotation files.
    file_suffix: ClassVar[str]

    def __init__(self, path: Path, root: Path, files: Sequence[str]) -> None:
        super().__init__(path)
        self.root = root
        self.files = sorted(files)
        self._digests: dict[str, bytes] = {}

    @abstractmethod
    def entry(self, file: str, content: Any) -> Entry:
        """The image that a file describes, with ``file`` as its key."""

    @abstractmethod
    def parse(self, data: bytes, path: Path) -> Any:
        """What a file holds."""

    @abstractmethod
    def shapes_of(self, content: Any, entry: Entry, size: Size) -> Iterator[Shape]:
        """See `Document.shapes`."""

    @abstractmethod
    def edited(self, content: Any, data: bytes, edit: ImageEdits) -> bytes:
        """A file as it is to be; ``content`` may be changed."""

    @abstractmethod
    def created(self, edit: ImageEdits) -> bytes:
        """A file for an image that had none."""

    def entries(self) -> Iterator[Entry]:
        for file in self.files:
            yield self.entry(file, self._read(file)[0])

    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        content, _ = self._read(entry.key)
        return self.shapes_of(content, entry, size)

    def _read(self, file: str) -> tuple[Any, bytes]:
        path = self.root / file
        data = read_bytes(path)
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if self._digests.setdefault(file, digest) != digest:
            raise InputError(
                f"{path} was changed since it was read: undo that, or start again with it"
            )
        return self.parse(data, path), data

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        by_file = {edit.key: edit for edit in edits}
        for file in self.files:
            path = target / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if file in by_file:
                content, data = self._read(file)
                path.write_bytes(self.edited(content, data, by_file[file]))
            else:
                shutil.copyfile(self.root / file, path)
        folders = {PurePosixPath(x).parent for x in self.files}
        stems = Counter(without_suffix(x["file_name"]) for x in dataset["images"])
        for edit in edits:
            if edit.key is None:
                # The stem alone would mean all images that differ in nothing but their suffix.
                image, is_clear = edit.file_name, stems[without_suffix(edit.file_name)] == 1
                name = f"{without_suffix(image) if is_clear else image}{self.file_suffix}"
                places = (target / x for x in _places(PurePosixPath(name), folders))
                path = next((x for x in places if not x.exists()), target / name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.created(edit))


def _places(beside: PurePosixPath, folders: Collection[PurePosixPath]) -> Iterator[PurePosixPath]:
    """In folders of annotations, where a file may go that would fit beside its image; the best
    place first."""
    *parts, name = beside.parts
    for of_images, of_annotations in TWINS:
        if of_images in parts:
            place = len(parts) - parts[::-1].index(of_images) - 1
            twin = (*parts[:place], of_annotations, *parts[place + 1 :])
            if any(x.parts[: place + 1] == twin[: place + 1] for x in folders):
                yield PurePosixPath(*twin, name)
    if len(folders) == 1 and not parts:
        yield next(iter(folders)) / name
    alike = [x for x in folders if parts and x.name == parts[-1]]
    if len(alike) == 1:
        yield alike[0] / name
