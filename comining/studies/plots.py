"""The pictures of a study."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from .plan import Study
from .results import MINING, Run
from .table import Row

TITLES = {
    "mined_precision": "precision of mined boxes",
    "mined_recall": "recall of withheld boxes",
    "mined_per_image": "mined boxes per image",
}


def plot_study(study: Study, rows: Sequence[Row], runs: Sequence[Run], output: Path) -> list[Path]:
    """Draw ``ap`` and ``mining``, each as PNG and SVG, into a folder; what has no data is left out.

    Returns:
        The files that were written.
    """
    written = []
    if any(row.metrics["AP"] for row in rows):
        written += _save(_draw_ap(study, rows), output / "ap")
    if any(curve for run in runs for curve in run.curves.values()):
        written += _save(_draw_mining(study, runs), output / "mining")
    return written


def _draw_ap(study: Study, rows: Sequence[Row]) -> Figure:
    """A group of bars for each protocol, a bar for each method, with its standard deviation."""
    protocols = [name for name in study.protocols if any(row.protocol == name for row in rows)]
    methods = [name for name in study.methods if any(row.method == name for row in rows)]
    figure, axis = plt.subplots(figsize=(2 + 0.4 * len(methods) * len(protocols), 3.5))
    width = 0.8 / len(methods)
    for place, method in enumerate(methods):
        bars = [
            (protocols.index(row.protocol) + (place - (len(methods) - 1) / 2) * width, ap)
            for row in rows
            if row.method == method and (ap := row.metrics["AP"]) is not None
        ]
        axis.bar(
            [x for x, _ in bars],
            [ap.mean for _, ap in bars],
            width,
            yerr=[math.nan if ap.deviation is None else ap.deviation for _, ap in bars],
            capsize=3,
            color=_colour(study, method),
            label=method,
        )
    axis.set_xticks(range(len(protocols)), protocols)
    axis.set_ylabel("AP")
    axis.grid(alpha=0.3, axis="y")
    axis.set_axisbelow(True)
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _draw_mining(study: Study, runs: Sequence[Run]) -> Figure:
    """A line of panels for each protocol, a curve for each method.

    It is the mean over seeds; the seeds' own, if there are several, are thin.
    """
    curves = {
        (protocol, name): {
            method: of_seeds
            for method in study.methods
            if (
                of_seeds := [
                    run.curves[name]
                    for run in runs
                    if (run.protocol, run.method) == (protocol, method) and run.curves[name]
                ]
            )
        }
        for protocol in study.protocols
        for name in MINING
    }
    protocols = [p for p in study.protocols if any(curves[p, name] for name in MINING)]
    names = [name for name in MINING if any(curves[p, name] for p in protocols)]
    figure, axes = plt.subplots(
        len(protocols),
        len(names),
        figsize=(4 * len(names), 2.8 * len(protocols)),
        squeeze=False,
        sharex=True,
        sharey="col",
    )
    shown = {}
    for line, protocol in zip(axes, protocols, strict=True):
        line[0].set_ylabel(protocol)
        for axis, name in zip(line, names, strict=True):
            for method, of_seeds in curves[protocol, name].items():
                colour = _colour(study, method)
                if len(of_seeds) > 1:
                    for curve in of_seeds:
                        axis.plot(
                            list(curve), list(curve.values()), color=colour, lw=0.6, alpha=0.5
                        )
                mean = mean_curve(of_seeds)
                (shown[method],) = axis.plot(
                    list(mean),
                    list(mean.values()),
                    color=colour,
                    marker="." if len(mean) < 9 else "",
                )
            axis.grid(alpha=0.3)
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(TITLES[name])
        axis.set_ylim(bottom=0)  # of the whole column, now that all of it is drawn
    for axis in axes[-1]:
        axis.set_xlabel("iteration")
    methods = [method for method in study.methods if method in shown]
    lines = [shown[method] for method in methods]
    figure.legend(lines, methods, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def mean_curve(curves: Iterable[dict[int, float]]) -> dict[int, float]:
    """The mean of some curves by iteration, where any of them has a value."""
    values: dict[int, list[float]] = defaultdict(list)
    for curve in curves:
        for iteration, value in curve.items():
            values[iteration].append(value)
    return {iteration: fmean(values[iteration]) for iteration in sorted(values)}


def _colour(study: Study, method: str) -> str:
    """The same in all pictures."""
    return f"C{study.methods.index(method)}"


def _save(figure: Figure, path: Path) -> list[Path]:
    figure.tight_layout()
    paths = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    for one in paths:
        # Drawn again, it is the same file.
        with plt.rc_context({"svg.hashsalt": one.stem}):
            figure.savefig(one, dpi=120, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return paths
