#!/usr/bin/env python
"""Plot the losses and the number of mined boxes of a training over time.

python tools/plot_run.py output/demo
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from comining.errors import InputError


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The records of a training's ``metrics.json``, one per logged iteration."""
    path = folder / "metrics.json"
    if not path.is_file():
        raise InputError(f"{path} does not exist: name the output folder of a training")
    return [json.loads(line) for line in path.read_text().splitlines()]


def plot_run(folder: Path, output: Path) -> None:
    """Draw the curves of the training in ``folder`` into the picture ``output``."""
    records = read_metrics(folder)
    names = sorted({name for record in records for name in record})
    panels = {
        "loss": [name for name in names if "loss" in name],
        "mined boxes per image": [name for name in names if name.startswith("comining/mined")],
        "AP on the validation images": [n for n in ("bbox/AP", "bbox/AP50") if n in names],
    }
    panels = {title: shown for title, shown in panels.items() if shown}
    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 3.5), squeeze=False)
    for axis, (title, shown) in zip(axes[0], panels.items(), strict=True):
        for name in shown:
            points = [(r["iteration"], r[name]) for r in records if name in r]
            axis.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 9 else "")
        axis.set_title(title)
        axis.set_xlabel("iteration")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(output, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="output folder of a training")
    parser.add_argument("--output", type=Path, help="the picture (default: FOLDER/curves.png)")
    options = parser.parse_args()
    output = options.output or options.folder / "curves.png"
    try:
        plot_run(options.folder, output)
    except InputError as error:
        sys.exit(f"error: {error}")
    print(output)


if __name__ == "__main__":
    main()
