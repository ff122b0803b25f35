"""Writing a file completely or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

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


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file beside its place, to the disk, then move it there.

    Args:
        path: where it belongs.
        write: is given the open file.

    Raises:
        InputError: it can't be written; what was there before stays as it was.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}") from error
    # torch.save's report of a full disk.
    except RuntimeError as error:
        raise InputError(f"{path} can't be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Let a file's new name outlive a power cut, on those file systems that can do that."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
