"""Names of YOLO's class numbers, from the files that tools put beside the labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from comining.errors import InputError

from .parsing import read_text

#: One name a line.
LISTS = ("classes.txt", "names.txt", "obj.names")


def find_names(folder: Path) -> tuple[Path, list[str]] | None:
    """The file that names the classes of a folder of labels, and the names.

    It is looked for in the folder and the two above it, since labels often lie in
    ``labels/train``.

    Raises:
        InputError: the file is broken.
    """
    folder = folder.resolve()
    for place in (folder, *list(folder.parents)[:2]):
        for path in _candidates(place):
            names = read_names(path)
            if names is not None:
                return path, names
    return None


def read_names(path: Path) -> list[str] | None:
    """The names in a file; None if it is YAML that has none.

    Raises:
        InputError: names are missing, empty or occur twice, or the file is broken.
    """
    if _is_yaml(path):
        content = read_yaml(path)
        if "names" not in content:
            return None
        names = _listed(content["names"], path)
    else:
        names = [line.strip() for line in read_text(path).strip().splitlines()]
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"{path}: the names of the classes must differ and none may be empty")
    if not names:
        raise InputError(f"{path} names no class: list the names, in the order of their numbers")
    return names


def read_yaml(path: Path) -> dict[str, Any]:
    """What a YAML file of a YOLO data set holds.

    Raises:
        InputError: it is no YAML or no mapping.
    """
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not a YAML file: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not the data.yaml of a YOLO data set: it needs 'names'")
    return content


def movable_text(path: Path, root: Path) -> str:
    """The text of a file of names, for a copy of its folder that may lie anywhere.

    A YAML file loses ``path``, and what it names in its folder becomes relative to that: without
    ``path``, Ultralytics goes by where the file lies. With it, the copy would stand for the images
    and labels of the original.

    Args:
        path: of the file.
        root: the folder of labels that it is for.

    Raises:
        InputError: it is broken.
    """
    text = read_text(path)
    if not _is_yaml(path):
        return text
    folders = [root, path.parent / str(read_yaml(path).get("path") or ".")]
    for folder in {str(y) for x in folders for y in (x.absolute(), x.resolve())}:
        text = re.sub(rf"(?<![^\s'\"\[,]){re.escape(folder)}(?![^\s'\"\],/])", ".", text)
    return re.sub(r"^path[ \t]*:.*\n?", "", text, flags=re.MULTILINE)


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml")


def _candidates(folder: Path) -> Iterator[Path]:
    data = folder / "data.yaml"
    if data.is_file():
        yield data
    yield from (folder / x for x in LISTS if (folder / x).is_file())
    yield from sorted(x for x in folder.glob("*.names") if x.name not in LISTS)
    for suffix in ("yaml", "yml"):
        yield from sorted(x for x in folder.glob(f"*.{suffix}") if x != data and _has_names(x))


def _has_names(path: Path) -> bool:
    """Any YAML may lie about: one that can't be read is not the one."""
    try:
        return "names" in read_yaml(path)
    except InputError:
        return False


def _listed(names: Any, path: Path) -> list[str]:
    if isinstance(names, list):
        return [str(x) for x in names]
    if isinstance(names, dict) and all(str(x).isdigit() for x in names):
        by_number = {int(k): str(v) for k, v in names.items()}
        if sorted(by_number) == list(range(len(by_number))):
            return [by_number[x] for x in sorted(by_number)]
    raise InputError(
        f"{path}: 'names' must be a list of names, or give each number from 0 on its name"
    )
