"""Generated inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG = str(CONFIGS / "full_R50.yaml")
#: By detector.
FULL_CONFIGS = {"RetinaNet": CONFIG, "FCOS": str(CONFIGS / "fcos_full_R50.yaml")}
ANNOTATED_PER_IMAGE = 7  # as in COCO


def make_batch(
    num_images: int, height: int, width: int, num_classes: int = 80
) -> list[dict[str, Any]]:
    """Random images, as the stock mapper gives them, with some boxes each."""
    rng = np.random.default_rng([num_images, height, width])
    batch = []
    for _ in range(num_images):
        pixels = rng.integers(0, 256, (3, height, width), dtype=np.uint8)
        corners = rng.uniform(0, 0.8, (ANNOTATED_PER_IMAGE, 2)) * (width, height)
        sizes = rng.uniform(0.03, 0.6, (ANNOTATED_PER_IMAGE, 2)) * (width, height)
        boxes = np.hstack((corners, np.minimum(corners + sizes, (width, height))))
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.from_numpy(boxes).float())
        instances.gt_classes = torch.from_numpy(rng.integers(0, num_classes, ANNOTATED_PER_IMAGE))
        batch.append({"image": torch.from_numpy(pixels), "instances": instances})
    return batch
