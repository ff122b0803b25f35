"""Thresholds for a wanted precision, from a fully annotated data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from comining.engine.miner import Mined
from comining.evaluation.calibration import judge, threshold_for_precision


def thresholds_for_precision(
    found: Mapping[int, Mined],
    calibration: Mapping[int, Mined],
    records: list[dict[str, Any]],
    num_classes: int,
    precision: float,
) -> list[float | None]:
    """For each class, the score from which on new boxes have the wanted precision.

    Args:
        found: by image id, what was mined on the images that are completed.
        calibration: the same of the fully annotated ones.
        records: of these, in detectron2's standard form.
        num_classes: K.
        precision: above 0, at most 1.

    Returns:
        K scores in [0, 1]; None where there is none.
    """
    detections = [
        {
            "image_id": image_id,
            "category_id": class_,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": score,
        }
        for image_id, mined in calibration.items()
        for (x0, y0, x1, y1), class_, score, _ in zip(*mined, strict=True)
    ]
    judged = judge(records, detections, num_classes)
    classes, scores, is_new = (
        np.array([value for mined in found.values() for value in getattr(mined, field)], dtype)
        for field, dtype in (("classes", np.int64), ("scores", np.float64), ("is_new", bool))
    )
    return [
        threshold_for_precision(
            judged[class_], scores[classes == class_], is_new[classes == class_], precision
        )
        for class_ in range(num_classes)
    ]
