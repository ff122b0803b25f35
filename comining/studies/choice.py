"""A part of a study."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from comining.errors import InputError

from .plan import Cell, Study


def choose_cells(
    study: Study,
    methods: Collection[str] = (),
    protocols: Collection[str] = (),
    seeds: Collection[int] = (),
) -> list[Cell]:
    """The cells of some methods on some protocols with some seeds; of all where none is named.

    Raises:
        InputError: the study has no such method, protocol or seed, or none of their cells.
    """
    wanted: dict[str, set[Any]] = {
        "method": set(methods),
        "protocol": set(protocols),
        "seed": set(seeds),
    }
    for name, values in wanted.items():
        known: dict[Any, None] = {getattr(cell, name): None for cell in study.cells}
        unknown = ", ".join(str(x) for x in sorted(values - known.keys()))
        if unknown:
            raise InputError(
                f"--{name} {unknown}: the study has none of that; it has "
                f"{', '.join(str(x) for x in known)}"
            )
    chosen = [
        cell
        for cell in study.cells
        if all(not values or getattr(cell, name) in values for name, values in wanted.items())
    ]
    if not chosen:
        raise InputError("the study skips all that --method, --protocol and --seed leave")
    return chosen
