"""The images of a folder, found by the names that annotations give them."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from PIL import Image

from comining.annotations.image_files import (
    IMAGE_SUFFIXES,
    has_image_name,
    is_image,
    orientation_of,
)
from comining.counted import counted
from comining.errors import InputError

from .geometry import Size

#: What Label Studio puts before the name of an image that is uploaded.
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-")
#: How many missing images an error names.
_NUM_NAMED = 5


@dataclass(frozen=True)
class ImageSize:
    """Attributes:
    upright: width and height as the camera was held.
    stored: width and height of the pixels in the file.
    orientation: what EXIF says, 1 if nothing.
    """

    upright: Size
    stored: Size
    orientation: int


class ImageFolder:
    """All images of a folder and its sub-folders, hidden ones left out.

    Attributes:
        root: the folder.
        names: paths relative to it, with "/", sorted.

    Raises:
        InputError: it is no folder or has no image.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            what = "not a folder" if self.root.exists() else "not there"
            raise InputError(f"{root} is {what}: give the folder of the images")
        self.names = sorted(x for x in files_below(self.root) if is_image(self.root / x))
        if not self.names:
            raise InputError(
                f"{root} has no images: give the folder of the images "
                f"({', '.join(sorted(IMAGE_SUFFIXES))})"
            )
        self._exact = set(self.names)
        self._sizes: dict[str, ImageSize] = {}
        self._by_base: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_upload: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            parts = _parts(name)
            self._by_base[parts[-1]].append(name)
            self._by_stem[_stem(parts[-1])].append(name)
            self._by_upload[_uploaded(parts[-1])].append(name)

    def candidates(self, name: str) -> list[str]:
        """The images that a name may mean: one if it is clear, none or several if it isn't.

        A name is a path, a URL or a stem. Images of the same path come first, then those of the
        same base name, then those of the same stem; of several, those that share the most folders
        from the end. Case and the ways to encode an umlaut do not matter unless they decide.
        """
        spellings = list(dict.fromkeys((name.replace("\\", "/"), unquote(name))))
        for spelling in spellings:
            if spelling in self._exact:
                return [spelling]
        for index, key in (
            (self._by_base, str),
            (self._by_stem, _stem),
            (self._by_stem, str),  # a stem that looks like a name, as of scan.tif.jpg
            (self._by_upload, _without_prefix),
        ):
            for spelling in spellings:
                parts = _parts(spelling)
                if parts and (found := index.get(key(parts[-1]))):
                    same = [x for x in found if spelling in (x, x.rsplit(".", 1)[0])]
                    return same if len(same) == 1 else _most_alike(found, parts)
        return []

    def find(self, names: Iterable[str], described_by: str) -> list[str]:
        """The image of each name.

        Args:
            names: as the annotations give them.
            described_by: the file or folder of the annotations, for messages.

        Raises:
            InputError: images are missing or ambiguous.
        """
        names = list(names)
        candidates = [self.candidates(name) for name in names]
        missing = [x for x, found in zip(names, candidates, strict=True) if not found]
        if missing:
            fix = "Give the folder of its images"
            if len(missing) < len(names):
                fix = "Give the folder of all images, or take these out of the annotations"
            raise InputError(
                f"{described_by} lists {counted(len(missing), f'images missing from {self.root}')}"
                f": {_named(missing)}. {fix}"
            )
        for name, found in zip(names, candidates, strict=True):
            if len(found) > 1:
                raise InputError(
                    f"the image {name} of {described_by} may be any of {_named(found)} in "
                    f"{self.root}: rename them, or give the folder that holds only the right one"
                )
        return [found[0] for found in candidates]

    def size(self, name: str) -> ImageSize:
        """Read from the file, once.

        Raises:
            InputError: it is damaged.
        """
        if name not in self._sizes:
            self._sizes[name] = self._read_size(self.root / name)
        return self._sizes[name]

    def _read_size(self, path: Path) -> ImageSize:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(path) as image:
                    stored = image.size
                    orientation = orientation_of(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{path} can't be read as an image: {error}. Replace it, or take it out of "
                "the folder and the annotations"
            ) from error
        width, height = stored
        upright = (height, width) if orientation in (5, 6, 7, 8) else stored
        return ImageSize(upright, stored, orientation)

    def is_readable(self, name: str) -> bool:
        """Whether `size` can tell."""
        try:
            self.size(name)
        except InputError:
            return False
        return True


def files_below(root: Path) -> Iterator[str]:
    """The files of a folder and its sub-folders, as paths relative to it with "/", sorted.

    Hidden ones are left out. Links are followed, but into no folder twice.
    """
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(x for x in folders if not x.startswith("."))
        relative = Path(folder).relative_to(root)
        for file in sorted(files):
            if not file.startswith("."):
                yield (relative / file).as_posix()


def _parts(name: str) -> list[str]:
    """The parts of a path in a spelling that all systems share."""
    name = unicodedata.normalize("NFC", name).casefold()
    return [x for x in name.split("/") if x not in ("", ".")]


def _stem(base: str) -> str:
    return base.rsplit(".", 1)[0] if has_image_name(base) else base


def _uploaded(base: str) -> str:
    """How Label Studio spells the name of an image that is uploaded."""
    return re.sub(r"[^-\w.]", "", base.strip().replace(" ", "_"))


def _without_prefix(base: str) -> str:
    prefix = _UPLOAD_PREFIX.match(base)
    return _uploaded(base[prefix.end() :]) if prefix else ""


def _most_alike(found: list[str], parts: list[str]) -> list[str]:
    def shared(name: str) -> int:
        number = 0
        for a, b in zip(reversed(_parts(name)[:-1]), reversed(parts[:-1]), strict=False):
            if a != b:
                break
            number += 1
        return number

    most = max(map(shared, found))
    return [x for x in found if shared(x) == most]


def _named(names: list[str]) -> str:
    more = len(names) - _NUM_NAMED
    return ", ".join(names[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
