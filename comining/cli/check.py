"""``comining check``."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

from . import options


@click.command(short_help="Tell what is wrong with annotations and images.")
@click.argument("annotations", type=click.Path(path_type=Path), callback=options.coco_file)
@options.images(required=False)
@click.option("--no-decode", is_flag=True, help="Look whether images are there, not into them.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@options.quiet
@options.as_json
def command(
    annotations: Path,
    images: Path | None,
    no_decode: bool,
    workers: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check ANNOTATIONS and, with --images, every image, before a training does.

    Tells what is wrong, with the first ids, and what would be repaired. The exit code is 1 if
    training would refuse the data.
    """
    from comining.annotations.check import check

    report = check(annotations, images, decode=not no_decode, workers=workers)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report), default=str))
    elif not quiet or report.is_fatal:
        click.echo(report)
    if report.is_fatal:
        sys.exit(1)
    if not quiet and not as_json:
        click.echo("  training can use it")
