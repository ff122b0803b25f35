#!/usr/bin/env python
"""The demo: make scenes, train on half of their annotations, evaluate, and show what was mined."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "configs/demo.yaml"
SCENES = "datasets/scenes"
OUTPUT = "output/demo"


def run(script: str, *arguments: str) -> None:
    """Run one of the project's commands in its root folder; stop with its exit code if it fails."""
    print(f"\n$ python {script} {' '.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-W", "ignore", script, *arguments], cwd=ROOT)
    if done.returncode != 0:
        sys.exit(done.returncode)


def demo() -> None:
    """All of it, one command after the other."""
    weights = f"{OUTPUT}/model_final.pth"
    run("datasets/make_scenes.py", "--output", SCENES)
    run("train_net.py", "--config-file", CONFIG, "OUTPUT_DIR", OUTPUT)
    run("tools/show_mined.py", "--config-file", CONFIG, "--output", f"{OUTPUT}/mined.png",
        "MODEL.WEIGHTS", weights)  # fmt: skip
    run("tools/plot_run.py", OUTPUT)

    metrics = json.loads((ROOT / OUTPUT / "results.json").read_text())["bbox"]
    ap, ap50 = (metrics[name] or 0 for name in ("AP", "AP50"))  # null if nothing is detected
    print(
        f"\nTrained on half of the annotations; on fully annotated validation images: "
        f"AP {ap:.1f}, AP50 {ap50:.1f}\n"
        f"What was mined:              {OUTPUT}/mined.png\n"
        f"Losses and mined boxes:      {OUTPUT}/curves.png\n"
        f"All metrics, per category:   {OUTPUT}/results.json"
    )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    demo()
