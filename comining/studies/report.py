"""Several methods on several sparse protocols with several seeds, compared.

A study file:

    config: configs/demo.yaml       # of all methods that name none of their own
    script: my_train_net.py         # trains; takes the arguments of train_net.py
    settings:                       # for all; KEY: value, flat
      SOLVER.MAX_ITER: 1000
    methods:
      plain: {MODEL.META_ARCHITECTURE: RetinaNet}
      comining: {}                  # may have a config: of its own
    protocols:
      full: {DATASETS.TRAIN: [scenes_full]}
      hard: {DATASETS.TRAIN: [scenes_hard]}
    seeds: [0, 1, 2]
    skip: [[comining, full]]        # pairs of method and protocol to leave out
    controls: [plain]               # 'gap closed' is stated against these methods
    costs: plain                    # time and memory are stated relative to this one's

Paths are relative to the current folder. Every training is a process of its own in its folder
PROTOCOL/METHOD/seedSEED below --output, which holds its train.log, too. The same command again
goes on where the study was interrupted, and tries again what failed.

At the end come table.md and table.csv (mean and standard deviation over the seeds), runs.csv (every
run, with the commit of the code that it was trained by) and the pictures ap and mining. 'Gap
closed' is (AP - AP of the control) / (AP of the control on the protocol named full - AP of the
control). What is said of mined boxes is the mean over the last tenth of the training of what was
logged: of their number, medians of 20 iterations. The lowest precision is that of any entry of
either branch's log, as soon as a hundred boxes were mined.

Where trainings are evaluated with TEST.FOUND, the table also tells which share of the withheld
objects the trained detector finds at the score above which nine in ten of its boxes are right. Time
is that of an iteration, the median; memory the most that was taken, on the GPU or else by the whole
process.

With --pack the finished runs are put into one file, runs.jsonl.xz, as `comining.studies.archive`
describes it. It does in place of their folders: to report, and to go on from.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from .cells import LOG
from .plan import Cell, Study
from .plots import plot_study
from .results import read_runs
from .runner import TRAIN, last_lines, run_cells
from .table import make_rows, write_runs, write_table
from .unchanged import check_unchanged


def report(study: Study, output: Path) -> None:
    """Write tables and pictures of what is finished into ``output``, and print the table.

    Raises:
        InputError: a cell was run with other settings, or its results are damaged.
    """
    check_unchanged(study.cells, output)
    runs = read_runs(study.cells, output)
    rows = make_rows(study, runs)
    output.mkdir(parents=True, exist_ok=True)
    write_table(study, rows, output)
    write_runs(study, runs, output)
    pictures = plot_study(study, rows, runs, output)
    print(f"\n{(output / 'table.md').read_text()}")
    print(f"{len(runs)} of {len(study.cells)} runs are finished")
    versions = sorted({run.code for run in runs})
    if len(versions) > 1:
        print(f"note: they are of different versions of the project, {', '.join(versions)}: see")
        print("'code' in runs.csv")
    for path in (output / "table.md", output / "table.csv", output / "runs.csv", *pictures):
        print(path)


def describe_failures(failed: list[Cell], output: Path) -> str:
    """The last lines of the logs of cells that failed."""
    parts = [
        f"{output / cell.name / LOG}:\n{indent(last_lines(cell, output), '    ')}"
        for cell in failed
    ]
    names = ", ".join(cell.name for cell in failed)
    return "\n\n".join([*parts, f"error: failed: {names}; the same command tries again"])


def run_study(
    study: Study, output: Path, jobs: int = 1, cells: Sequence[Cell] | None = None
) -> list[Cell]:
    """Train what a study asks for and is not finished, then report on all that is.

    Args:
        study: of `read_study`.
        output: its folder.
        jobs: trainings at a time.
        cells: those to train; None for all.

    Returns:
        The cells that failed, whose logs' last lines are printed to standard error.

    Raises:
        InputError: what the study names can't be used.
    """
    wanted = study.cells if cells is None else cells
    failed = run_cells(wanted, output, jobs, (study.script,) if study.script else TRAIN)
    try:
        report(study, output)
    finally:
        if failed:
            print(f"\n{describe_failures(failed, output)}", file=sys.stderr)
    return failed
