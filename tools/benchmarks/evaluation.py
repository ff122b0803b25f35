"""COCO metrics."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval

from comining.evaluation import box_metrics, coco


def benchmark_eval(num_images: int) -> None:
    """Boxes and detections of val2017's numbers: 80 classes, 7.2 boxes and 100 detections each."""
    rng = np.random.default_rng(0)
    categories = {id_: f"class {id_}" for id_ in range(1, 81)}
    annotations, predictions = [], []
    for image_id in range(1, num_images + 1):
        corners, sizes = rng.uniform(0, 400, (7, 2)), np.exp(rng.uniform(2, 5.5, (7, 2)))
        boxes, classes = np.hstack((corners, sizes)), rng.integers(1, 81, 7)
        for box, category in zip(boxes, classes, strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "category_id": int(category),
                "bbox": box.tolist(), "area": float(box[2] * box[3]), "iscrowd": 0,
            })  # fmt: skip
        for near in rng.integers(0, 7, 100):
            box = boxes[near] * rng.uniform(0.8, 1.25, 4)
            category = classes[near] if rng.random() < 0.7 else rng.integers(1, 81)
            predictions.append({
                "image_id": image_id, "category_id": int(category), "bbox": box.tolist(),
                "score": float(rng.random()),
            })  # fmt: skip
    dataset = {
        "images": [{"id": id_ + 1} for id_ in range(num_images)],
        "categories": [{"id": id_, "name": name} for id_, name in categories.items()],
        "annotations": annotations,
    }
    results, seconds = {}, {}
    for name, judge in (("pycocotools", pycocotools_judge), ("comining", nullcontext)):
        with judge():
            start = time.perf_counter()
            results[name] = box_metrics(dataset, copy.deepcopy(predictions), categories)
            seconds[name] = time.perf_counter() - start
    theirs, ours = results.values()
    difference = max(abs(theirs[key] - ours[key]) for key in theirs)
    print(f"{num_images} images, {len(annotations)} boxes, {len(predictions)} detections: "
          f"pycocotools {seconds['pycocotools']:.1f} s, comining {seconds['comining']:.1f} s, "
          f"ratio {seconds['pycocotools'] / seconds['comining']:.1f}; "
          f"greatest difference of a metric {difference:.1e}")  # fmt: skip


@contextmanager
def pycocotools_judge() -> Iterator[None]:
    """Make the project's metrics come from pycocotools."""
    with mock.patch.multiple(
        coco, COCO=pycocotools.coco.COCO, COCOeval=pycocotools.cocoeval.COCOeval
    ):
        yield
