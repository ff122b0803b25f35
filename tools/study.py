#!/usr/bin/env python
"""Train several methods on several sparse protocols with several seeds, and compare them.

python tools/study.py configs/studies/scenes.yaml --output output/scenes --jobs 2
python tools/study.py configs/studies/scenes.yaml --output output/scenes --report-only

A study file:

    config: configs/demo.yaml       # of all methods that name none of their own
    script: my_train_net.py         # trains, in place of train_net.py; takes the same arguments
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

Paths are relative to the current folder. Every training is a run of train_net.py in its folder
PROTOCOL/METHOD/seedSEED below --output, which holds its train.log, too. The same command again
goes on where the study was interrupted, and tries again what failed.

At the end come table.md and table.csv (mean and standard deviation over the seeds), runs.csv (every
run, with the commit of the code that it was trained by) and the pictures ap and mining. 'Gap
closed' is (AP - AP of the control) / (AP of the control on the protocol named full - AP of the
control). What is said of mined boxes is the mean over the last tenth of the training of what was
logged: of their number, medians of 20 iterations. The lowest precision is that of any entry of
either branch's log, as soon as a hundred boxes were mined.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from textwrap import indent

from signals import end_as_if_interrupted
from studies.cells import LOG, check_unchanged, read_runs
from studies.plan import Cell, Study, read_study
from studies.plots import plot_study
from studies.runner import last_lines, run_cells
from studies.table import make_rows, write_runs, write_table

from comining.errors import InputError


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
    write_runs(runs, output)
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("--output", type=Path, required=True, help="folder of the study")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="trainings at a time (default: 1), which share the cores: each has as many threads as "
        "OMP_NUM_THREADS says or else cores / jobs",
    )
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    options = parser.parse_args()
    end_as_if_interrupted()  # the study ends its trainings first
    failed: list[Cell] = []
    try:
        if options.jobs < 1:
            raise InputError(f"--jobs {options.jobs}: must be at least 1")
        study = read_study(options.study)
        if options.report_only and not options.output.is_dir():
            raise InputError(f"--output {options.output}: no such folder, nothing to report")
        if not options.report_only:
            failed = run_cells(study.cells, options.output, options.jobs, (study.script,))
        report(study, options.output)
    except (InputError, OSError) as error:
        if failed:
            print(f"\n{describe_failures(failed, options.output)}", file=sys.stderr)
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from the last checkpoints", file=sys.stderr)
        sys.exit(130)
    if failed:
        sys.exit(f"\n{describe_failures(failed, options.output)}")


if __name__ == "__main__":
    main()
