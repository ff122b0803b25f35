"""``comining study``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from comining.console import hidden

from . import options
from .signals import end_as_if_interrupted


@click.command(short_help="Compare methods on protocols, with several seeds.")
@click.argument("study", type=click.Path(path_type=Path))
@options.output("Folder of the study.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Trainings at a time, which share the cores.",
)
@click.option("--report-only", is_flag=True, help="Train nothing; report what is finished.")
@click.option("--method", "methods", multiple=True, help="Train this one only; again for more.")
@click.option("--protocol", "protocols", multiple=True, help="Train on this one only.")
@click.option("--seed", "seeds", type=int, multiple=True, help="Train with this one only.")
@click.option(
    "--pack",
    is_flag=True,
    help="Then put the finished runs into one file, runs.jsonl.xz, to use in place of their "
    "folders.",
)
@options.quiet
def command(
    study: Path,
    output: Path,
    jobs: int,
    report_only: bool,
    methods: tuple[str, ...],
    protocols: tuple[str, ...],
    seeds: tuple[int, ...],
    pack: bool,
    quiet: bool,
) -> None:
    """Train several methods on several protocols with several seeds, and compare them.

    STUDY is a YAML file, as docs/compare.md describes it, or the name of one of the package
    (studies/scenes). The same command goes on where it was interrupted, and tries again what
    failed. What is finished is reported, also if only a part is to be trained.
    """
    from comining.config_files import find_config
    from comining.errors import InputError
    from comining.studies import archive
    from comining.studies.choice import choose_cells
    from comining.studies.plan import read_study
    from comining.studies.report import report, run_study

    end_as_if_interrupted()  # the study ends its trainings first
    if report_only and not output.is_dir():
        raise InputError(f"--output {output}: no such folder, nothing to report")
    planned = read_study(Path(find_config(str(study))))
    chosen = choose_cells(planned, methods, protocols, seeds)
    failed = []
    with hidden(quiet):
        if report_only:
            report(planned, output)
        else:
            failed = run_study(planned, output, jobs, chosen)
        if pack:
            packed = archive.pack(planned.cells, output)
            print(f"{packed}\nholds the finished runs; their folders may be deleted")
    if failed:
        sys.exit(1)
