"""Losses, mined labels and AP of one or several trainings over time, as PNG and SVG.

Each quantity that any of the trainings logged gets a panel, each training a colour; the second
view's curves are dashed. A training that still runs is plotted as far as it got.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from comining.errors import InputError

#: Titles of what is logged of mining, by its name. A second branch logs it with ``_aug``.
MINED = {
    "comining/mined_per_image": "mined labels per image",
    "comining/mined_precision": "precision of mined labels",
    "comining/mined_recall": "recall of withheld objects",
}
COLUMNS = 3
#: By suffix of a curve's name.
BRANCHES = {"": ("original view", "-"), "_aug": ("second view", (0, (4, 1.5)))}


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The records of a training's ``metrics.json``, one per logged iteration: `by_iteration`.

    Raises:
        InputError: of `read_lines`.
    """
    return by_iteration(read_lines(folder))


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a training's ``metrics.json``, as they were logged.

    A line that can't be read, as a kill may leave one, is left out, with a warning.

    Raises:
        InputError: there is no such file, or nothing in it can be read.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        raise InputError(f"{path} does not exist: name the output folder of a training")
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    parsed = [_parse(line) for line in lines]
    records = [record for record in parsed if record is not None]
    damaged = [str(number) for number, record in enumerate(parsed, start=1) if record is None]
    if damaged and not records:
        raise InputError(f"{path} is damaged: no line of it is a record of a training")
    if damaged:
        print(f"warning: {path}: damaged lines left out: {', '.join(damaged)}", file=sys.stderr)
    return records


def by_iteration(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was logged, one record per iteration, in their order.

    Where a training was resumed, what it had logged beyond the checkpoint that it went on from is
    left out.

    A lower iteration alone is no resumption: detectron2 writes what was last logged some iterations
    ago, say every ``VIS_PERIOD``, in a line of its own before or behind that of the losses.

    Args:
        lines: of `read_lines`.
    """
    records: dict[int, dict[str, Any]] = {}
    last_losses = -1
    for line in lines:
        iteration = line["iteration"]
        if "total_loss" in line:
            if iteration <= last_losses:
                records = {x: kept for x, kept in records.items() if x < iteration}
            last_losses = iteration
        records.setdefault(iteration, {}).update(line)
    return [records[iteration] for iteration in sorted(records)]


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("iteration"), int)
    return record if is_record else None


def plot_runs(
    folders: Sequence[Path], output: Path, *, without: Collection[str] = ()
) -> list[Path]:
    """Draw the curves of the trainings in ``folders``.

    Args:
        folders: the output folders of trainings.
        output: the pictures, with or without the suffix ``.png`` or ``.svg``.
        without: names of what isn't drawn, though it was logged.

    Returns:
        The two pictures, PNG and SVG.

    Raises:
        InputError: a folder has no training, none has logged anything, or the pictures can't be
            written.
    """
    folders = list(dict.fromkeys(folder.resolve() for folder in folders))
    runs = [read_metrics(folder) for folder in folders]
    panels = _panels(
        name
        for records in runs
        for record in records
        for name, value in record.items()
        if _is_finite(value) and name.removesuffix("_aug") not in without
    )
    if not panels:
        raise InputError(
            f"nothing to plot yet in {', '.join(map(str, folders))}: a training logs every 20 "
            "iterations"
        )
    colours = _colours(len(runs))
    figure, axes = _grid(len(panels))
    last = max(records[-1]["iteration"] for records in runs if records)
    views = set()
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        for records, colour in zip(runs, colours, strict=True):
            for suffix, (view, style) in BRANCHES.items():
                points = _points(records, name + suffix)
                if points:
                    marker = "." if len(points) < 9 else ""
                    axis.plot(*zip(*points, strict=True), c=colour, ls=style, marker=marker, lw=1.3)
                    views.add(view)
        axis.set_title(title, fontsize="medium")
        axis.set_xlabel("iteration")
        axis.set_xlim(0, 1.03 * max(last, 1))
        axis.set_ylim(0, 1.05 * (axis.dataLim.ymax or 1))
        axis.grid(alpha=0.3)

    labels = [
        label if records else f"{label} (nothing logged yet)"
        for label, records in zip(short_labels(folders), runs, strict=True)
    ]
    handles = [Line2D([], [], color=c, label=x) for x, c in zip(labels, colours, strict=True)]
    if len(views) == len(BRANCHES):
        handles += [
            Line2D([], [], color="dimgrey", ls=style, label=view)
            for view, style in BRANCHES.values()
        ]
    # As many entries beside each other as the width has room for.
    room = 14 * figure.get_figwidth() / (max(map(len, labels)) + 8)
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, int(room)))
    return _save(figure, output)


def _grid(number: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels."""
    columns = min(COLUMNS, number)
    rows = -(-number // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(4 * max(columns, 2), 2.7 * rows + 0.6),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[number:]:
        axis.remove()
    return figure, list(axes.flat[:number])


def _panels(names: Iterable[str]) -> dict[str, str]:
    """The titles of what is to be plotted of the logged quantities, by name, in order."""
    names = sorted({name.removesuffix("_aug") for name in names})
    losses = sorted((x for x in names if "loss" in x), key=lambda x: (x != "total_loss", x))
    precisions = [x for x in names if x.endswith(("bbox/AP", "bbox/AP50"))]
    return {
        **{name: name for name in losses},
        **{name: title for name, title in MINED.items() if name in names},
        **{x: f"{x.replace('bbox/', '')} on the validation images" for x in precisions},
    }


def _points(records: Iterable[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """The curve of a quantity; where nothing could be computed, there is no point."""
    return [
        (record["iteration"], record[name]) for record in records if _is_finite(record.get(name))
    ]


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _colours(number: int) -> list[Any]:
    """Colours that can be told apart."""
    if number <= 10:
        return [f"C{place}" for place in range(number)]
    return list(plt.get_cmap("turbo").resampled(number)(range(number)))


def short_labels(folders: Sequence[Path]) -> list[str]:
    """What tells absolute paths apart: less the parts that all have at the beginning or the end."""
    parts = [folder.parts for folder in folders]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and len({x[end] for x in parts}) == 1:
            parts = [x[1:] if end == 0 else x[:-1] for x in parts]
    return ["/".join(x) for x in parts]


def _save(figure: plt.Figure, output: Path) -> list[Path]:
    stem = output.with_suffix("") if output.suffix in (".png", ".svg") else output
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".svg")]
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            figure.savefig(path, dpi=120)
    except OSError as error:
        raise InputError(f"{error.filename} can't be written: {error.strerror}") from error
    finally:
        plt.close(figure)
    return paths
