"""``comining audit``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import options
from .places import Completed

ASSUMED = (
    "This assumes that missing objects are found as often as the withheld boxes. Where people left "
    "out what is hard to see, more are missing."
)

LOWER = (
    "what was found beside the annotations scores lower than the withheld boxes. If it is harder "
    "to see, more is missing; if some of it is no object, less."
)


@click.command(short_help="Estimate how many objects annotations lack.")
@click.argument("folder", type=Completed(files=False))
@options.as_json
def command(folder: Path, as_json: bool) -> None:
    """Estimate how many objects annotations lack, whatever was added to them.

    FOLDER is what `comining complete` wrote. The boxes that it withheld show what share of
    objects its detector finds, and so how many there must be. A review of a sample of what it
    proposes makes the estimate surer.

    \b
    comining complete photos/ half.json --output done/
    comining audit done/
    comining review done/ --sample 40
    comining audit done/
    """
    from comining.completion.audit import audit_folder

    rows = audit_folder(folder, lambda text: click.echo(text, err=True))
    if as_json:
        objects = [{**x._asdict(), "why_unknown": x.why_unknown} for x in rows]
        click.echo(json.dumps(objects, ensure_ascii=False, indent=1))
        return

    from tabulate import tabulate

    table = []
    is_known = any(x.finished for x in rows)
    for x in rows:
        told = ("unknown", "", "")
        if x.missing is not None and x.low is not None and x.high is not None:
            share = f"{x.missing / max(1.0, x.annotated + x.missing):.0%}"
            told = (f"{x.missing:.0f}", f"{x.low:.0f} to {x.high:.0f}", share)
        finished = (f"{x.finished:.0%}",) if is_known else ()
        table.append((x.name, x.annotated, *told, *finished))
    head = ["category", "annotated", "missing", "90% interval", "share missing"]
    if is_known:
        head.append("images finished")
    click.echo(tabulate(table, head, colalign=("left", *["right"] * (len(head) - 1))))
    for x in rows:
        if x.why_unknown:
            click.echo(f"{x.name}: {x.why_unknown}")
    differing = [x.name for x in rows if not x.is_consistent]
    is_judged = (folder / "sample.json").exists()
    if differing and not is_judged:
        click.echo(f"{', '.join(differing)}: {LOWER}")
        click.echo(f"To know, judge a sample: comining review {folder} --sample 40")
    if any(x.missing is not None for x in rows):
        click.echo(ASSUMED)
