"""Public data sets, made ready for training by one call each.

Nothing is downloaded but by a preparer that was given no `source`.
"""

from __future__ import annotations

from collections.abc import Callable

from .blood_cells import prepare_blood_cells, prepare_blood_cells_2017
from .circuits import prepare_circuits
from .nuclei import prepare_nuclei

PREPARERS: dict[str, Callable[..., list[str]]] = {
    "blood-cells": prepare_blood_cells,
    "blood-cells-2017": prepare_blood_cells_2017,
    "nuclei": prepare_nuclei,
    "circuits": prepare_circuits,
}
"""By name, functions `(output, source=None, **options)`: they make the folder `output` and return
lines that tell what they made."""

__all__ = [
    "PREPARERS",
    "prepare_blood_cells",
    "prepare_blood_cells_2017",
    "prepare_circuits",
    "prepare_nuclei",
]
