"""``comining evaluate``."""

from __future__ import annotations

from typing import Any

import click

from . import options
from .running import run_and_show
from .settings import WithSettings, with_settings


@click.command(cls=WithSettings, short_help="Evaluate a trained detector.")
@options.config
@options.weights
@options.of_runs
@with_settings
def command(config: str, settings: tuple[str, ...], **given: Any) -> None:
    """Evaluate a trained detector on the config's test data.

    SETTINGS change the config: DATASETS.TEST "('my_val',)".
    """
    run_and_show(config, settings, eval_only=True, **given)
