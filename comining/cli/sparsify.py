"""``comining sparsify``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from comining.annotations import omissions, verified
from comining.annotations.sparse import PROTOCOLS

from . import options


@click.command(short_help="Leave out annotations, by a protocol.")
@options.annotations()
@click.option(
    "--protocol",
    type=click.Choice([*PROTOCOLS, *omissions.PROTOCOLS, *verified.PROTOCOLS]),
    required=True,
    help="What is dropped.",
)
@click.option("--seed", type=int, required=True, help="Of the draws.")
@options.output("The COCO file to write, in an existing folder.")
@click.option(
    "--percent",
    type=float,
    help="What is dropped, 0 to 100; not for easy, hard, extreme, keep1 and class-subsets. "
    "[default: 50]",
)
@click.option(
    "--exhaustive-share",
    type=float,
    default=0,
    help="Share of the images, 0 to 1, that is left complete and marked so. [default: 0]",
)
@click.option(
    "--sources",
    type=int,
    help=f"For class-subsets: how many data sets are put together. [default: {verified.SOURCES}]",
)
@options.images(False, "Folder of the images, for hard-to-see: contrast counts, too.")
@click.option(
    "--record-name",
    is_flag=True,
    help="Let the output name the input file, so that what was withheld can be shown.",
)
@options.quiet
@options.as_json
def command(
    annotations: Path,
    protocol: str,
    seed: int,
    output: Path,
    percent: float | None,
    exhaustive_share: float,
    sources: int | None,
    images: Path | None,
    record_name: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make a sparsely annotated version of fully annotated images' annotations.

    Per image, easy drops one random annotation if there are at least two, hard drops a random half
    (rounded down), extreme keeps one, and keep1 keeps one per category. Over the data set, miss
    drops a percentage of each category's annotations (rounded down).

    hard-to-see, tired, class and session drop a percentage of all annotations as people omit them:
    small, crowded and cut-off ones more often (with --images, those of little contrast, too); the
    rest of an image, of later images more; all of a category in some images; much in some images
    and little in others.

    federated and class-subsets also write what is known of each image: it was looked through for
    some of the categories that it shows (a percentage is dropped) and as many others, as in LVIS;
    or for the categories of the source that it comes from, each source having its own.

    Crowd annotations stay, except of categories that were not looked for. The same seed and content
    give the same file, byte for byte, whatever the order of the input's annotations and its file's
    name (but with --record-name).
    """
    from comining.annotations.sparse_file import make_sparse_file

    made = make_sparse_file(
        annotations, output, protocol,
        seed=seed, percent=percent, images=images, record_name=record_name,
        exhaustive_share=exhaustive_share, sources=sources,
    )  # fmt: skip
    if as_json:
        rows = [x._asdict() for x in made.categories]
        click.echo(json.dumps({"output": str(output), "categories": rows, "crowds": made.crowds}))
    elif not quiet:
        click.echo(made.table())
        click.echo(f"written to {output}")
