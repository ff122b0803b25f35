"""``comining export``."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .settings import WithSettings, with_settings


@click.command(cls=WithSettings, short_help="Write a detector as an ONNX or TorchScript file.")
@options.config
@options.weights
@options.output("The file to write.")
@click.option(
    "--format", "file_format", type=click.Choice(["onnx", "torchscript"]), default="onnx",
    show_default=True, help="Of the file.",
)  # fmt: skip
@click.option(
    "--sample",
    type=click.Path(path_type=Path),
    help="A picture with objects, to compare on. [default: the first of the config's data]",
)
@options.quiet
@with_settings
def command(
    config: str,
    weights: str,
    output: Path,
    file_format: str,
    sample: Path | None,
    quiet: bool,
    settings: tuple[str, ...],
) -> None:
    """Write a trained RetinaNet or FCOS as one file for other programs.

    The file needs neither detectron2 nor this package. What is written has found the same as the
    detector on two pictures.
    """
    from comining.data import register_from_config
    from comining.engine import load_config
    from comining.engine.exporting import export

    cfg = load_config(config, list(settings))
    register_from_config(cfg)
    path = export(cfg, weights, output, file_format, sample=sample)
    if not quiet:
        click.echo(path)
