"""``comining show``."""

from __future__ import annotations

from pathlib import Path

import click

from comining.console import hidden

from . import options
from .settings import WithSettings, overrides, with_settings


@click.command(cls=WithSettings, short_help="Draw what a trained model mines on some images.")
@options.config
@options.weights
@options.output("The picture, .png or .pdf.")
@click.option(
    "--num-images", type=click.IntRange(1), default=8, show_default=True, help="How many to show."
)
@options.quiet
@with_settings
def command(
    config: str,
    weights: str,
    output: Path,
    num_images: int,
    quiet: bool,
    settings: tuple[str, ...],
) -> None:
    """Draw what a trained model mines on the first images of its training set."""
    from comining.completion.show import show_mined
    from comining.engine import load_config

    cfg = load_config(config, overrides(settings, {"MODEL.WEIGHTS": weights}))
    with hidden(quiet):
        show_mined(cfg, output, num_images)
        click.echo(output)
