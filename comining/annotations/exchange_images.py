"""Which image of a data set is meant, when a tool tells its file name or URL in its own way."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

#: What Label Studio puts before the names of uploaded files.
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")


def portable_name(file_name: str) -> str:
    """A file name with ``/`` between folders and without ``./``, as tools know it."""
    return posixpath.normpath(file_name.replace("\\", "/"))


class ImageNames:
    """The images of a data set by what other tools call them.

    Args:
        images: of a data set in COCO format.
    """

    def __init__(self, images: Iterable[Mapping[str, Any]]) -> None:
        self._by_name = defaultdict(list)
        self._by_base: dict[str, list[tuple[list[str], Mapping[str, Any]]]] = defaultdict(list)
        for image in images:
            name = portable_name(image["file_name"])
            self._by_name[name].append(image)
            parts = name.split("/")
            self._by_base[parts[-1]].append((parts, image))

    def find(self, name: str) -> list[Mapping[str, Any]]:
        """The images that a name may stand for, best if it is one.

        Folders in front may be missing or added, slashes be backslashes, the name may be
        percent-encoded or the end of a URL. Of several images with the same base name, those count
        that share most folders with ``name``.

        Args:
            name: file name, path or URL.
        """
        if exact := self._by_name.get(portable_name(name)):
            return exact
        spellings = _spellings(name)
        if not any(parts[-1] in self._by_base for parts in spellings):
            spellings = [[*x[:-1], _UPLOAD_PREFIX.sub("", x[-1])] for x in spellings]
        ranks: dict[int, tuple[int, bool]] = {}
        images = {}
        for parts in spellings:
            for own, image in self._by_base.get(parts[-1], ()):
                shared = _num_shared_at_end(parts, own)
                # Without folders, a name means the file that has none rather than one of a folder.
                rank = (shared, shared == len(own))
                ranks[image["id"]] = max(rank, ranks.get(image["id"], rank))
                images[image["id"]] = image
        best = max(ranks.values(), default=None)
        return [images[id_] for id_, rank in ranks.items() if rank == best]


def is_end_of(file_name: str, name: str) -> bool:
    """Whether a path or URL ends with a file name and its folders, however it is spelled."""
    own = portable_name(file_name).split("/")
    return any(_num_shared_at_end(own, parts) == len(own) for parts in _spellings(name))


def _spellings(name: str) -> list[list[str]]:
    """The parts of a path or URL, as it is and percent-decoded."""
    path = name.replace("?d=", "/")  # Label Studio's local files
    if "://" in path:
        path = path.split("?")[0]
    return [portable_name(x).split("/") for x in (path, unquote(path))]


def _num_shared_at_end(a: list[str], b: list[str]) -> int:
    number = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        number += 1
    return number
