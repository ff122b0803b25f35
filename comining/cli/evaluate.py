"""``comining evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options
from .running import run_and_show
from .settings import WithSettings, with_settings

#: Of the data set that options describe, as messages name it.
NAME = "--annotations"


@click.command(cls=WithSettings, short_help="Evaluate a trained detector.")
@options.config
@options.weights
@options.annotations(required=False)
@options.images(required=False)
@options.of_runs
@with_settings
def command(
    config: str,
    settings: tuple[str, ...],
    annotations: Path | None,
    images: Path | None,
    **given: Any,
) -> None:
    """Evaluate a trained detector on fully annotated images.

    They are those of --annotations and --images or, without these, the config's test data.
    KEY VALUE pairs change the config: DATASETS.TEST "('my_val',)".
    """
    if (annotations is None) != (images is None):
        raise click.UsageError("--annotations and --images belong together")
    from comining.engine import load_config
    from comining.errors import InputError

    data = load_config(config, list(settings)).DATASETS
    if annotations is not None:
        register = [*data.REGISTER, [NAME, str(annotations), str(images)]]
        settings = (*settings, "DATASETS.REGISTER", repr(register), "DATASETS.TEST", repr([NAME]))
    elif not data.TEST:
        raise InputError(
            f"{config} names no test data: give --annotations and --images of some that are fully "
            "annotated"
        )
    run_and_show(config, settings, eval_only=True, **given)
