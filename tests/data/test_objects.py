"""Annotations as arrays."""

import numpy as np
from detectron2.structures import BoxMode

from comining.data.objects import objects_of


def test_boxes_of_either_form_without_crowds():
    boxes, classes = objects_of(
        [
            {"bbox": [10, 20, 5, 6], "category_id": 7},
            {"bbox": [1.0, 2.0, 3.0, 4.0], "category_id": 3, "bbox_mode": BoxMode.XYXY_ABS},
            {"bbox": [0, 0, 9, 9], "category_id": 3, "iscrowd": 1},
            {"bbox": [0.5, 0, 2, 2], "category_id": 0, "bbox_mode": BoxMode.XYWH_ABS, "iscrowd": 0},
        ]
    )
    assert boxes.tolist() == [[10, 20, 15, 26], [1, 2, 3, 4], [0.5, 0, 2.5, 2]]
    assert (boxes.dtype, classes.tolist()) == (np.float32, [7, 3, 0])


def test_none():
    boxes, classes = objects_of([{"bbox": [0, 0, 9, 9], "category_id": 3, "iscrowd": 1}])
    assert (boxes.shape, classes.shape) == ((0, 4), (0,))
