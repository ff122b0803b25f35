"""The finished runs of a study in one file, ``runs.jsonl.xz`` in its folder.

Each line is a run, as JSON, compressed by xz. It has all that was recorded and logged:

    {"name": "hard/comining/seed0",        # PROTOCOL/METHOD/seedSEED, which is its folder
     "record": {"settings": {"SOLVER.MAX_ITER": 1000, ...}, "minutes": 8.9, "code": "3848b3f", ...},
     "results": {"bbox": {"AP": 60.1, ...}},                        # results.json; AP in 0..100
     "metrics": [{"iteration": 19, "total_loss": 3.6, ...}, ...]}   # the lines of metrics.json

The record, of cell.json, is a `comining.studies.cells.Record`. Nothing of this project is needed to
read the file:

    import json, lzma

    with lzma.open("runs.jsonl.xz", "rt") as file:
        runs = [json.loads(line) for line in file]
    for run in runs:
        settings, code = run["record"]["settings"], run["record"]["code"]
        curve = {x["iteration"]: x["total_loss"] for x in run["metrics"] if "total_loss" in x}
        print(run["name"], settings["SEED"], code, run["results"]["bbox"]["AP"], curve)

A run that has finished in its folder counts in place of the archived one of that name.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from comining.errors import InputError
from comining.output_file import write_atomically

from .cells import RESULTS, Record, finished_record
from .curves import read_lines
from .plan import Cell

ARCHIVE = "runs.jsonl.xz"


class Finished(NamedTuple):
    """A finished run.

    Attributes:
        where: its folder, or the archive and its name there; for messages.
        record: what the study keeps about it.
    """

    where: str
    record: Record


class Files(NamedTuple):
    """All that is kept of a finished run.

    Attributes:
        name: of its `Cell`.
        where, record: of `Finished`.
        results: what ``results.json`` has.
        metrics: the lines of ``metrics.json``, as they were logged.
    """

    name: str
    where: str
    record: Record
    results: dict[str, Any]
    metrics: list[dict[str, Any]]


def find_finished(cell: Cell, output: Path) -> Finished | None:
    """Find the finished run of a cell, in its folder or else in the archive, if there is any.

    Raises:
        InputError: a record, or the archive, can't be read.
    """
    folder = output / cell.name
    record = finished_record(folder)
    if record:
        return Finished(str(folder), record)
    path = output / ARCHIVE
    if path.exists():
        record = _archived_records(path.absolute(), path.stat().st_mtime_ns).get(cell.name)
    return Finished(f"{path}: {cell.name}", record) if record else None


@lru_cache(maxsize=4)
def _archived_records(archive: Path, changed: int) -> dict[str, Record]:
    """By name of the run, of an archive as it is since the time ``changed``."""
    return {run.name: run.record for run in read_archive(archive)}


def read_finished(cells: Iterable[Cell], output: Path) -> Iterator[Files]:
    """All of each finished run of some cells; those that are archived first.

    Raises:
        InputError: a file of theirs, or the archive, is damaged.
    """
    wanted = {cell.name: finished_record(output / cell.name) for cell in cells}
    for run in read_archive(output / ARCHIVE):
        if run.name in wanted and wanted[run.name] is None:
            yield run
    for name, record in wanted.items():
        if record:
            yield _read_folder(name, output / name, record)


def _read_folder(name: str, folder: Path, record: Record) -> Files:
    try:
        results = json.loads((folder / RESULTS).read_text())
    except ValueError as error:
        raise damaged_results(str(folder), error) from error
    return Files(name, str(folder), record, results, read_lines(folder))


def damaged_results(where: str, error: Exception) -> InputError:
    """What is wrong with results of a run."""
    return InputError(f"{where} has damaged results ({error!r}): move it away")


def read_archive(path: Path) -> Iterator[Files]:
    """The runs in an archive, one after the other; none if there is no such file.

    Raises:
        InputError: it is damaged.
    """
    if not path.exists():
        return
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                run = json.loads(line)
                where = f"{path}: {run['name']}"
                record = Record(**run["record"])
                yield Files(run["name"], where, record, run["results"], run["metrics"])
    except (OSError, EOFError, lzma.LZMAError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} can't be read ({error}): take it from a copy, or move it away to run again "
            "what it had"
        ) from error


def pack(cells: Iterable[Cell], output: Path) -> Path:
    """Put all finished runs of some cells into the archive; what else it has stays there.

    Their folders stay. What only they have is the logs and checkpoints.

    Returns:
        The archive.

    Raises:
        InputError: a file of theirs, or the archive, is damaged, or can't be written.
    """
    path = output / ARCHIVE
    records = {cell.name: finished_record(output / cell.name) for cell in cells}
    new = {name: record for name, record in records.items() if record}

    def write(file: IO[bytes]) -> None:
        with lzma.open(file, "wb") as compressed:
            for run in read_archive(path):
                if run.name not in new:
                    compressed.write(_line(run))
            for name, record in new.items():
                compressed.write(_line(_read_folder(name, output / name, record)))

    write_atomically(path, write)
    return path


def _line(run: Files) -> bytes:
    content = {
        "name": run.name,
        "record": run.record._asdict(),
        "results": run.results,
        "metrics": run.metrics,
    }
    return json.dumps(content).encode() + b"\n"
