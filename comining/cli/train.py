"""``comining train``."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .running import run_and_show
from .settings import WithSettings, with_settings


@click.command(cls=WithSettings, short_help="Train a detector, and evaluate it.")
@options.config
@options.output("Folder for all that is written. [default: the config's OUTPUT_DIR]", False)
@click.option("--weights", help="Weights to begin with. [default: the config's]")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the folder.")
@options.device
@options.num_gpus
@options.quiet
@options.as_json
@with_settings
def command(
    config: str,
    output: Path | None,
    weights: str | None,
    resume: bool,
    device: str | None,
    num_gpus: int,
    quiet: bool,
    as_json: bool,
    settings: tuple[str, ...],
) -> None:
    """Train a detector, and evaluate it on the config's test data.

    SETTINGS change the config: SOLVER.MAX_ITER 1000. Several machines: torchrun -m comining train.
    """
    own = {"OUTPUT_DIR": output, "MODEL.WEIGHTS": weights, "MODEL.DEVICE": device}
    run_and_show(config, own, settings, num_gpus, resume=resume, quiet=quiet, as_json=as_json)
