"""Where completed annotations go, and how they get there completely or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comining.errors import InputError

from .document import Document, ImageEdits
from .source import Source

#: Sub-folder, or stem of the file, that is written.
COMPLETED = "completed"


def completed_path(source: Source, output: str | Path) -> Path:
    """Where `write_annotations` will write, so that it can be checked before time is spent.

    Args:
        source: what was read.
        output: the folder for the result.

    Raises:
        InputError: ``output`` is a file, or the result would replace the input or a folder, or
            lie in the input.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file: give a folder")
    target = output / (COMPLETED + source.document.suffix)
    if target.exists() and target.samefile(source.path):
        raise InputError(f"{target} is the input: choose another --output")
    check_beside(source, output)
    if target.is_dir():
        raise InputError(f"{target} is there already: remove it or choose another --output")
    return target


def check_beside(source: Source, output: Path) -> None:
    """Refuse a place from which what is written would be read as annotations of the source.

    Raises:
        InputError: it is in their folder.
    """
    root = source.document.root
    if root.is_dir() and output.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"--output {output} lies in the folder of the annotations {root}, which would "
            "then hold two versions: choose one beside it"
        )


def write_completed(
    document: Document, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path
) -> None:
    """Write beside the target, then move it there.

    Raises:
        InputError: it can't be written.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not document.suffix:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        document.write(edits, dataset, partial)
        partial.replace(target)
    except OSError as error:
        raise InputError(f"{target} can't be written: {error.strerror}") from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
