"""What to know about a batch whose loss is not finite."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def describe_divergence(
    path: Path, iteration: int, losses: dict[str, float], batch: list[dict[str, Any]]
) -> str:
    """Write the batch's file names and annotations to ``path`` and say what happened.

    Args:
        path: of a JSON file. Its boxes are XYXY in pixels of the augmented image.
        iteration: of the training.
        losses: by name, of which some are not finite.
        batch: items of a mapper.

    Returns:
        A message that names the losses, the images, the file and what may help.
    """
    bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
    images = []
    for item in batch:
        image = {key: item.get(key) for key in ("file_name", "image_id", "height", "width")}
        if "instances" in item:
            instances = item["instances"]
            image["augmented_size"] = list(instances.image_size)
            image["boxes"] = instances.gt_boxes.tensor.tolist()
            image["classes"] = instances.gt_classes.tolist()
        images.append(image)
    printable = {name: value if name not in bad else str(value) for name, value in losses.items()}
    content = {"iteration": iteration, "losses": printable, "images": images}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=str) + "\n")
    terms = ", ".join(f"{name} is {value}" for name, value in bad.items())
    ids = ", ".join(str(image["image_id"]) for image in images)
    return (
        f"losses are not finite in iteration {iteration}: {terms} (_aug marks the second view), on "
        f"the images {ids}, described in {path}. The last checkpoint is intact. "
        "Pretrained MODEL.WEIGHTS, a lower SOLVER.BASE_LR, a longer SOLVER.WARMUP_ITERS or "
        "SOLVER.CLIP_GRADIENTS may help; under float16, SOLVER.AMP.DTYPE bfloat16."
    )
