"""``comining demo``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click

from . import options


@click.command(short_help="Try it all on generated scenes, in some minutes.")
@options.output("Folder for all that is written.")
@options.quiet
def command(output: Path, quiet: bool) -> None:
    """Make scenes, train on half of their annotations, evaluate, and show what was mined.

    The same command goes on where it was interrupted.
    """
    from comining.config_files import find_config

    # The config's data lie below the current folder.
    output.mkdir(parents=True, exist_ok=True)
    scenes, training = Path("datasets/scenes"), Path("training")
    config, weights = find_config("demo"), training / "model_final.pth"
    steps = (
        ["prepare", "scenes", "--output", scenes],
        ["train", "--config", config, "--output", training, "--resume"],
        ["show", "--config", config, "--weights", weights, "--output", "mined.png"],
        ["plot", training],
    )
    if not quiet:
        click.echo(f"$ cd {output}")
    for words in steps:
        _run(output, [str(word) for word in words], quiet)
    if quiet:
        return
    metrics = json.loads((output / training / "results.json").read_text())["bbox"]
    ap, ap50 = (metrics[name] or 0 for name in ("AP", "AP50"))  # null if nothing is detected
    click.echo(
        f"\nTrained on half of the annotations; on fully annotated validation images: "
        f"AP {ap:.1f}, AP50 {ap50:.1f}\n"
        f"What was mined:              {output}/mined.png\n"
        f"Losses and mined boxes:      {output}/training/curves.png\n"
        f"All metrics, per category:   {output}/training/results.json"
    )


def _run(folder: Path, words: list[str], quiet: bool) -> None:
    """Run one of the commands in a folder; stop with its exit code if it fails."""
    if not quiet:
        click.echo(f"\n$ comining {' '.join(words)}")
    more = ["--quiet"] if quiet else []
    done = subprocess.run([sys.executable, "-m", "comining", *words, *more], cwd=folder)
    if done.returncode != 0:
        sys.exit(done.returncode)
