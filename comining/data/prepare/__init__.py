"""Public data sets and generated scenes, made ready for training by one call each.

Nothing is downloaded but by a preparer that was given no `source`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .blood_cells import prepare_blood_cells, prepare_blood_cells_2017
from .circuits import prepare_circuits
from .nuclei import prepare_nuclei
from .scenes import prepare_scenes
from .trees import prepare_trees

PREPARERS: dict[str, Callable[..., list[str]]] = {
    "scenes": prepare_scenes,
    "trees": prepare_trees,
    "blood-cells": prepare_blood_cells,
    "blood-cells-2017": prepare_blood_cells_2017,
    "nuclei": prepare_nuclei,
    "circuits": prepare_circuits,
}
"""By name, functions `(output, source=None, **options)`; that of scenes, which are generated, takes
no `source`. They make the folder `output` and return lines that tell what they made."""


def how_prepared(name: str, folder: Path) -> str:
    """The command that makes a data set, if there is one."""
    prepared = folder.name.replace("_", "-")
    if prepared not in PREPARERS or not name.startswith(folder.name):
        return ""
    return f", which `comining prepare {prepared} --output {folder}` makes"


__all__ = [
    "PREPARERS",
    "how_prepared",
    "prepare_blood_cells",
    "prepare_blood_cells_2017",
    "prepare_circuits",
    "prepare_nuclei",
    "prepare_scenes",
    "prepare_trees",
]
