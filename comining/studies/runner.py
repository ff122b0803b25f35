"""Running the cells of a study, some at a time, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from comining.errors import InputError
from comining.folder_lock import lock_folder

from .archive import find_finished
from .cells import (
    LOG,
    RECORD,
    Record,
    code_version,
    data_files,
    data_version,
    has_checkpoint,
    read_record,
    write_record,
)
from .plan import Cell, settings_of, words
from .progress import Progress
from .unchanged import check_unchanged

LOOK_EVERY = 0.2  # seconds
SAVE_MINUTES_EVERY = 10.0  # seconds
TIME_TO_STOP = 10.0  # seconds
#: What trains, in the words of a Python command line, unless a study has a script of its own.
TRAIN = ("-m", "comining.engine.run")


@dataclass
class _Running:
    cell: Cell
    slot: int  # of those that run at a time
    folder: Path
    process: subprocess.Popen[bytes]
    record: Record  # minutes of the attempts that it goes on from
    started: float
    saved: float

    @property
    def minutes(self) -> float:
        return self.record.minutes + (time.monotonic() - self.started) / 60

    def save(self, *, finished: bool = False) -> None:
        self.saved = time.monotonic()
        write_record(self.folder, self.record._replace(minutes=self.minutes, finished=finished))


def run_cells(
    cells: Sequence[Cell], output: Path, jobs: int, command: Sequence[str] = TRAIN
) -> list[Cell]:
    """Run those cells that are not finished; print how it goes.

    Each writes what it prints to ``train.log`` in its folder and goes on from its last checkpoint,
    if it has one. However this ends, no process is left.

    Args:
        cells: of the study.
        output: folder of the study.
        jobs: how many to run at a time; each gets its share of the cores, unless the environment
            has OMP_NUM_THREADS, and, if there are GPUs, one of them, alone as long as they suffice.
        command: what Python runs, taking the arguments of train_net.py, and arguments before.

    Returns:
        The cells that failed.

    Raises:
        InputError: a cell was run with other settings or data, annotations of one that is to run
            are missing, the study is running already, or a config changed meanwhile.
    """
    failed: list[Cell] = []
    running: list[_Running] = []
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, _cores() // jobs)))
    with _lock(output) as lock:
        check_unchanged(cells, output)
        waiting = deque(cell for cell in cells if not find_finished(cell, output))
        _check_data(waiting)
        progress = Progress(cells, output, jobs)
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    slot = min(set(range(jobs)) - {one.slot for one in running})
                    resources = {"OMP_NUM_THREADS": threads, **_gpu_of(slot)}
                    one = _start(waiting.popleft(), output, slot, resources, lock, command)
                    running.append(one)
                    print(f"{one.cell.name} is running: {one.folder / LOG}", flush=True)
                time.sleep(LOOK_EVERY)
                for one in _ended(running):
                    running.remove(one)
                    code = one.process.returncode
                    one.save(finished=code == 0)
                    if code != 0:
                        failed.append(one.cell)
                    left = [(other.cell.method, other.minutes) for other in running]
                    left += [(cell.method, 0.0) for cell in waiting]
                    progress.print(one.cell, code, one.minutes, left)
        finally:
            with _uninterrupted():
                _stop(running)
    return failed


def _check_data(cells: Iterable[Cell]) -> None:
    """Check that there are annotations for all cells, which may be a day's work ahead."""
    missing = {
        f"{path} of {name}"
        for cell in cells
        for name, path in data_files(cell).items()
        if not path.is_file()
    }
    if missing:
        raise InputError(
            f"no such annotation file: {', '.join(sorted(missing))}; make it (as the head of the "
            "study file or README says), or name another one in DATASETS.REGISTER"
        )


def _ended(running: list[_Running]) -> list[_Running]:
    """Those whose process has ended; the others' records are kept up to date."""
    ended = [one for one in running if one.process.poll() is not None]
    for one in running:
        if one not in ended and time.monotonic() - one.saved > SAVE_MINUTES_EVERY:
            one.save()
    return ended


def last_lines(cell: Cell, output: Path, number: int = 8) -> str:
    """The end of a cell's log."""
    text = (output / cell.name / LOG).read_text(errors="replace")
    return "\n".join(text.rstrip().splitlines()[-number:])


@contextmanager
def _lock(output: Path) -> Iterator[int]:
    """Give an open file that only one study, and the trainings that inherit it, can have."""
    output.mkdir(parents=True, exist_ok=True)
    try:
        file = lock_folder(output)
    except BlockingIOError as error:
        raise InputError(
            f"{output} is in use: the study is running, or a training that it left behind when "
            "it was killed; wait for it or end it"
        ) from error
    with file:
        yield file.fileno()


def _start(
    cell: Cell,
    output: Path,
    slot: int,
    resources: dict[str, str],
    lock: int,
    command: Sequence[str],
) -> _Running:
    # A study takes hours, in which someone may edit its config.
    now_asked_for = {**cell.settings, **settings_of(cell.config_file, cell.overrides)}
    if now_asked_for != cell.settings:
        raise InputError(
            f"{cell.config_file} has changed since the study began: take the change back, or give "
            "the same command again for a study with it"
        )
    folder = output / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    record = read_record(folder)
    before, versions = 0.0, [code_version()]
    if record and has_checkpoint(folder):
        before = record.minutes + _unrecorded_minutes(folder)
        versions = [*record.code.split(", "), *versions]
    code = ", ".join(dict.fromkeys(versions))
    record = Record(cell.settings, before, code=code, data=data_version(cell))
    write_record(folder, record)
    arguments = ["--config-file", cell.config_file, "--resume"]
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *command, *arguments, *words(cell.overrides),
             "OUTPUT_DIR", str(folder)],
            env={**os.environ, **resources},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            # A group of its own, which can be ended together with its data loading processes.
            start_new_session=True,
        )  # fmt: skip
    now = time.monotonic()
    return _Running(cell, slot, folder, process, record, now, now)


def _unrecorded_minutes(folder: Path) -> float:
    """How long a training went on after its record was last written, as a killed study left it."""
    log, record = folder / LOG, folder / RECORD
    if not log.exists():
        return 0.0
    return max(0.0, log.stat().st_mtime - record.stat().st_mtime) / 60


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Turn a deaf ear to signals that ask to end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def _stop(running: list[_Running]) -> None:
    """End processes and theirs, and keep how long they ran."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in running:
            if one.process.poll() is None:
                os.killpg(one.process.pid, number)
        until = time.monotonic() + TIME_TO_STOP
        for one in running:
            try:
                one.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
    for one in running:
        one.save()


def _gpu_of(slot: int) -> dict[str, str]:
    """The environment variable that leaves a training one GPU, if there are any."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        gpus = [str(number) for number in range(torch.cuda.device_count())]
    else:
        gpus = [name for name in visible.split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {}


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
