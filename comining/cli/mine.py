"""``comining mine``."""

from __future__ import annotations

import argparse
import json
from typing import Any

import click

from . import options
from .settings import WithSettings, overrides, with_settings
from .threshold import Threshold


@click.command(cls=WithSettings, short_help="Add what a trained model mines to annotations.")
@options.config
@options.weights
@options.output("The COCO file to write.")
@click.option("--dataset", help="A registered data set. [default: the config's training set]")
@click.option(
    "--score-thresh",
    type=Threshold(),
    multiple=True,
    help="Add boxes that score at least this; NAME=NUMBER, any number of times, for one category. "
    "[default: the thresholds of the training]",
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True),
    help="Instead: the share of right ones wanted among the added boxes of each category.",
)
@click.option(
    "--calibrate-on",
    metavar="DATASET",
    help="For --precision: a registered data set of fully annotated images.",
)
@options.batch_size(4)
@options.num_gpus
@options.device
@options.quiet
@options.as_json
@with_settings
def command(num_gpus: int, **given: Any) -> None:
    """Add what a trained model mines on a sparsely annotated data set to its annotations.

    The output is the data set's file plus the mined annotations: each has the fields "score" and
    "origin": "mined". What is in the file stays as it is, but for values that had to be repaired.

    The same command goes on where it was interrupted; until the end, OUTPUT.partial holds what was
    found. Images that can't be read get nothing and are named at the end, and the exit code is 1.
    Once they are repaired, the same command mines these alone.
    """
    from comining.engine import launch
    from comining.engine.device import check_device

    check_device(given["device"])
    args = argparse.Namespace(
        **given, num_gpus=num_gpus, num_machines=1, machine_rank=0, dist_url="auto"
    )
    launch(_mine, args)


def _mine(args: argparse.Namespace) -> None:
    """In each of the processes."""
    from comining.completion.mine_annotations import mine_annotations
    from comining.engine import load_config
    from comining.errors import PartialError

    changes = overrides(args.settings, {"MODEL.DEVICE": args.device})
    made = mine_annotations(
        load_config(args.config, changes),
        args.weights,
        args.output,
        dataset=args.dataset,
        score_thresh=dict(args.score_thresh),
        precision=args.precision,
        calibrate_on=args.calibrate_on,
        batch_size=args.batch_size,
        record={"config": args.config, "overrides": changes},
        quiet=args.quiet,
    )
    if made is None:
        return
    if args.as_json:
        rows = [x._asdict() for x in made.categories]
        click.echo(json.dumps({"output": str(args.output), "categories": rows}))
    elif not args.quiet:
        click.echo(made.table())
        click.echo(args.output)
    if made.unreadable:
        raise PartialError(made.what_to_repair(args.output))
