"""The folder of a cell: what it was run with, and whether it is finished."""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from comining.errors import InputError
from comining.output_file import write_atomically

from .plan import Cell

PACKAGE = Path(__file__).parents[1]
LOG = "train.log"
RECORD = "cell.json"
RESULTS = "results.json"
#: The version of code that was run outside of git, or before versions were recorded.
UNKNOWN = "unknown"


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


def finished_record(folder: Path) -> Record | None:
    """The record in a folder that has the results of a finished training, else None.

    Raises:
        InputError: the record can't be read.
    """
    record = read_record(folder)
    # Evaluations on the way write results, too.
    return record if record and record.finished and (folder / RESULTS).exists() else None


def has_checkpoint(folder: Path) -> bool:
    """Tell whether there is anything in a folder that a training would go on from."""
    return any(folder.glob("model_*.pth"))
