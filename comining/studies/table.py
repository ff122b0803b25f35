"""What came out of a study, over its seeds."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from tabulate import tabulate

from .plan import FULL, Study
from .results import COSTS, FOUND, METRICS, Run

#: Columns of the table: a heading, and the factor and digits that values are shown with.
SHOWN = {
    "AP": ("AP", 1, 1),
    "AP50": ("AP50", 1, 1),
    "AP75": ("AP75", 1, 1),
    "mined_precision": ("mined: precision, %", 100, 1),
    "mined_recall": ("mined: recall, %", 100, 1),
    "mined_per_image": ("mined per image", 1, 2),
    "lowest_precision": ("lowest precision, %", 100, 1),
    "minutes": ("minutes", 1, 1),
    "found": ("found at precision 0.9, %", 100, 1),
    "seconds": ("time, x {costs}", 1, 2),
    "memory": ("memory, x {costs}", 1, 2),
}


class Spread(NamedTuple):
    """A mean and the standard deviation of a sample, None if there is only one value."""

    mean: float
    deviation: float | None


class Row(NamedTuple):
    """A method on a protocol.

    Attributes:
        protocol, method: which ones.
        number: of finished runs.
        metrics: by `columns`, over the runs that have a value; None if none has. Costs are those
            of the method over those of the one that they are stated against, of the same seed.
        gaps: by control, of `gap_closed`; None for the control itself.
    """

    protocol: str
    method: str
    number: int
    metrics: dict[str, Spread | None]
    gaps: dict[str, Spread | None]


def spread(values: Iterable[float | None]) -> Spread | None:
    """The mean and the deviation of those values that are there; None if none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(fmean(known), stdev(known) if len(known) > 1 else None)


def gap_closed(
    ap: dict[int, float], control: dict[int, float], full: dict[int, float]
) -> Spread | None:
    """Which share of what a control loses to missing annotations a method wins back.

    The mean of AP - control over the seeds that all three have, divided by that of full - control:
    so a seed on which that is small does not dominate. The deviation is, to first order, that of a
    ratio: of what each seed's gain has beyond the mean share of its own gap.

    Args:
        ap: of the method on a protocol, by seed.
        control: AP of the control on the same protocol.
        full: AP of the control on the protocol in which nothing is missing.

    Returns:
        1 for a closed gap, below 0 for less than the control. None without a common seed, or if the
        control loses nothing.
    """
    seeds = sorted(ap.keys() & control.keys() & full.keys())
    if not seeds:
        return None
    lost = fmean(full[seed] - control[seed] for seed in seeds)
    if lost <= 0:
        return None
    share = fmean(ap[seed] - control[seed] for seed in seeds) / lost
    beyond = [ap[seed] - control[seed] - share * (full[seed] - control[seed]) for seed in seeds]
    return Spread(share, stdev(beyond) / lost if len(seeds) > 1 else None)


def columns(study: Study, runs: Iterable[Run]) -> list[str]:
    """`METRICS`, `FOUND` if any run has a value, and `COSTS` if the study states them."""
    has_found = any(run.values.get(FOUND) is not None for run in runs)
    return [*METRICS, *([FOUND] if has_found else []), *(COSTS if study.costs else [])]


def make_rows(study: Study, runs: Sequence[Run]) -> list[Row]:
    """A row for each method on each protocol of which a run is finished, in the study's order."""

    def of(protocol: str, method: str | None) -> list[Run]:
        return [run for run in runs if (run.protocol, run.method) == (protocol, method)]

    def ap(protocol: str, method: str) -> dict[int, float]:
        found = {run.seed: run.values["AP"] for run in of(protocol, method)}
        return {seed: value for seed, value in found.items() if value is not None}

    def value(run: Run, key: str) -> float | None:
        own = run.values.get(key)
        if key not in COSTS:
            return own
        others = [x for x in of(run.protocol, study.costs) if x.seed == run.seed]
        other = others[0].values.get(key) if others else None
        return own / other if own and other else None

    keys = columns(study, runs)
    rows = []
    for protocol in study.protocols:
        for method in study.methods:
            found = of(protocol, method)
            if found:
                metrics = {key: spread(value(run, key) for run in found) for key in keys}
                gaps = {
                    control: None
                    if method == control
                    else gap_closed(ap(protocol, method), ap(protocol, control), ap(FULL, control))
                    for control in study.controls
                }
                rows.append(Row(protocol, method, len(found), metrics, gaps))
    return rows


def write_table(study: Study, rows: Sequence[Row], output: Path) -> None:
    """Write ``table.md``, to be read, and ``table.csv``, with all digits, into a folder."""
    keys = list(rows[0].metrics) if rows else list(METRICS)
    shown = [key for key in keys if any(row.metrics[key] for row in rows)]
    names = [SHOWN[key][0].format(costs=study.costs) for key in shown]
    header = ["protocol", "method", "runs", *names]
    header += [f"gap closed from {control}, %" for control in study.controls]
    table = [
        [
            row.protocol,
            row.method,
            row.number,
            *(_text(row.metrics[key], *SHOWN[key][1:]) for key in shown),
            *(_text(row.gaps[control], 100, 0) for control in study.controls),
        ]
        for row in rows
    ]
    text = tabulate(table, header, tablefmt="github", disable_numparse=True)
    (output / "table.md").write_text(text + "\n")

    header = ["protocol", "method", "runs"]
    header += [f"{key}_{part}" for key in keys for part in ("mean", "std")]
    header += [f"gap_{control}_{part}" for control in study.controls for part in ("mean", "std")]
    lines = []
    for row in rows:
        spreads = [*row.metrics.values(), *row.gaps.values()]
        numbers = [part for one in spreads for part in (one or (None, None))]
        lines.append([row.protocol, row.method, row.number, *numbers])
    _write_csv(output / "table.csv", header, lines)


def _text(value: Spread | None, factor: float, digits: int) -> str:
    if value is None:
        return ""
    text = f"{value.mean * factor:.{digits}f}"
    if value.deviation is not None:
        text += f" ± {value.deviation * factor:.{digits}f}"
    return text


def write_runs(study: Study, runs: Sequence[Run], output: Path) -> None:
    """Write ``runs.csv``, the values of every finished run, into a folder; costs as measured, in
    seconds and MiB."""
    keys = columns(study, runs)
    lines = [
        [run.protocol, run.method, run.seed, *(run.values.get(key) for key in keys), run.code]
        for run in runs
    ]
    _write_csv(output / "runs.csv", ["protocol", "method", "seed", *keys, "code"], lines)


def _write_csv(path: Path, header: list[str], lines: list[list[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])
