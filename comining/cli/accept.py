"""``comining accept``."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .accepted import echo_accepted
from .places import Completed


@click.command()
@click.argument("target", type=Completed(files=True), metavar="DIR|FILE")
@options.images(required=False)
@click.option(
    "--decisions",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What a page without a server saved. [default: those of `comining review`]",
)
@click.option(
    "--unreviewed",
    type=click.Choice(["drop", "keep"]),
    default="drop",
    show_default=True,
    help="What happens to mined boxes that nobody decided about: kept ones stay marked as mined.",
)
@options.output(
    "File to write; for YOLO, Pascal VOC and LabelMe, folder. [default: accepted.* in DIR]",
    required=False,
)
@options.quiet
def command(
    target: Path,
    images: Path | None,
    decisions: Path | None,
    unreviewed: str,
    output: Path | None,
    quiet: bool,
) -> None:
    """Write the annotations that a review leaves.

    What was annotated stays unless it was rejected; accepted, changed and drawn boxes are
    annotations like the others. Of a DIR, they are written in the format of what was completed
    and, without --output, as a COCO file, too.
    """
    from comining.annotations.accepted import LEFT_OUT
    from comining.completion.acceptance import accept
    from comining.completion.review_files import find_review

    review = find_review(target, images)
    keep = unreviewed == "keep"
    done = accept(review, decisions, output, keep_unreviewed=keep)
    if not quiet:
        echo_accepted(*done)
        if not keep and done.counts.get(LEFT_OUT):
            click.echo("--unreviewed keep keeps boxes that nobody decided about")
