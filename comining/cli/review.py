"""``comining review``."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .accepted import echo_accepted
from .places import Completed

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Look through mined boxes in the browser, and decide.")
@click.argument("target", type=Completed(files=True), metavar="DIR|FILE")
@options.images(required=False)
@click.option("--full", type=FILE, help="Full original of sparse annotations, to compare with.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Show N proposals alone, drawn over all scores, and measure their precision.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws another sample.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="[default: any free one]")
@click.option("--no-browser", is_flag=True, help="Print the address, but don't open it.")
@click.option("--html", type=FILE, help="Write the page to this file instead of serving it.")
@click.option(
    "--thumbnail-size",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Longest edge in pixels, for --html.",
)
@click.option("--link-images", is_flag=True, help="No thumbnails in --html: link the images.")
@click.option("--to", "to", type=click.Choice(["cvat", "label-studio"]), help="Review there.")
@click.option("--image-url", help="What Label Studio finds the images below, for --to.")
@click.option("--from", "exported", type=FILE, help="Take what CVAT or Label Studio exported.")
@options.output(
    "File that --to or --from writes; with --from, for YOLO, Pascal VOC and LabelMe, a folder.",
    required=False,
)
def command(
    target: Path, images: Path | None, full: Path | None, sample: int | None, seed: int, port: int,
    no_browser: bool, html: Path | None, thumbnail_size: int, link_images: bool, to: str | None,
    image_url: str | None, exported: Path | None, output: Path | None,
) -> None:  # fmt: skip
    """Look through mined boxes in the browser and decide: accept, reject, change, draw.

    DIR is what `comining complete` wrote; a FILE in COCO format, some of whose annotations have
    "origin": "mined", needs --images. Each decision is saved at once, to DIR/decisions.jsonl or
    FILE.decisions.jsonl; the same command goes on later. `comining accept` applies them. With
    --sample, N of all that may be added are judged: `comining complete` then goes by them.

    \b
    comining review completed/
    comining review completed/ --sample 40
    comining review completed/ --to cvat --output cvat.json
    """
    if sum(x is not None for x in (html, to, exported)) > 1:
        raise click.UsageError("--html, --to and --from exclude each other")
    if output is not None and to is None and exported is None:
        raise click.UsageError("--output goes with --to or --from; for the page, it is --html")
    if to is not None and output is None:
        raise click.UsageError("--to needs --output: the file to write")
    if (to == "label-studio") != (image_url is not None):
        raise click.UsageError(
            "--to label-studio and --image-url go together, such as --image-url "
            '"/data/local-files/?d=photos"'
        )

    from comining.completion import exchange, review_files, reviewing

    review = review_files.find_review(target, images)
    shown = reviewing.Shown(full, sample, seed)
    if to is not None and output is not None:
        told = (
            exchange.to_cvat(review, output)
            if image_url is None
            else exchange.to_label_studio(review, output, image_url)
        )
        click.echo(told)
    elif exported is not None:
        echo_accepted(*exchange.take_back(review, exported, output))
    elif html is not None:
        reviewing.write_page(review, shown, html, None if link_images else thumbnail_size)
        click.echo(html)
        click.echo("`comining accept --decisions` takes what its button Download decisions saves")
    else:
        number = reviewing.serve(review, shown, port, _tell_address, not no_browser)
        click.echo(f"\ndecisions in {review.decisions}: {number}; `comining accept` applies them")
        if sample is not None and review.proposals is not None and review.proposals.exists():
            click.echo("`comining complete`, as you gave it before, chooses by them what is added")


def _tell_address(url: str) -> None:
    click.echo(f"Review at {url}\nCtrl-C ends it; every decision is saved at once.")
