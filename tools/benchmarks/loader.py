"""The train loader."""

from __future__ import annotations

import json
import tempfile
from collections import deque
from itertools import islice
from pathlib import Path

import numpy as np
from detectron2.data import build_detection_train_loader
from PIL import Image

from comining.data import register_coco
from comining.engine import Trainer, load_config

from .data import ANNOTATED_PER_IMAGE, CONFIG
from .timing import interleaved


def benchmark_loader(repeats: int) -> None:
    """Batches of generated 640x480 photographs, decoded and augmented as in a worker.

    No worker is started: one that read ahead while the other side is measured would bend the
    ratio.
    """
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        images, annotations = [], []
        for index in range(32):
            smooth = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)
            picture = Image.fromarray(smooth).resize((640, 480), Image.Resampling.BICUBIC)
            picture.save(Path(folder, f"{index}.jpg"))
            images.append(
                {"id": index + 1, "file_name": f"{index}.jpg", "height": 480, "width": 640}
            )
            annotations += [
                {"id": len(annotations) + n + 1, "image_id": index + 1, "category_id": 1,
                 "bbox": [60 * n, 40 * n, 90, 70], "area": 6300, "iscrowd": 0}
                for n in range(ANNOTATED_PER_IMAGE)
            ]  # fmt: skip
        dataset = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "x"}],
        }
        annotation_file = Path(folder, "annotations.json")
        annotation_file.write_text(json.dumps(dataset))
        register_coco("benchmark", annotation_file, folder)
        cfg = load_config(CONFIG, ["DATALOADER.NUM_WORKERS", "0", "SOLVER.IMS_PER_BATCH", "8"])
        cfg.DATASETS.TRAIN = ["benchmark"]
        builders = {
            "stock": build_detection_train_loader,
            "ours": Trainer.build_train_loader,
        }
        batches = 12
        # Built anew each time: detectron2's can't be iterated over twice.
        steps = {
            name: lambda build=build: deque(islice(build(cfg), batches), maxlen=0)
            for name, build in builders.items()
        }
        took = interleaved(steps, repeats, "cpu")
    speed = {name: batches * 8 / seconds for name, seconds in took.items()}
    print("images per second and worker: "
          f"detectron2 {speed['stock']:.1f}, comining {speed['ours']:.1f}, "
          f"ratio {speed['ours'] / speed['stock']:.3f}")  # fmt: skip
