"""What came out of the finished cells of a study."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from .archive import Files, damaged_results, read_finished
from .cells import UNKNOWN
from .curves import by_iteration
from .plan import Cell

#: What is logged of mining, by its name in the tables. A second branch logs it with ``_aug``.
MINING = {
    "mined_precision": "comining/mined_precision",
    "mined_recall": "comining/mined_recall",
    "mined_per_image": "comining/mined_per_image",
}
#: The lowest precision counts from so many mined boxes on: of fewer it is chance.
ENOUGH_MINED = 100
METRICS = ("AP", "AP50", "AP75", *MINING, "lowest_precision", "minutes")
#: Beside `METRICS`, if any run of a study has it; and if the study states costs.
FOUND, COSTS = "found", ("seconds", "memory")


class Run(NamedTuple):
    """What came out of a finished cell.

    Attributes:
        protocol, method, seed: which one.
        values: by `METRICS`. AP in 0..100, 0 if nothing was detected; precision and recall in 0..1
            and mined boxes per image (logged as medians of 20 iterations), means over the branches
            and the last tenth of the training; lowest_precision; minutes. None where there is no
            value. Beside them ``found``, the share of the withheld objects that `FoundEvaluator`
            tells of, and `COSTS`: the median seconds of an iteration, and the most MiB taken.
        curves: by `MINING`, by iteration, the mean over the branches.
        code: of its `Record`.
    """

    protocol: str
    method: str
    seed: int
    values: dict[str, float | None]
    curves: dict[str, dict[int, float]]
    code: str = UNKNOWN


def read_runs(cells: Iterable[Cell], output: Path) -> list[Run]:
    """What came out of those cells that are finished, in their order.

    Raises:
        InputError: a file of theirs, or the archive, is damaged.
    """
    named = {cell.name: cell for cell in cells}
    runs = {
        files.name: _run(named[files.name], files)
        for files in read_finished(named.values(), output)
    }
    return [runs[name] for name in named if name in runs]


def _run(cell: Cell, files: Files) -> Run:
    try:
        results = files.results["bbox"]
        # Null is what evaluation gives a model that detects nothing. To leave it out of a mean
        # would flatter the method.
        values: dict[str, float | None] = {
            key: float(results[key] or 0) for key in ("AP", "AP50", "AP75")
        }
        records = by_iteration(files.metrics)
        curves = mining_curves(records)
        lowest = lowest_precision(records, cell.settings["SOLVER.IMS_PER_BATCH"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged_results(files.where, error) from error
    for name, curve in curves.items():
        values[name] = at_end(curve, cell.settings["SOLVER.MAX_ITER"])
    values["lowest_precision"] = lowest
    values["minutes"] = files.record.minutes
    found = files.results.get("withheld", {}).get("found")
    values[FOUND] = None if found is None else found / 100
    for name, logged, total in (("seconds", "time", median), ("memory", "peak_mib", max)):
        all_values = [record[logged] for record in records if logged in record]
        values[name] = total(all_values) if all_values else None
    return Run(cell.protocol, cell.method, cell.seed, values, curves, files.record.code)


def mining_curves(records: Iterable[dict[str, float]]) -> dict[str, dict[int, float]]:
    """The curves of `MINING`, by iteration, each the mean over the branches that have a value.

    Args:
        records: of ``metrics.json``, one per iteration, as `read_metrics` gives them.
    """
    curves: dict[str, dict[int, float]] = {name: {} for name in MINING}
    for record in records:
        for name in MINING:
            known = _of_branches(record, name)
            if known:
                curves[name][int(record["iteration"])] = fmean(known)
    return curves


def _of_branches(record: dict[str, float], name: str) -> list[float]:
    """What was logged of one of `MINING`. Where nothing was mined, there is no precision."""
    values = (record.get(MINING[name] + suffix) for suffix in ("", "_aug"))
    return [value for value in values if value is not None and math.isfinite(value)]


def lowest_precision(records: Iterable[dict[str, float]], batch_size: int) -> float | None:
    """The lowest mined precision that was logged of either branch, once `ENOUGH_MINED` boxes were.

    Args:
        records: of ``metrics.json``, in the order of their iterations.
        batch_size: images of an iteration.

    Returns:
        None if no precision was logged from then on.
    """
    mined, before, lowest = 0.0, -1.0, math.inf
    for record in records:
        per_image = _of_branches(record, "mined_per_image")
        if per_image:
            mined += sum(per_image) * batch_size * (record["iteration"] - before)
            before = record["iteration"]
            if mined > ENOUGH_MINED:
                lowest = min([lowest, *_of_branches(record, "mined_precision")])
    return lowest if math.isfinite(lowest) else None


def at_end(curve: dict[int, float], iterations: int) -> float | None:
    """The mean of a curve over the last tenth of a training.

    Args:
        curve: by iteration, from 0.
        iterations: how many the training has.

    Returns:
        None if the curve has no value there.
    """
    last = [value for iteration, value in curve.items() if iteration + 1 > 0.9 * iterations]
    return fmean(last) if last else None
