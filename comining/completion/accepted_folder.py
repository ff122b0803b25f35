"""What is written anew whenever a review is accepted, but only if it is nobody else's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.errors import InputError

from .folder import write_json


def check_folder(folder: Path, record: Path) -> None:
    """Refuse a folder that holds anything but what `replace` wrote there.

    Args:
        folder: to be written; perhaps not there yet.
        record: of what was written, perhaps not there yet.

    Raises:
        InputError: it holds something else, or can't be written.
    """
    if folder.is_file():
        raise InputError(f"--output {folder} is a file: name a folder")
    if not folder.parent.is_dir():
        raise InputError(f"the folder of --output {folder} doesn't exist: create it first")
    own = _read(record).get(_key(folder, record), {})
    for name, digest in _digests(folder).items():
        if own.get(name) != digest:
            raise InputError(
                f"{folder} is there already, and {name} in it is not as `comining accept` wrote "
                "it: move the folder away, or name another with --output"
            )


def check_file(file: Path, record: Path) -> None:
    """Refuse to replace a file that isn't as `replace` wrote it.

    Args:
        file: to be written; perhaps not there yet.
        record: of what was written, perhaps not there yet.

    Raises:
        InputError: it is something else.
    """
    if file.exists() and _read(record).get(_key(file, record)) != _digests(file):
        raise InputError(
            f"{file} is there already, and not as `comining accept` wrote it: move it away, or "
            "name another with --output"
        )


def replace(written: Path, target: Path, record: Path) -> None:
    """Let a new file or folder take the place of one that was checked.

    Args:
        written: the new one, beside ``target`` or below; a folder it replaces is put beside it.
        target: its place; of a link to a folder, what it leads to.
        record: gets what was written.
    """
    digests = _digests(written)
    if written.is_dir():
        target = target.resolve()
        if target.exists():
            target.replace(written.with_name("former"))
    written.replace(target)
    write_json(record, {**_read(record), _key(target, record): digests})


def _key(path: Path, record: Path) -> str:
    """What a place is called in the record, the same where the record's folder is moved."""
    place, folder = path.resolve(), record.parent.resolve()
    return str(place.relative_to(folder) if place.is_relative_to(folder) else place)


def _read(record: Path) -> dict[str, Any]:
    return read_json(record) if record.exists() else {}


def _digests(folder: Path) -> dict[str, str]:
    """By relative path, a hash of each file; of links, which nothing here writes, none.

    A file has itself, as ".".
    """
    return {
        path.relative_to(folder).as_posix(): (
            "" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in ([folder] if folder.is_file() else sorted(folder.rglob("*")))
        if path.is_symlink() or not path.is_dir()
    }
