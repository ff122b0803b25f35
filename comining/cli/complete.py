"""``comining complete``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comining.counted import counted

from . import options
from .places import Completed
from .running import restart_with_every_gpu

if TYPE_CHECKING:
    from comining.completion.complete import Completion

EXAMPLE = "comining complete photos/ half.json --output completed/"


@click.command(short_help="Find the objects that half-finished annotations lack.")
@click.argument("images", type=click.Path(path_type=Path))
@click.argument("annotations", type=click.Path(path_type=Path))
@options.output("Folder for all that is written.", example=EXAMPLE)
@click.option("--minutes", type=float, help="About how long. [default: 10, on a GPU 60]")
@click.option(
    "--precision",
    type=float,
    default=0.9,
    show_default=True,
    help="The share of right ones wanted among the added boxes.",
)
@click.option(
    "--weights",
    help="File of a MobileNetV2's weights, named as in torchvision, to begin with, or none. "
    "[default: ImageNet's, on a GPU COCO's, if they can be downloaded]",
)
@click.option("--listed-only", is_flag=True, help="Leave out images that ANNOTATIONS don't list.")
@click.option(
    "--reviewed",
    type=Completed(files=False),
    help="Folder of an earlier completion: what its review rejected isn't proposed again.",
)
@click.option("--dry-run", is_flag=True, help="Write the plan, OUTPUT/config.yaml, and no more.")
@options.device
@options.quiet
def command(images: Path, annotations: Path, output: Path, quiet: bool, **how: Any) -> None:
    """Find the objects that half-finished ANNOTATIONS of IMAGES lack.

    Trains a detector on what is annotated, adds what it finds beside, with a score, and writes a
    report. The same command goes on where it was interrupted.
    """
    if images.is_file():
        raise click.UsageError(
            f"{images} is a file: the folder of the images comes first. For example: {EXAMPLE}"
        )

    from comining.completion.complete import complete
    from comining.errors import PartialError

    restart_with_every_gpu(how["device"])
    done = complete(images, annotations, output, quiet=quiet, **how)
    if how["dry_run"] and not quiet:
        click.echo(f"The plan: {output / 'config.yaml'}. Without --dry-run the work begins.")
    if done is None:
        return
    if not quiet:
        _tell(done, output)
    if done.unreadable:
        named = "\n  ".join(list(done.unreadable.values())[:5])
        text = counted(len(done.unreadable), "images could not be read; repair what can be")
        raise PartialError(f"{text} and give the command again:\n  {named}")


def _tell(done: Completion, output: Path) -> None:
    """What was found, and what to do next."""
    from tabulate import tabulate

    from comining.completion.result import advice, interval_text, next_steps, summary

    def text(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    rows = [
        (x["name"], x["annotated"], x["added"], text(x["precision"], ".0%"), interval_text(x),
         text(x["threshold"] if x["added"] else None, ".2f")) for x in done.categories[:10]
    ]  # fmt: skip
    head = ("category", "annotated", "added", "expected right", "90% interval", "from score")
    click.echo(tabulate(rows, head, colalign=("left", *["right"] * 5), disable_numparse=True))
    numbers = len(done.dataset["images"]), sum(x["annotated"] for x in done.categories)
    click.echo(summary(*numbers, done.categories, done.recall, done.finished))
    if hint := advice(done.categories, done.recall):
        click.echo(hint)
    written = dict.fromkeys((done.written, output / "completed.json", output / "report.html"))
    click.echo(", ".join(map(str, written)))
    for line in next_steps(output, done.categories, done.judged):
        click.echo(line)
