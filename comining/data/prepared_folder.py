"""Make a folder of prepared data completely or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from comining.errors import InputError

RECIPE_FILE = "recipe.json"


def is_prepared(folder: Path, recipe: dict[str, Any]) -> bool:
    """Tell whether a folder is there and was made by this recipe.

    Args:
        folder: where the data belong.
        recipe: everything that the folder's content depends on, as JSON values; `made_by` names
            the script.

    Raises:
        InputError: if something else is there: not empty, and not made by the same script.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / RECIPE_FILE).read_text())
    except (OSError, json.JSONDecodeError):
        found = {}
    if found.get("made_by") != recipe["made_by"]:
        raise InputError(
            f"{folder} is there and {recipe['made_by']} didn't make it: "
            "name another output folder, or move this one away"
        )
    return found == recipe


@contextmanager
def preparing(folder: Path, recipe: dict[str, Any]) -> Iterator[Path]:
    """Give a new folder to fill, which takes the place of `folder` when the block ends well.

    A folder that an earlier recipe made is replaced; if the block fails, it stays as it was.
    Ask `is_prepared` first: it refuses to replace anything else.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        new = scratch / "new"
        new.mkdir()
        yield new
        write_json(new / RECIPE_FILE, recipe)
        if folder.exists():
            folder.rename(scratch / "old")
        new.rename(folder)
    finally:
        shutil.rmtree(scratch)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that is the same byte for byte for the same content."""
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
