"""Thresholds for a wanted precision, by hand."""

import numpy as np
import pytest
from detectron2.structures import BoxMode

from comining.evaluation.calibration import Judged, judge, threshold_for_precision

#: Of the best one, two, ... boxes are correct: 1/1, 2/2, 2/3, 3/4, 3/5.
CALIBRATION = Judged(
    np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, True, False, True, False])
)


def threshold(precision, scores=(0.95,), is_new=(True,), calibration=CALIBRATION):
    return threshold_for_precision(calibration, np.array(scores), np.array(is_new), precision)


@pytest.mark.parametrize(
    ("precision", "expected"), [(0.6, 0.5), (0.61, 0.6), (0.75, 0.6), (0.76, 0.8), (1.0, 0.8)]
)
def test_lowest_score_of_the_wanted_precision_where_all_is_new(precision, expected):
    assert threshold(precision) == expected


def test_boxes_found_again_leave_the_mistakes_among_the_new_ones():
    """Half of the mined boxes are new: from 0.6 on a quarter of all is wrong, half of the new."""
    scores, is_new = [0.9, 0.9, 0.85, 0.85], [True, False, True, False]
    assert threshold(0.5, scores, is_new) == 0.6
    assert threshold(0.51, scores, is_new) == 0.8


def test_only_boxes_that_reach_the_threshold_count():
    """From 0.8 on one of two is new, from 0.5 on four of five."""
    scores, is_new = [0.9, 0.85, 0.55, 0.55, 0.55], [True, False, True, True, True]
    # 1 - 2/5 * 5/4 = 0.5; at 0.6, 1 - 1/4 * 2/1 = 0.5 as well.
    assert threshold(0.5, scores, is_new) == 0.5
    assert threshold(0.51, scores, is_new) == 0.8


def test_precision_in_binary_fractions():
    """One mistake in ten is a precision of 0.9."""
    calibration = Judged(np.full(10, 0.5), np.arange(10) > 0)
    assert threshold(0.9, calibration=calibration) == 0.5
    assert threshold(0.91, calibration=calibration) is None


def test_nothing_to_add():
    assert threshold(0.5, scores=[], is_new=np.array([], dtype=bool)) is None
    assert threshold(0.5, scores=[0.9], is_new=[False]) is None
    assert threshold(0.5, calibration=Judged(np.array([]), np.array([]))) is None
    assert threshold(0.1, calibration=Judged(np.array([0.9]), np.array([False]))) is None


def test_judged_as_by_coco():
    def annotation(class_, box, iscrowd=0):
        return {
            "category_id": class_, "bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "iscrowd": iscrowd,
        }  # fmt: skip

    objects = [
        annotation(0, [0, 0, 10, 10]),
        annotation(1, [50, 0, 60, 10]),
        annotation(0, [100, 0, 200, 100], iscrowd=1),
    ]
    records = [{"image_id": 5, "annotations": objects}, {"image_id": 8, "annotations": []}]
    found = [
        (5, 0, [0, 0, 10, 6], 0.6),  # IoU 0.6, but a better one has the object
        (5, 0, [0, 0, 10, 9], 0.8),
        (5, 0, [50, 0, 10, 10], 0.7),  # an object of another class
        (5, 0, [110, 10, 20, 20], 0.9),  # in a crowd
        (5, 1, [50, 0, 10, 4], 0.5),  # IoU 0.4
        (8, 1, [0, 0, 10, 10], 0.3),
    ]
    detections = [{"image_id": i, "category_id": c, "bbox": b, "score": s} for i, c, b, s in found]
    first, second, third = judge(records, detections, num_classes=3)
    assert sorted(zip(*first, strict=True)) == [(0.6, False), (0.7, False), (0.8, True)]
    assert sorted(zip(*second, strict=True)) == [(0.3, False), (0.5, False)]
    assert len(third.scores) == 0


def test_all_detections_of_an_image_are_judged():
    detection = {"image_id": 1, "category_id": 0, "bbox": [0, 0, 10, 10], "score": 0.5}
    records = [{"image_id": 1, "annotations": []}]
    (judged,) = judge(records, [detection] * 150, num_classes=1)
    assert len(judged.scores) == 150  # COCO's own evaluation takes 100


def test_nothing_mined():
    records = [{"image_id": 1, "annotations": []}]
    assert [len(x.scores) for x in judge(records, [], num_classes=2)] == [0, 0]
