"""``comining evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .running import run_and_show
from .settings import WithSettings, with_settings


@click.command(cls=WithSettings, short_help="Evaluate a trained detector.")
@options.config
@options.weights
@options.output("Folder for all that is written. [default: the config's OUTPUT_DIR]", False)
@options.device
@options.num_gpus
@options.quiet
@options.as_json
@with_settings
def command(
    config: str,
    weights: str,
    output: Path | None,
    device: str | None,
    num_gpus: int,
    quiet: bool,
    as_json: bool,
    settings: tuple[str, ...],
) -> None:
    """Evaluate a trained detector on the config's test data.

    SETTINGS change the config: DATASETS.TEST "('my_val',)".
    """
    own = {"OUTPUT_DIR": output, "MODEL.WEIGHTS": weights, "MODEL.DEVICE": device}
    run_and_show(config, own, settings, num_gpus, eval_only=True, quiet=quiet, as_json=as_json)
