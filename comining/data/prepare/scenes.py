"""Generated scenes, as `comining.data.scenes` describes them."""

from __future__ import annotations

from pathlib import Path

from comining.data.scenes import write_scenes


def prepare_scenes(
    output: Path, *, train: int = 1000, val: int = 200, size: int = 128, seed: int = 0
) -> list[str]:
    """Make `train_full.json`, its sparse versions, `val.json` and their images.

    Args:
        output: folder to make; one that holds anything else is refused.
        train, val, size, seed: of `write_scenes`.

    Returns:
        A line that tells what was made.

    Raises:
        InputError: a number is out of range, or the output folder in use.
    """
    if write_scenes(output, train, val, size, seed):
        return [f"{output}: wrote {train} training and {val} validation images"]
    return [f"{output} is complete already: nothing to do"]
