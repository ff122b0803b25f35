"""Options that several commands have, with the same names and meanings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from comining.config_files import find_config

#: Files of annotations in other formats end so.
_NOT_COCO = (".csv", ".txt", ".xml", ".yaml", ".yml")

Command = TypeVar("Command", bound=Callable[..., Any])


def images(
    required: bool = True, what: str = "Folder of the images."
) -> Callable[[Command], Command]:
    return click.option(
        "--images",
        type=click.Path(file_okay=False, path_type=Path),
        required=required,
        help=what,
    )


def coco_file(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """A callback that tells what to do with annotations of another format."""
    if value is not None and (value.is_dir() or value.suffix.lower() in _NOT_COCO):
        what = "a folder" if value.is_dir() else f"a {value.suffix} file"
        raise click.BadParameter(
            f"{value} is {what}; this takes one COCO file (.json), which `comining convert IMAGES "
            f"{value} --output {value.stem}.json` makes of it. `comining complete` takes it as it "
            "is",
            ctx,
            parameter,
        )
    return value


def annotations(required: bool = True) -> Callable[[Command], Command]:
    return click.option(
        "--annotations",
        type=click.Path(path_type=Path),
        required=required,
        callback=coco_file,
        help="COCO file of the annotations.",
    )


def output(what: str, required: bool = True) -> Callable[[Command], Command]:
    return click.option("--output", type=click.Path(path_type=Path), required=required, help=what)


def _no_empty_name(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value:
        raise click.BadParameter("which model? Name its weights", ctx, parameter)
    return value


config = click.option(
    "--config",
    required=True,
    callback=lambda _ctx, _parameter, value: find_config(value),
    help="Config file, or the name of one of the package (hard_R50).",
)
weights = click.option(
    "--weights", required=True, callback=_no_empty_name, help="Weights of the trained model."
)
device = click.option("--device", help="cpu, cuda, cuda:1, ... [default: a GPU if there is one]")
num_gpus = click.option(
    "--num-gpus", type=click.IntRange(1), default=1, show_default=True,
    help="Processes: one a GPU, or on the CPU if there is none.",
)  # fmt: skip
quiet = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def of_runs(command: Command) -> Command:
    """Those that `run_and_show` takes as they are."""
    output_ = output("Folder for all that is written. [default: the config's OUTPUT_DIR]", False)
    for option in (as_json, quiet, num_gpus, device, output_):
        command = option(command)
    return command


def batch_size(default: int) -> Callable[[Command], Command]:
    return click.option(
        "--batch-size", type=click.IntRange(1), default=default, show_default=True,
        help="Images at a time, in each process.",
    )  # fmt: skip


def echo_accepted(path: Path, counts: dict[str, int], number: int) -> None:
    """Print what became of the boxes of a review, and where the result is."""
    for name in filter(counts.get, counts):
        click.echo(f"{name:38}{counts[name]:8}")
    click.echo(f"{'boxes in the result':38}{number:8}\n{path}")
