"""Annotated objects as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from detectron2.structures import BoxMode
from numpy.typing import NDArray


def objects_of(annotations: Iterable[Mapping[str, Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The boxes and classes of annotations, without crowds, as training sees them.

    Args:
        annotations: in detectron2's form, or in COCO's.

    Returns:
        (M, 4), float32, XYXY in pixels; and each ``category_id``, (M,).
    """
    objects = [x for x in annotations if not x.get("iscrowd")]
    boxes = [
        BoxMode.convert(x["bbox"], x.get("bbox_mode", BoxMode.XYWH_ABS), BoxMode.XYXY_ABS)
        for x in objects
    ]
    classes = [x["category_id"] for x in objects]
    return np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(classes, dtype=np.int64)
