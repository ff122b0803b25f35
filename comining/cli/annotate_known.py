"""``comining annotate-known``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import options


@click.command(short_help="Say in which images all objects are annotated.")
@click.argument("annotations", type=click.Path(path_type=Path), callback=options.coco_file)
@options.output("The COCO file to write, in an existing folder.")
@click.option("--exhaustive", metavar="A,B|all", help="Categories annotated without omission.")
@click.option("--absent", metavar="A,B|all", help="Categories looked for and not there.")
@click.option(
    "--images-glob",
    metavar="PATTERN",
    help="Of which images, by their file_name, such as 'day1/*'. [default: all]",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A table with the columns image, exhaustive and absent, in place of these.",
)
@options.quiet
@options.as_json
def command(
    annotations: Path,
    output: Path,
    exhaustive: str | None,
    absent: str | None,
    images_glob: str | None,
    csv_file: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Add to ANNOTATIONS what is known of their images.

    In the images that the pattern matches, all objects of the exhaustive categories are annotated,
    and there are none of the absent ones. What the file says already stays. Nothing is written if
    the result would contradict itself, as where an absent category is annotated.
    """
    from comining.annotations.known_marks import annotate_known

    if csv_file is None and not exhaustive and not absent:
        raise click.UsageError("what is known? Give --exhaustive, --absent or --csv")
    if csv_file is not None and (exhaustive or absent or images_glob):
        raise click.UsageError("--csv takes the place of --exhaustive, --absent and --images-glob")
    known = annotate_known(
        annotations, output, exhaustive=exhaustive or "", absent=absent or "",
        images_glob=images_glob or "*", csv_file=csv_file,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps({"output": str(output), "known": known}))
    elif not quiet:
        for what, number in known.items():
            click.echo(f"{what:34}{number:8}")
        click.echo(f"written to {output}")
