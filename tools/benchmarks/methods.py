"""What a training step of each method of a study costs beside that of a plain detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from detectron2.modeling import build_model
from torch import nn

from comining.engine import load_config
from comining.studies.plan import Cell, read_study, words

from .data import make_batch
from .step import imitate_training, peak_memory, run_step
from .timing import interleaved


def benchmark_methods(study_file: str, edge: int, num_images: int, repeats: int) -> None:
    """Print the seconds and the peak memory of each, and the ratios to those of the first one.

    Args:
        study_file: tells the methods, the first of which the others are compared with. All have the
            same weights, and as many confident predictions as a trained model.
        edge: of the images, in pixels.
        num_images: of a batch.
        repeats: of which the median counts.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    study = read_study(Path(study_file))
    cells = {x.method: x for x in reversed(study.cells)}
    models = {name: _build(cells[name], device) for name in study.methods}
    batch = make_batch(num_images, edge, edge, next(iter(models.values())).num_classes)
    example = next(x for x in models.values() if hasattr(x, "method"))
    imitate_training(example, batch, confident=10, above=0.6)
    weights = {x: y for x, y in example.state_dict().items() if x.startswith(("backbone", "head"))}
    for model in models.values():
        model.load_state_dict(weights, strict=False)

    def step_of(model: nn.Module) -> Any:
        return lambda: run_step(model, batch)

    steps = {name: step_of(model) for name, model in models.items()}
    took = interleaved(steps, repeats, device)
    peaks = {name: peak_memory(step, device) for name, step in steps.items()}
    first = study.methods[0]
    print(f"{num_images} images of {edge} px, {device}, {torch.get_num_threads()} thread(s)")
    for name in steps:
        print(
            f"{name:20} {took[name]:.3f} s, x {took[name] / took[first]:.2f}; "
            f"{peaks[name] / 2**20:.0f} MiB, x {peaks[name] / peaks[first]:.2f}"
        )


def _build(cell: Cell, device: str) -> nn.Module:
    cfg = load_config(cell.config_file, words({**cell.overrides, "MODEL.DEVICE": device}))
    torch.manual_seed(0)
    return build_model(cfg).train()
