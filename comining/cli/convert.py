"""``comining convert``."""

from __future__ import annotations

from pathlib import Path

import click

from comining.counted import counted

from . import options


@click.command(short_help="Write annotations of another format as a COCO file.")
@click.argument("images", type=click.Path(file_okay=False, path_type=Path))
@click.argument("annotations", type=click.Path(path_type=Path))
@options.output("The COCO file to write, in an existing folder.")
@click.option(
    "--categories-of",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Take the ids of categories from this COCO file, such as that of the training images.",
)
@click.option("--listed-only", is_flag=True, help="Leave out images that ANNOTATIONS don't list.")
@options.quiet
def command(
    images: Path,
    annotations: Path,
    output: Path,
    categories_of: Path | None,
    listed_only: bool,
    quiet: bool,
) -> None:
    """Write ANNOTATIONS of IMAGES as a COCO file.

    They may have any format that `comining complete` takes. Images that they don't list are added,
    without a box.
    """
    from comining.annotations.conversion import convert

    source = convert(
        images, annotations, output, categories_of=categories_of, listed_only=listed_only
    )
    if quiet:
        return
    for note in source.notes:
        click.echo(note)
    lists = ("images", "annotations", "categories")
    numbers = ", ".join(counted(len(source.dataset[x]), x) for x in lists)
    click.echo(f"{output}: {numbers}")
