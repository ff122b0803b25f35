"""Methods by themselves, on boxes given by hand."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from comining.errors import InputError
from comining.modeling import Adaptive, Ignoring, Published, Step, Supervision, TwoViewsOnly
from comining.modeling.targets import Targets
from comining.modeling.two_views import TwoViews
from tests.modeling.helpers import (
    NUM_CLASSES,
    each_detector,
    items,
    make_labels,
    tiny_model,
)

#: Of the original, on the annotated box and elsewhere; of the second view, elsewhere.
FOUND = make_labels(
    [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]],
    classes=[1, 0, 2], images=[0, 0, 1], scores=[0.9, 0.8, 0.7],
)  # fmt: skip
ANNOTATED = make_labels([[0, 0, 10, 10]] * 2, classes=[1, 1], images=[0, 1])


def step(detections=FOUND, flipped=False, **more):
    images = TwoViews(torch.zeros(2, 3, 16, 64), [(16, 64)] * 2, [flipped], [None])
    annotated = ANNOTATED
    if flipped:
        boxes = ANNOTATED.boxes.clone()
        boxes[1] = torch.tensor([54.0, 0, 64, 10])
        annotated = ANNOTATED._replace(boxes=boxes)
    return Step(images, detections, annotated, **{"iteration": 1, **more})


def trained(kind=Adaptive, **settings):
    """Confident above 0.75, unsure above 0.5."""
    method = kind(NUM_CLASSES, **settings)
    method.adaptive.thresholds = lambda: (
        torch.full((NUM_CLASSES,), 0.75),
        torch.full((NUM_CLASSES,), 0.5),
    )
    return method


class TestPublished:
    def test_each_view_learns_what_the_other_one_shows(self):
        mined = Published().supervise(step()).mined
        assert mined.boxes.tolist() == [[20, 0, 30, 10], [40, 0, 50, 10]]
        assert mined.images.tolist() == [1, 0]

    def test_in_the_frame_of_the_view_that_learns(self):
        mined = Published().supervise(step(flipped=True)).mined
        assert mined.boxes.tolist() == [[34, 0, 44, 10], [14, 0, 24, 10]]

    def test_itself(self):
        mined = Published(crosswise=False).supervise(step()).mined
        assert mined.images.tolist() == [0, 1]

    def test_as_good_as_annotated(self):
        targets = Published().supervise(step()).targets(ANNOTATED)
        assert targets.class_weights.tolist() == targets.box_weights.tolist() == [1] * 4
        assert not targets.ignored.any()


class TestAdaptive:
    def test_what_both_show_is_learnt_by_its_class_and_the_rest_ignored(self):
        both = make_labels(
            [[20, 0, 30, 10], [20, 0, 30, 11], [40, 0, 50, 10], [52, 0, 60, 10]],
            classes=[0, 0, 1, 2], images=[0, 1, 0, 1], scores=[0.9, 0.8, 0.8, 0.6],
        )  # fmt: skip
        given = trained().supervise(step(both))
        assert given.mined.images.tolist() == [1, 0]
        assert given.ignored.boxes.tolist() == [[40, 0, 50, 10], [52, 0, 60, 10]]
        assert given.ignored.images.tolist() == [1, 0]
        assert given.confident.scores.tolist() == pytest.approx([0.9, 0.8, 0.8])
        targets = given.targets(ANNOTATED)
        assert targets.class_weights[:4].tolist() == [1] * 4
        assert targets.box_weights[:4].tolist() == [1, 1, 0, 0]
        assert targets.ignored.tolist() == [False] * 4 + [True] * 2

    def test_ignoring_ignores_what_is_confident(self):
        method = Ignoring(NUM_CLASSES)
        method.adaptive.counts[:] = 1000.0  # all that it found was right
        given = method.supervise(step())
        assert len(given.mined.boxes) == 0
        assert given.ignored.boxes.tolist() == [[20, 0, 30, 10], [40, 0, 50, 10]]
        assert given.ignored.images.tolist() == [1, 0]

    @pytest.mark.parametrize("is_learning", [True, False])
    def test_counts_in_steps_alone(self, is_learning):
        method = Adaptive(NUM_CLASSES)
        method.supervise(step(is_learning=is_learning))
        assert (method.adaptive.counts.sum() > 0) == is_learning


def test_two_views_only():
    given = TwoViewsOnly().supervise(step())
    assert len(given.mined.boxes) == 0
    assert given.targets(ANNOTATED).boxes.tolist() == ANNOTATED.boxes.tolist()


def test_weights_of_each_box():
    mined = FOUND.select(torch.tensor([1, 2]))
    given = Supervision(mined, class_weight=mined.scores, box_weight=0.5)
    targets = given.targets(ANNOTATED)
    assert targets.class_weights.tolist() == pytest.approx([1, 1, 0.8, 0.7])
    assert targets.box_weights.tolist() == [1, 1, 0.5, 0.5]


def test_targets_by_image():
    targets = Targets.cat([Targets.learnt(ANNOTATED, 0.5), Targets.ignoring(FOUND)])
    first, second = targets.split(2)
    assert first.ignored.tolist() == [False, True, True]
    assert second.class_weights.tolist() == [0.5, 1]
    assert second.boxes.tolist() == [[0, 0, 10, 10], [40, 0, 50, 10]]


class TestConfig:
    @pytest.mark.parametrize(
        ("method", "threshold", "expected"),
        [
            ("", "fixed", Published),
            ("", "adaptive", Adaptive),
            ("Published", "adaptive", Published),
            ("Adaptive", "fixed", Adaptive),
            ("Ignoring", "fixed", Ignoring),
            ("TwoViewsOnly", "adaptive", TwoViewsOnly),
        ],
    )
    def test_chooses(self, method, threshold, expected):
        overrides = "MODEL.COMINING.METHOD", method, "MODEL.COMINING.THRESHOLD", threshold
        assert type(tiny_model(*overrides).method) is expected

    def test_arguments(self):
        prefix = "MODEL.COMINING."
        overrides = (prefix + "ADAPTIVE.PRECISION", 0.8, prefix + "ADAPTIVE.OBJECT_PRECISION", 0.4)
        overrides += (prefix + "CROSSWISE", False, prefix + "METHOD")
        for name, precision in (("Adaptive", 0.8), ("Ignoring", 1)):
            method = tiny_model(*overrides, name).method
            assert (method.adaptive.precision, method.adaptive.object_precision) == (precision, 0.4)
            assert not method.crosswise

    def test_unknown(self):
        with pytest.raises(InputError, match=r"METHOD is 'adaptive'; .* Adaptive, Ignoring"):
            tiny_model("MODEL.COMINING.METHOD", "adaptive")


@each_detector
def test_ignoring_is_a_wanted_precision_of_1(detector):
    """And mining nothing is a threshold of 1: the losses are the same, whoever is asked."""
    batch = items(((64, 96), [[8, 10, 40, 44]], [0]))
    pairs = (
        (("METHOD", "Ignoring"), ("THRESHOLD", "adaptive", "ADAPTIVE.PRECISION", 1.0)),
        (("METHOD", "TwoViewsOnly"), ("THRESHOLD", "fixed", "SCORE_THRESH", 1.0)),
    )
    for pair in pairs:
        found = []
        for settings in pair:
            words = [f"MODEL.COMINING.{x}" if i % 2 == 0 else x for i, x in enumerate(settings)]
            model = tiny_model(*words, detector=detector)
            if "adaptive" in model.method.modules():
                model.adaptive.counts[:] = 1000.0
            with torch.no_grad():
                losses = run(model, batch)
            found.append(losses)
        assert found[0] == found[1]


def run(model, batch):
    with EventStorage(1):
        return {name: loss.item() for name, loss in model(batch).items()}
