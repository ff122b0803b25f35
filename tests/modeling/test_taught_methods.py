"""Methods with a teacher, and the oracle, on boxes given by hand."""

from types import SimpleNamespace

import pytest
import torch

from comining.errors import InputError
from comining.modeling import MeanTeacher, Oracle, Step
from comining.modeling.two_views import TwoViews
from tests.modeling.helpers import annotations, make_labels

#: In both views of one image of 64 x 16 pixels.
ANNOTATED = make_labels([[0, 0, 10, 10]] * 2, classes=[1, 1], images=[0, 1])
NOTHING = make_labels([])


def in_both_views(boxes, classes, scores):
    both = [boxes * 2, classes * 2, [0] * len(boxes) + [1] * len(boxes), scores * 2]
    return make_labels(*both)


def step(*, teacher=NOTHING, detections=NOTHING, annotated=ANNOTATED, withheld=None, **more):
    """Of one image that is not mirrored."""
    images = TwoViews(torch.zeros(2, 3, 16, 64), [(16, 64)] * 2, [False], [withheld])
    taught = SimpleNamespace(detections=teacher)
    settings = {"iteration": 1, "teacher": taught, **more}
    return Step(images, detections, annotated, **settings)


class TestMeanTeacher:
    def test_both_views_learn_what_the_teacher_shows(self):
        found = in_both_views([[0, 0, 10, 10], [20, 0, 30, 10]], [1, 0], [0.9, 0.8])
        given = MeanTeacher().supervise(step(teacher=found))
        assert given.mined.boxes.tolist() == [[20, 0, 30, 10]] * 2
        assert given.mined.images.tolist() == [0, 1]
        targets = given.targets(ANNOTATED)
        assert targets.class_weights.tolist() == targets.box_weights.tolist() == [1] * 4

    def test_what_is_annotated_as_another_class_is_news(self):
        found = in_both_views([[0, 0, 10, 10]], [0], [0.9])
        assert len(MeanTeacher().supervise(step(teacher=found)).mined.boxes) == 2

    def test_threshold(self):
        method = MeanTeacher(score_thresh=0.7)
        assert method.teacher_floor == method.floor == 0.7
        with pytest.raises(InputError, match=r"MEANTEACHER.SCORE_THRESH is 1.1"):
            MeanTeacher(score_thresh=1.1)


class TestOracle:
    def test_both_views_learn_what_is_withheld(self):
        withheld = annotations((16, 64), [[20, 0, 30, 10], [40, 0, 50, 10]], [2, 0])
        mined = Oracle().supervise(step(withheld=withheld)).mined
        assert mined.boxes.tolist() == [[20, 0, 30, 10], [40, 0, 50, 10]] * 2
        assert mined.classes.tolist() == [2, 0] * 2
        assert mined.images.tolist() == [0, 0, 1, 1]

    def test_nothing_is_known(self):
        assert len(Oracle().supervise(step()).mined.boxes) == 0
