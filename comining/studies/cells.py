"""The folder of a cell: what it was run with, whether it is finished, what came out."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from comining.engine import load_config
from comining.errors import InputError
from comining.output_file import write_atomically

from .curves import read_metrics
from .plan import Cell, flat

PACKAGE = Path(__file__).parents[1]
LOG = "train.log"
RECORD = "cell.json"
#: The version of code that was run outside of git, or before versions were recorded.
UNKNOWN = "unknown"

#: Detectors that look at no key of Co-mining, which begin with ``COMINING``.
PLAIN = ("RetinaNet", "FCOS")
COMINING = "MODEL.COMINING."

#: What is logged of mining, by its name in the tables. A second branch logs it with ``_aug``.
MINING = {
    "mined_precision": "comining/mined_precision",
    "mined_recall": "comining/mined_recall",
    "mined_per_image": "comining/mined_per_image",
}
#: The lowest precision counts from so many mined boxes on: of fewer it is chance.
ENOUGH_MINED = 100
METRICS = ("AP", "AP50", "AP75", *MINING, "lowest_precision", "minutes")


class Record(NamedTuple):
    """What the study keeps about a cell in its folder.

    Attributes:
        settings: of `Cell.settings`.
        minutes: how long it was trained and evaluated, interrupted attempts included.
        finished: whether train_net.py came to its end.
        code: `code_version` of the attempts that it goes on from, and of the last one.
        data: `data_version`; None of runs from before it was recorded.
    """

    settings: dict[str, Any]
    minutes: float = 0.0
    finished: bool = False
    code: str = UNKNOWN
    data: dict[str, str] | None = None


class Run(NamedTuple):
    """What came out of a finished cell.

    Attributes:
        protocol, method, seed: which one.
        values: by `METRICS`. AP in 0..100, 0 if nothing was detected; precision and recall in 0..1
            and mined boxes per image (logged as medians of 20 iterations), means over the branches
            and the last tenth of the training; lowest_precision; minutes. None where there is no
            value.
        curves: by `MINING`, by iteration, the mean over the branches.
        code: of its `Record`.
    """

    protocol: str
    method: str
    seed: int
    values: dict[str, float | None]
    curves: dict[str, dict[int, float]]
    code: str = UNKNOWN


def code_version() -> str:
    """The last commit that changed what trains, with a "+" if that was changed since.

    It is asked for each run, as each is a new process of what the files are by then.

    `UNKNOWN` where there is no git repository.
    """
    git = ["git", "-C", str(PACKAGE)]
    code = ["--", str(PACKAGE)]
    try:
        log = subprocess.run([*git, "log", "-1", "--format=%h", *code], capture_output=True)
        changed = subprocess.run([*git, "status", "--porcelain", *code], capture_output=True)
    except FileNotFoundError:
        return UNKNOWN
    if log.returncode != 0:
        return UNKNOWN
    return log.stdout.decode().strip() + ("+" if changed.stdout else "")


def data_files(cell: Cell) -> dict[str, Path]:
    """The annotation files of ``DATASETS.REGISTER`` that a cell uses, by data set."""
    used = {*cell.settings["DATASETS.TRAIN"], *cell.settings["DATASETS.TEST"]}
    files = {name: Path(file) for name, file, _ in cell.settings["DATASETS.REGISTER"]}
    return {name: path for name, path in files.items() if name in used}


def data_version(cell: Cell) -> dict[str, str]:
    """The SHA-256 of a cell's `data_files`.

    Files that aren't there are left out: a report needs none of them.
    """
    return {
        name: _sha256(path.absolute(), path.stat().st_mtime_ns)
        for name, path in data_files(cell).items()
        if path.is_file()
    }


@cache
def _sha256(path: Path, changed: int) -> str:
    """Of a file as it is since the time ``changed``."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_record(folder: Path) -> Record | None:
    """The record in a folder, if there is one.

    Raises:
        InputError: it can't be read.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        record = Record(**json.loads(path.read_text()))
        if not isinstance(record.settings, dict):
            raise TypeError("no settings")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): move {folder} away") from error
    return record


def write_record(folder: Path, record: Record) -> None:
    """Write the record into a folder, completely or not at all."""
    content = json.dumps(record._asdict(), indent=1) + "\n"
    write_atomically(folder / RECORD, lambda file: file.write(content.encode()))


def finished_record(cell: Cell, output: Path) -> Record | None:
    """The record of a cell that has its results, else None. Ask `check_unchanged` first."""
    folder = output / cell.name
    record = read_record(folder)
    is_finished = record and record.finished and (folder / "results.json").exists()
    return record if is_finished else None


def has_checkpoint(folder: Path) -> bool:
    """Tell whether there is anything in a folder that a training would go on from."""
    return any(folder.glob("model_*.pth"))


def check_unchanged(cells: Iterable[Cell], output: Path) -> None:
    """Check that what is in the folders of a study was run with the wanted settings and data.

    Raises:
        InputError: it was not, or nobody knows; names the folders.
    """
    changed = []
    for cell in cells:
        folder = output / cell.name
        if (folder / "results.json").exists() or has_checkpoint(folder):
            record = read_record(folder)
            difference = _difference(record, cell) if record else f"it has no {RECORD}"
            if difference:
                changed.append(f"{folder} ({difference})")
    if changed:
        raise InputError(
            f"run with other settings than the study now asks for: {'; '.join(changed)}. Move "
            "these folders away, give the study another --output, or take back the change"
        )


def _difference(record: Record, cell: Cell) -> str:
    """What differs between a record and a cell as it would be run now; empty if nothing does."""
    missing = cell.settings.keys() - record.settings.keys()
    # Keys that the project got since then made no difference, as long as they have their defaults.
    before = {**{key: _defaults().get(key) for key in missing}, **record.settings}
    keys = sorted(before.keys() | cell.settings.keys())
    settings = [
        f"{key} {before.get(key)}, now {cell.settings.get(key)}"
        for key in keys
        if before.get(key) != cell.settings.get(key)
        and (_matters(key, before) or _matters(key, cell.settings))
    ]
    data = data_version(cell) if record.data else {}
    files = [
        f"the annotation file of {name} has changed"
        for name, sha256 in (record.data or {}).items()
        if data.get(name, sha256) != sha256
    ]
    return ", ".join(settings + files)


def _matters(key: str, settings: dict[str, Any]) -> bool:
    """Whether a training with these settings looks at a key; if in doubt it does."""
    if settings["MODEL.META_ARCHITECTURE"] in PLAIN:
        return not key.startswith(COMINING)
    is_fixed = settings[f"{COMINING}THRESHOLD"] == "fixed"
    return not (is_fixed and key.startswith(f"{COMINING}ADAPTIVE."))


@cache
def _defaults() -> dict[str, Any]:
    return json.loads(json.dumps(flat(load_config(""))))


def read_runs(cells: Iterable[Cell], output: Path) -> list[Run]:
    """What came out of those cells that are finished.

    Raises:
        InputError: a file of theirs is damaged.
    """
    return [
        _read_run(cell, output / cell.name, record)
        for cell in cells
        if (record := finished_record(cell, output))
    ]


def _read_run(cell: Cell, folder: Path, record: Record) -> Run:
    try:
        results = json.loads((folder / "results.json").read_text())["bbox"]
        # Null is what evaluation gives a model that detects nothing. To leave it out of a mean
        # would flatter the method.
        values: dict[str, float | None] = {
            key: float(results[key] or 0) for key in ("AP", "AP50", "AP75")
        }
        records = read_metrics(folder)
        curves = mining_curves(records)
        lowest = lowest_precision(records, cell.settings["SOLVER.IMS_PER_BATCH"])
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} has damaged results ({error!r}): move it away") from error
    for name, curve in curves.items():
        values[name] = at_end(curve, cell.settings["SOLVER.MAX_ITER"])
    values["lowest_precision"] = lowest
    values["minutes"] = record.minutes
    return Run(cell.protocol, cell.method, cell.seed, values, curves, record.code)


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
