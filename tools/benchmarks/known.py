"""A training step on images of which something is known, against the same without."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from comining.engine import load_config

from .data import FULL_CONFIGS, make_batch
from .step import build, imitate_training, run_step
from .timing import interleaved

#: Of an image's classes, so many are complete; of its regions to ignore, so many are of a class and
#: of all, and each is so large, as a share of the image's edges.
COMPLETE, OF_A_CLASS, OF_ALL, EDGE = 0.25, 2, 1, 0.3


def benchmark_known(
    sizes: list[tuple[int, int]], num_images: int, num_classes: int, *, detector: str, repeats: int
) -> None:
    """Print the time of a step with what is known, by that without it; and of the latter, twice."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{detector}, {device}, {torch.get_num_threads()} thread(s), median of {repeats}")
    above = load_config(FULL_CONFIGS[detector]).MODEL.COMINING.SCORE_THRESH
    for height, width in sizes:
        batch = make_batch(num_images, height, width, num_classes)
        known = [{**x, **_known(x["instances"], num_classes, i)} for i, x in enumerate(batch)]
        finished = [{**x, "exhaustive": list(range(num_classes))} for x in batch]
        model = build(detector, "CoMining", num_classes, device, "adaptive")
        imitate_training(model, batch, 50, above)
        batches = {"nothing": batch, "again nothing": batch, "finished": finished, "known": known}
        steps = {
            name: lambda model=model, batch=batch: run_step(model, batch)
            for name, batch in batches.items()
        }
        took = interleaved(steps, repeats, device)
        ratios = ", ".join(
            f"{name} {seconds / took['nothing']:.3f}" for name, seconds in took.items()
        )
        print(
            f"{height}x{width}, {num_images} image(s), {num_classes} classes: "
            f"{took['nothing']:.3f} s; {ratios}",
            flush=True,
        )


def _known(instances: Instances, num_classes: int, seed: int) -> dict[str, Any]:
    """Complete classes, and regions to ignore."""
    rng = np.random.default_rng(seed)
    height, width = instances.image_size
    classes = rng.permutation(num_classes)
    number = OF_A_CLASS + OF_ALL
    corners = rng.uniform(0, 1 - EDGE, (number, 2)) * (width, height)
    regions = Instances((height, width))
    boxes = np.hstack((corners, corners + np.multiply(EDGE, (width, height))))
    regions.gt_boxes = Boxes(torch.from_numpy(boxes).float())
    regions.gt_classes = torch.tensor([*classes[-OF_A_CLASS:].tolist(), *[-1] * OF_ALL])
    return {"exhaustive": classes[: round(COMPLETE * num_classes)].tolist(), "ignored": regions}
