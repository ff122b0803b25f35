"""``comining train``."""

from __future__ import annotations

from typing import Any

import click

from . import options
from .running import run_and_show
from .settings import WithSettings, with_settings


@click.command(cls=WithSettings, short_help="Train a detector, and evaluate it.")
@options.config
@click.option("--weights", help="Weights to begin with. [default: the config's]")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the folder.")
@options.of_runs
@with_settings
def command(config: str, settings: tuple[str, ...], **given: Any) -> None:
    """Train a detector, and evaluate it on the config's test data.

    KEY VALUE pairs change the config: SOLVER.MAX_ITER 1000. Several machines: torchrun -m comining
    train.
    """
    run_and_show(config, settings, **given)
