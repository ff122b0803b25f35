"""``comining prepare``."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from . import options
from .signals import end_as_if_interrupted

#: Those of `comining.data.prepare.PREPARERS`, which takes long to import.
NAMES = ("scenes", "trees", "blood-cells", "blood-cells-2017", "nuclei", "circuits")


def _number(name: str, help: str) -> Any:
    return click.option(f"--{name}", type=int, help=help)


@click.command(short_help="Make a public or a generated data set ready.")
@click.argument("name", type=click.Choice(NAMES))
@options.output("Folder to make.")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="What would be downloaded, if it is at hand: a checkout, or deepforest's wheel for trees.",
)
@click.option("--category", help="Of blood-cells: RBC, WBC or Platelets alone.")
@_number("max-size", "Of nuclei: leave out images with an edge above so many pixels.")
@_number("tile", "Of trees: edge of the tiles in pixels. [default: 256]")
@_number("train", "Of scenes: number of training images. [default: 1000]")
@_number("val", "Of scenes: number of validation images. [default: 200]")
@_number("size", "Of scenes: edge of the images in pixels. [default: 128]")
@_number("seed", "Of scenes and trees. [default: 0]")
@options.quiet
def command(name: str, output: Path, quiet: bool, **given: Any) -> None:
    """Make a data set ready for training, as a folder of images and COCO files.

    Scenes are generated; the others are downloaded and verified. A folder that already holds the
    data is left alone; one that holds anything else is refused.
    """
    from comining.data.prepare import PREPARERS

    end_as_if_interrupted()  # what was begun is removed

    prepare = PREPARERS[name]
    given = {key: value for key, value in given.items() if value is not None}
    for key in given.keys() - inspect.signature(prepare).parameters.keys():
        raise click.UsageError(f"--{key.replace('_', '-')} has no meaning for {name}")
    lines = prepare(output, **given)
    if not quiet:
        click.echo("\n".join(lines))
