"""Writing an annotation file completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from comining.errors import InputError


def check_output(output_path: Path, *input_paths: Path) -> None:
    """Refuse an output that can't be written, or would replace an input, before time is spent."""
    if output_path.is_dir():
        raise InputError(f"--output {output_path} is a folder: give a file name")
    if not output_path.parent.is_dir():
        raise InputError(f"the folder of --output {output_path} doesn't exist: create it first")
    for path in input_paths:
        if output_path.exists() and path.exists() and output_path.samefile(path):
            raise InputError(f"--output {output_path} is the input file: choose another name")


def write_atomically(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file beside its place, then move it there.

    Raises:
        InputError: it can't be written; what was there before stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
