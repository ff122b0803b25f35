"""What a command prints of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def summary(metrics: Mapping[str, Any], folder: Path, datasets: Sequence[str]) -> Iterator[str]:
    """A line for each data set and task.

    Args:
        metrics: the content of ``results.json``.
        folder: of that file.
        datasets: that it was evaluated on.
    """
    for name, values in _tables(metrics):
        shown = [f"{key} {value:.1f}" for key, value in values.items() if value is not None]
        yield f"{name}: {', '.join(shown) or _why_nothing(name, folder, datasets)}"


def _tables(metrics: Mapping[str, Any], name: str = "") -> list[tuple[str, Mapping[str, Any]]]:
    """The metrics of each data set and task; of one data set alone, its name isn't there."""
    if not any(isinstance(x, dict) for x in metrics.values()):
        return [(name, metrics)] if metrics else []
    return [
        row for key, value in metrics.items() for row in _tables(value, f"{name} {key}".strip())
    ]


def _why_nothing(name: str, folder: Path, datasets: Sequence[str]) -> str:
    dataset, _, task = name.rpartition(" ")
    if task == "withheld":
        return "nothing was withheld"
    found = folder / "inference" / (dataset or datasets[0]) / "coco_instances_results.json"
    nothing = found.is_file() and not json.loads(found.read_text())
    return "nothing was detected" if nothing else "nothing is annotated"
