"""Options that several commands have, with the same names and meanings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def images(required: bool = True) -> Callable[[Command], Command]:
    return click.option(
        "--images",
        type=click.Path(file_okay=False, path_type=Path),
        required=required,
        help="Folder of the images.",
    )


def annotations(required: bool = True) -> Callable[[Command], Command]:
    return click.option(
        "--annotations",
        type=click.Path(path_type=Path),
        required=required,
        help="Annotation file or folder.",
    )


def output(what: str, required: bool = True) -> Callable[[Command], Command]:
    return click.option("--output", type=click.Path(path_type=Path), required=required, help=what)


config = click.option(
    "--config", required=True, help="Config file, or the name of one of the package (hard_R50)."
)
weights = click.option("--weights", required=True, help="Weights of the trained model.")
device = click.option("--device", help="cpu, cuda, cuda:1, ... [default: a GPU if there is one]")
num_gpus = click.option(
    "--num-gpus", type=click.IntRange(1), default=1, show_default=True,
    help="Processes: one a GPU, or on the CPU if there is none.",
)  # fmt: skip
quiet = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
settings = click.argument("settings", nargs=-1, metavar="[KEY VALUE]...")


def echo_accepted(path: Path, counts: dict[str, int]) -> None:
    """Print what became of the boxes of a review, and where the result is."""
    for name, number in counts.items():
        click.echo(f"{name:38}{number:8}")
    click.echo(path)
