"""``comining predict``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import options
from .settings import overrides
from .signals import end_as_if_interrupted


@click.command(short_help="Detect objects in images and videos.")
@click.argument("inputs", metavar="IMAGES...", nargs=-1, required=True)
@options.config
@options.weights
@options.output("Folder for all that is written.")
@click.option(
    "--score-thresh", type=click.FloatRange(0, 1), default=0.5, show_default=True,
    help="Leave out what scores below.",
)  # fmt: skip
@options.batch_size(1)
@click.option(
    "--every", type=click.IntRange(1), default=1, show_default=True, metavar="N",
    help="Every N-th frame of videos.",
)  # fmt: skip
@options.device
@options.quiet
@options.as_json
@click.option(
    "--set", "settings", nargs=2, multiple=True, metavar="KEY VALUE",
    help="Change the config; any number of times.",
)  # fmt: skip
def command(
    inputs: tuple[str, ...],
    config: str,
    weights: str,
    output: Path,
    score_thresh: float,
    batch_size: int,
    every: int,
    device: str | None,
    quiet: bool,
    as_json: bool,
    settings: tuple[tuple[str, str], ...],
) -> None:
    """Detect objects in IMAGES: files, folders (with all below them), globs and videos.

    OUTPUT/predictions.json is a COCO file; OUTPUT/images has the annotated pictures. What can't be
    read is named at the end, and the exit code is 1; all else is done before. A run that is
    interrupted leaves OUTPUT/predictions.partial.json instead, with what it has found until then.
    """
    from comining.data import register_from_config
    from comining.data.pictures import find_inputs
    from comining.engine import load_config
    from comining.engine.device import check_device
    from comining.engine.prediction import JSON_NAME, predict
    from comining.errors import PartialError

    check_device(device)
    end_as_if_interrupted()
    paths = find_inputs(inputs, output)
    words = [word for pair in settings for word in pair]
    cfg = load_config(config, overrides(words, {"MODEL.DEVICE": device}))
    register_from_config(cfg)
    broken = predict(
        cfg, weights, paths, output,
        score_thresh=score_thresh, batch_size=batch_size, every=every, quiet=quiet,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps({"predictions": str(output / JSON_NAME), "unreadable": broken}))
    elif not quiet:
        click.echo(output / JSON_NAME)
    if broken:
        head = f"{len(broken)} of {len(paths)} inputs can't be read:"
        raise PartialError("\n  ".join([head, *broken]))
