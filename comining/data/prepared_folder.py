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
    """Tell whether a folder is there and was made by this recipe. It may hold other files as well.

    Args:
        folder: where the data belong.
        recipe: everything that the folder's content depends on, as JSON values; `made_by` names
            the script.

    Raises:
        InputError: if something else is there: not empty, and not made by this recipe.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / RECIPE_FILE).read_text())
    except (OSError, ValueError):
        found = None
    if found == recipe:
        return True
    if isinstance(found, dict) and found.get("made_by") == recipe["made_by"]:
        differences = ", ".join(
            f"{key} {found.get(key)} in place of {value}"
            for key, value in recipe.items()
            if found.get(key) != value
        )
        reason = f"{recipe['made_by']} made it with other settings ({differences})"
    else:
        reason = f"{recipe['made_by']} didn't make it"
    # It is not replaced: users keep files of their own in it, such as completed annotations.
    raise InputError(
        f"{folder} is there and {reason}: name another output folder, or move this one away"
    )


@contextmanager
def preparing(folder: Path, recipe: dict[str, Any]) -> Iterator[Path]:
    """Give a new folder to fill, which becomes `folder` when the block ends well.

    Ask `is_prepared` first, which refuses a folder that holds anything.

    Raises:
        InputError: the folder can't be made.
    """
    folder = folder.resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise InputError(f"{folder} can't be made: {error.strerror}") from error
    try:
        new = scratch / "new"
        new.mkdir()
        yield new
        write_json(new / RECIPE_FILE, recipe)
        new.rename(folder)
    finally:
        shutil.rmtree(scratch)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that is the same byte for byte for the same content."""
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
