"""A folder that is written anew whenever a review is accepted, but only if it is nobody else's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.errors import InputError

from .folder import write_json


def check_folder(folder: Path, record: Path) -> None:
    """Refuse a folder that holds anything but what `replace_folder` wrote there.

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
    own = _read(record).get(str(folder.resolve()), {})
    for name, digest in _digests(folder).items():
        if own.get(name) != digest:
            raise InputError(
                f"{folder} is there already, and {name} in it is not as `comining accept` wrote "
                "it: move the folder away, or name another with --output"
            )


def replace_folder(written: Path, folder: Path, record: Path) -> None:
    """Let a new folder take the place of one that `check_folder` allows.

    Args:
        written: the new folder, beside ``folder`` or below; what it replaces is put beside it.
        folder: its place.
        record: gets what was written.
    """
    folder = folder.resolve()
    digests = _digests(written)
    if folder.exists():
        folder.replace(written.with_name("former"))
    written.replace(folder)
    write_json(record, {**_read(record), str(folder): digests})


def _read(record: Path) -> dict[str, Any]:
    return read_json(record) if record.exists() else {}


def _digests(folder: Path) -> dict[str, str]:
    """By relative path, a hash of each file; of links, which nothing here writes, none."""
    return {
        path.relative_to(folder).as_posix(): (
            "" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or not path.is_dir()
    }
