"""``comining plot``."""

from __future__ import annotations

from pathlib import Path

import click

from . import options


@click.command(short_help="Plot losses, mined labels and AP of trainings.")
@click.argument("folders", type=click.Path(path_type=Path), nargs=-1, required=True)
@options.output(
    "The picture, written as .png and .svg. [default: FOLDER/curves, or FOLDER/comparison in the "
    "first of several folders]",
    required=False,
)
@options.quiet
def command(folders: tuple[Path, ...], output: Path | None, quiet: bool) -> None:
    """Plot losses, mined labels and AP of the trainings in FOLDERS over time."""
    from comining.studies.curves import plot_runs

    name = "curves" if len(folders) == 1 else "comparison"
    for path in plot_runs(folders, output or folders[0] / name):
        if not quiet:
            click.echo(path)
