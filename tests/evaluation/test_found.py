import math

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, BoxMode, Instances

from comining.errors import InputError
from comining.evaluation.found import (
    ANNOTATED,
    RIGHT,
    WRONG,
    FoundEvaluator,
    are_known,
    judge,
    recall_at_precision,
)


def objects(*boxes, classes):
    return np.array(boxes, dtype=np.float32).reshape(-1, 4), np.array(classes, dtype=np.int64)


def test_judge():
    annotated = objects([0, 0, 10, 10], classes=[0])
    withheld = objects([20, 0, 30, 10], [0, 0, 10, 9], classes=[0, 1])
    found = objects(
        [20, 0, 30, 10],  # a withheld one
        [20, 0, 30, 9],  # again
        [0, 0, 10, 10],  # the annotated one
        [0, 0, 10, 8],  # and again
        [0, 0, 10, 10],  # the one of another class there
        [20, 0, 30, 10],  # the right place, another class
        [20, 0, 30, 4],  # too small
        classes=[0, 0, 0, 0, 1, 1, 0],
    )
    expected = [RIGHT, WRONG, ANNOTATED, ANNOTATED, RIGHT, WRONG, WRONG]
    assert judge(*found, *annotated, *withheld).tolist() == expected


def test_judge_without_objects():
    nothing = objects(classes=[])
    assert judge(*objects([0, 0, 9, 9], classes=[0]), *nothing, *nothing).tolist() == [WRONG]
    assert judge(*nothing, *objects([0, 0, 9, 9], classes=[0]), *nothing).tolist() == []


@pytest.mark.parametrize(
    ("is_right", "precision", "expected"),
    [
        # Precisions of 1, 1, 2/3, 3/4, 4/5, 4/6.
        ([1, 1, 0, 1, 1, 0], 0.9, 0.4),
        ([1, 1, 0, 1, 1, 0], 0.8, 0.8),
        ([1, 1, 0, 1, 1, 0], 0.5, 0.8),
        ([0, 1, 1, 1, 1, 1], 0.9, 0.0),
        ([], 0.9, 0.0),
    ],
)
def test_recall_at_precision(is_right, precision, expected):
    scores = np.linspace(0.9, 0.1, len(is_right))
    order = np.random.default_rng(0).permutation(len(is_right))
    found = recall_at_precision(scores[order], np.array(is_right)[order], 5, precision)
    assert found == pytest.approx(expected)


def test_no_threshold_parts_equal_scores():
    assert recall_at_precision(np.array([0.5, 0.5]), np.array([1, 0]), 1, 0.9) == 0


def test_nothing_withheld():
    assert math.isnan(recall_at_precision(np.zeros(1), np.zeros(1), 0, 0.9))


def record(image_id, **annotations):
    return {
        "image_id": image_id,
        **{
            kind: [{"bbox": x, "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0} for x in boxes]
            for kind, boxes in annotations.items()
        },
    }


@pytest.fixture
def register():
    names = []

    def add(*records):
        names.append("found_in_test")
        DatasetCatalog.register(names[-1], lambda: list(records))
        return names[-1]

    yield add
    for name in names:
        DatasetCatalog.remove(name)


def test_evaluator(register):
    """Three withheld objects in two images; a wrong box scores above the third."""
    name = register(
        record(7, annotations=[[0, 0, 9, 9]], withheld_annotations=[[20, 0, 9, 9]]),
        record(8, annotations=[], withheld_annotations=[[0, 0, 9, 9], [30, 30, 9, 9]]),
    )
    evaluator = FoundEvaluator(name)
    for image_id, boxes, scores in (
        (7, [[0, 0, 9, 9], [20, 0, 29, 9], [50, 50, 60, 60]], [0.95, 0.9, 0.4]),
        (8, [[30, 30, 39, 39], [0, 0, 9, 9]], [0.3, 0.8]),
    ):
        found = Instances((99, 99), pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32)))
        found.scores = torch.tensor(scores)
        found.pred_classes = torch.zeros(len(boxes), dtype=torch.int64)
        evaluator.process([{"image_id": image_id}], [{"instances": found}])
    assert evaluator.evaluate()["withheld"]["found"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, [False] * 5),
        ({"judged": [0, 1]}, [False] * 5),
        ({"judged": [1]}, [True, True, False, True, True]),
        # In the first region lie 100, 51, 49, 0 and 60 per cent of the boxes.
        ({"ignored_regions": [{"bbox": [0, 0, 100, 60], "category_id": None}]}, [1, 1, 0, 0, 1]),
        ({"ignored_regions": [{"bbox": [0, 0, 100, 60], "category_id": 1}]}, [0, 0, 0, 0, 0]),
        ({"ignored_regions": [{"bbox": [0, 0, 100, 60], "category_id": 0}]}, [1, 1, 0, 0, 1]),
        (
            {"judged": [0, 1], "ignored_regions": [{"bbox": [0, 200, 9, 9], "category_id": None}]},
            [0, 0, 0, 1, 0],
        ),
    ],
)
def test_where_nothing_is_known(known, expected):
    boxes, classes = objects(
        [0, 0, 50, 60], [0, 9, 50, 109], [0, 11, 50, 111], [0, 200, 9, 209], [0, 0, 9, 100],
        classes=[0, 0, 1, 0, 0],
    )  # fmt: skip
    assert (~are_known(boxes, classes, known)).tolist() == [bool(x) for x in expected]


def test_only_what_is_known_counts_as_wrong(register):
    """Above the second withheld object score a box in a region and one of another class."""
    name = register(
        {
            **record(7, annotations=[], withheld_annotations=[[0, 0, 9, 9], [30, 30, 9, 9]]),
            "judged": [0],
            "ignored_regions": [{"bbox": [60, 60, 30, 30], "category_id": None}],
        }
    )
    boxes = [[0, 0, 9, 9], [60, 60, 70, 70], [0, 50, 9, 59], [30, 30, 39, 39]]
    found = Instances((99, 99), pred_boxes=Boxes(torch.tensor(boxes, dtype=torch.float32)))
    found.scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
    for classes, share in (([0, 0, 1, 0], 100), ([0, 0, 0, 0], 50), ([0, 1, 1, 1], 50)):
        found.pred_classes = torch.tensor(classes)
        evaluator = FoundEvaluator(name)
        evaluator.process([{"image_id": 7}], [{"instances": found}])
        assert evaluator.evaluate()["withheld"]["found"] == share


def test_unknown_what_was_withheld(register):
    name = register(record(7, annotations=[]))
    with pytest.raises(InputError, match=r"TEST\.FOUND it must be known what found_in_test lacks"):
        FoundEvaluator(name)
