"""What is known of images beside their boxes, in the mechanism and in the losses."""

import math

import pytest
import torch
from detectron2.utils.events import EventStorage

from comining.modeling import AdaptiveThresholds, Supervision
from comining.modeling.adaptive import CLOSE, FAR, NUM_BINS, RIGHT
from comining.modeling.background import Background, Level, Partial
from comining.modeling.build import build_detector
from comining.modeling.known import Known, lies_in, limit_to_known
from comining.modeling.losses import dense_focal_loss
from comining.modeling.two_views import TwoViews
from tests.modeling.helpers import (
    LOSSES,
    NUM_CLASSES,
    annotations,
    each_detector,
    items,
    make_labels,
    plain,
    tiny_config,
    tiny_model,
)

SIZE = (64, 96)
ALL = -1


def regions(*boxes_and_classes, size=SIZE):
    boxes, classes = zip(*boxes_and_classes, strict=True)
    return annotations(size, list(boxes), list(classes))


def known_of(*per_image, num_classes=NUM_CLASSES):
    return Known.of_batch(per_image, num_classes, torch.device("cpu"))


class TestKnown:
    def test_nothing(self):
        nothing = regions(([0, 0, 9, 9], 1))[:0]
        assert known_of({}, {"exhaustive": [], "absent": [], "ignored": nothing}) is None

    def test_of_batch(self):
        known = known_of(
            {"exhaustive": [0], "absent": [2]},
            {},
            {"ignored": regions(([0, 0, 10, 10], 1), ([5, 5, 20, 20], ALL))},
        )
        assert known.complete.tolist() == [[True, False, True], [False] * 3, [False] * 3]
        assert known.regions.boxes.tolist() == [[0, 0, 10, 10], [5, 5, 20, 20]]
        assert known.regions.classes.tolist() == [1, ALL]
        assert known.regions.images.tolist() == [2, 2]

    def test_labels(self):
        known = known_of(
            {"exhaustive": [0, 1, 2], "ignored": regions(([0, 0, 10, 10], 1))},
            {"exhaustive": [1], "ignored": regions(([0, 0, 10, 10], ALL))},
        )
        labels = make_labels([[0, 0, 10, 10]] * 5, classes=[0, 1, 1, 2, 2], images=[0, 0, 1, 1, 0])
        assert known.is_complete(labels).tolist() == [True, True, True, False, True]
        assert known.is_ignored(labels).tolist() == [False, True, True, True, False]
        assert known.is_finished(labels.images).tolist() == [True, True, False, False, True]

    def test_a_box_lies_in_a_region_by_more_than_half(self):
        boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [4, 0, 14, 10], [-9, -9, 99, 99]])
        assert lies_in(boxes, torch.tensor([[0.0, 0, 10, 10]])).flatten().tolist() == [
            True, False, True, False,
        ]  # fmt: skip

    def test_flips(self):
        known = known_of({"absent": [1], "ignored": regions(([10, 0, 30, 8], 2))}, {})
        views = TwoViews(torch.zeros(4, 3, *SIZE), [SIZE] * 4, [True, False], [None] * 2, known)
        assert views.known.regions.boxes.tolist() == [[10, 0, 30, 8], [66, 0, 86, 8]]
        assert views.known.regions.images.tolist() == [0, 2]
        assert views.known.complete[:, 1].tolist() == [True, False, True, False]


class TestSupervision:
    """Of three classes, class 0 is complete in image 0, and all are in image 1."""

    KNOWN = known_of(
        {"absent": [0], "ignored": regions(([50, 0, 60, 10], 1))}, {"exhaustive": [0, 1, 2]}
    )
    MINED = make_labels(
        [[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 9, 9], [50, 0, 60, 10]],
        classes=[0, 1, 2, 1], images=[0, 0, 1, 0],
    )  # fmt: skip

    def test_what_cannot_be_is_not_mined(self):
        given = Supervision(self.MINED, torch.tensor([0.1, 0.2, 0.3, 0.4]), 0.5).within(self.KNOWN)
        assert given.mined.boxes.tolist() == [[20, 0, 30, 10]]
        assert given.class_weight.tolist() == pytest.approx([0.2])
        assert given.box_weight == 0.5
        # It may be of a class that isn't complete; in the finished image there is none.
        assert given.ignored.boxes.tolist() == [[0, 0, 10, 10]]
        assert given.background is None

    def test_nothing_is_ignored_where_all_is_known(self):
        given = Supervision(self.MINED.none(), ignored=self.MINED).within(self.KNOWN)
        assert given.ignored.images.tolist() == [0, 0, 0]

    def test_absence_of_complete_classes_has_full_weight(self):
        logits = torch.zeros(2, 1, NUM_CLASSES, 2, 2)
        given = Supervision(
            self.MINED.none(),
            background=lambda level: Background(
                torch.full_like(level.logits[:, :, :1], 0.25), torch.ones_like(level.logits).bool()
            ),
        ).within(self.KNOWN)
        weights, is_present = given.background(Level(logits, None, None, 0))
        assert weights.shape == is_present.shape == logits.shape
        assert weights[:, 0, :, 0, 0].tolist() == [[1, 0.25, 0.25], [1, 1, 1]]
        assert is_present[:, 0, :, 0, 0].tolist() == [[False, True, True], [False] * 3]


class TestLimits:
    ANCHORS = torch.tensor([[10.0 * i, 0, 10 * i + 10, 10] for i in range(5)])
    BACKGROUND = NUM_CLASSES

    def limits(self, known, classes, doubtful=()):
        is_doubtful = torch.tensor([[i in doubtful for i in range(len(classes))]])
        given, partial = limit_to_known(torch.tensor([classes]), is_doubtful, self.ANCHORS, known)
        counts = dict(zip(partial.anchors.tolist(), partial.weights.tolist(), strict=True))
        return given.tolist(), counts

    def test_nothing_known(self):
        classes = torch.tensor([[0, 3]])
        assert limit_to_known(classes, classes < 0, self.ANCHORS, None) == (classes, None)

    def test_region_of_a_class(self):
        known = known_of({"ignored": regions(([0, 0, 40, 10], 1))})
        classes, counts = self.limits(known, [3, 1, 2, -1, 3])
        assert classes == [[3, 1, 2, -1, 3]]
        assert counts == {0: [1, 0, 1], 1: [1, 1, 1], 2: [1, 0, 1]}

    def test_region_of_all_classes(self):
        known = known_of({"ignored": regions(([0, 0, 20, 10], ALL))})
        classes, counts = self.limits(known, [3, 1, 3, 0, -1])
        assert classes == [[-1, 1, 3, 0, -1]]
        assert counts == {1: [0, 1, 0]}

    def test_ignored_targets_are_ignored_for_classes_that_are_not_complete(self):
        known = known_of({"absent": [0]})
        classes, counts = self.limits(known, [-1, -1, 3, 0, 3], doubtful=[1])
        assert classes == [[-1, 3, 3, 0, 3]]
        assert counts == {1: [1, 0, 0]}

    def test_both(self):
        known = known_of({"absent": [0, 2], "ignored": regions(([0, 0, 10, 10], 2))})
        _, counts = self.limits(known, [-1, -1, 3, 3, 3], doubtful=[0, 1])
        assert counts == {0: [1, 0, 0], 1: [1, 0, 1]}

    def test_other_images_do_not_matter(self):
        classes = torch.full((2, 5), 3)
        known = known_of({}, {"ignored": regions(([0, 0, 10, 10], 1), ([20, 0, 30, 10], ALL))})
        given, partial = limit_to_known(classes, classes < 0, self.ANCHORS, known)
        assert given.tolist() == [[3] * 5, [3, 3, -1, 3, 3]]
        assert (partial.images.tolist(), partial.anchors.tolist()) == ([1], [0])


class TestPartialLoss:
    def test_by_hand(self):
        """Scores of 0.5: 0.75 x 0.5^2 x log 2 for each absent class, 0.25 x for a present one."""
        levels = [torch.zeros(2, 4, 1, 2, requires_grad=True), torch.zeros(2, 4, 1, 1)]
        classes = torch.full((2, 6), 2)  # two shapes of two classes on three positions
        classes[0, 1] = 0
        partial = Partial(
            torch.tensor([0, 0, 1]),
            torch.tensor([1, 2, 5]),
            torch.tensor([[1.0, 0], [0, 1], [0, 0]]),
        )
        loss = dense_focal_loss(
            levels, classes, num_branches=2, alpha=0.25, gamma=2.0, partial=partial
        )
        unit = 0.25 * math.log(2)
        # Of twelve logits of the first image two don't count and one is present.
        assert loss.tolist() == pytest.approx(
            [unit * (9 * 0.75 + 0.25), unit * 10 * 0.75], rel=1e-5
        )
        loss.sum().backward()
        gradient = levels[0].grad.view(2, 2, 2, 2)  # image, shape, class, position
        assert gradient[0, 1, 1, 0] == gradient[0, 0, 0, 1] == 0
        assert (gradient != 0).sum() == 14
        assert gradient[0, 1, 0, 0] < 0 < gradient[0, 0, 0, 0]


def losses(model, batch):
    with EventStorage(), torch.no_grad():
        return {name: loss.item() for name, loss in model(batch).items()}


def class_gradient(model, batch):
    """Of the bias of each class, summed over shapes."""
    model.zero_grad()
    with EventStorage():
        sum(model(batch).values()).backward()
    return model.head.cls_score.bias.grad.view(-1, NUM_CLASSES).sum(0)


WHOLE = [0, 0, SIZE[1], SIZE[0]]
NOTHING_MINED = ("MODEL.COMINING.SCORE_THRESH", 1.0)
FLIPPED = ("MODEL.COMINING.VIEW.FLIP_PROB", 1.0)


def build(detector, kind):
    if kind == "plain":
        torch.manual_seed(0)
        return build_detector(tiny_config(*plain(detector), detector=detector)).train()
    return tiny_model(*NOTHING_MINED, *FLIPPED, detector=detector)


@each_detector
@pytest.mark.parametrize("kind", ["plain", "Co-mining"])
class TestDetectors:
    """An image without objects, on anchors as large as its padded frame and smaller."""

    def test_a_region_of_a_class_hides_its_logits_alone(self, detector, kind):
        batch = items((SIZE, [], []))
        free = class_gradient(build(detector, kind), batch)
        huge = [-900, -900, 900, 900]  # also where anchors reach over the edge
        hidden = class_gradient(build(detector, kind), [dict(batch[0], ignored=regions((huge, 1)))])
        assert hidden[1] == 0
        assert torch.allclose(hidden[[0, 2]], free[[0, 2]], rtol=1e-4)
        assert free[1] > 0

    def test_a_region_of_all_classes_hides_everything_but_objects(self, detector, kind):
        huge = [-900, -900, 900, 900]
        empty = items((SIZE, [], []))[0]
        gone = losses(build(detector, kind), [dict(empty, ignored=regions((huge, ALL)))])
        assert set(gone.values()) == {0}
        one = items((SIZE, [[8, 10, 40, 44]], [0]))[0]
        before = losses(build(detector, kind), [one])
        after = losses(build(detector, kind), [dict(one, ignored=regions((huge, ALL)))])
        of_classes, *of_boxes = LOSSES[detector]
        suffixes = [""] if kind == "plain" else ["", "_aug"]
        for suffix in suffixes:
            assert 0 < after[of_classes + suffix] < before[of_classes + suffix]
            for name in of_boxes:
                assert after[name + suffix] == pytest.approx(before[name + suffix])

    def test_nothing_inside_makes_no_difference(self, detector, kind):
        batch = items((SIZE, [[8, 10, 40, 44]], [0]))
        before = losses(build(detector, kind), batch)
        tiny = dict(batch[0], ignored=regions(([1, 1, 1.5, 1.5], 0)), exhaustive=[0])
        assert losses(build(detector, kind), [tiny]) == before


def learnt(detector, item):
    """What a batch of one is given to learn, and its losses."""
    model = tiny_model("MODEL.COMINING.SCORE_THRESH", 0.3, detector=detector)
    given = []
    model.mining_log = lambda step, supervision, to_rgb: given.append(supervision)
    with EventStorage():
        values = {name: loss.item() for name, loss in model([item]).items()}
    return *given, values


@each_detector
def test_an_exhaustive_class_is_not_mined(detector):
    item = items((SIZE, [[8, 10, 40, 44]], [0]))[0]
    free, _ = learnt(detector, item)
    assert free.mined.classes.unique().numel() > 1
    class_ = int(free.mined.classes[0])
    given, _ = learnt(detector, dict(item, absent=[class_]))
    is_of_others = free.mined.classes != class_
    assert torch.equal(given.mined.boxes, free.mined.boxes[is_of_others])
    assert torch.equal(given.ignored.boxes, free.mined.boxes[~is_of_others])
    finished, values = learnt(detector, dict(item, exhaustive=[0, 1, 2]))
    assert len(finished.mined.boxes) == len(finished.ignored.boxes) == 0
    model = tiny_model(*NOTHING_MINED, detector=detector)
    assert values == losses(model, [item])


class TestEvidence:
    ANNOTATED = make_labels([[0, 0, 10, 10]], classes=[1])
    FOUND = make_labels(
        [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]],
        classes=[1, 1, 0, 2], scores=[0.455] * 4,
    )  # fmt: skip

    def test_what_is_counted(self):
        adaptive = AdaptiveThresholds(NUM_CLASSES)
        known = known_of({"exhaustive": [1], "ignored": regions(([55, 0, 75, 10], 2))}, {})
        far = adaptive.observe(self.FOUND, self.ANNOTATED, 2, known)
        assert far.tolist() == [False, True, True, True]
        assert adaptive.counts[:, :, 45].tolist()[FAR] == [1, 0, 0]
        assert adaptive.counts[:, :, 45].tolist()[CLOSE] == [0, 1, 0]
        assert adaptive.mistakes[:, 45].tolist() == [0, 1, 0]
        assert adaptive.images.tolist() == [[0, 1, 0], [2, 1, 2]]
        adaptive.reset()
        assert adaptive.mistakes.sum() == adaptive.images.sum() == 0

    def test_mistakes_of_known_images_raise_the_threshold(self):
        """Above 0.5, 4 mistakes in 95 + 5 complete images are expected to be 36 in 900 others:
        of 360 far detections a tenth. Above 0.8 there are none."""
        adaptive = AdaptiveThresholds(NUM_CLASSES, precision=0.95)
        adaptive.counts[RIGHT, 0, [50, 80]] = torch.tensor([5e5, 5e5])
        adaptive.counts[CLOSE, 0, [50, 80]] = torch.tensor([5e5, 5e5])
        adaptive.counts[FAR, 0, [50, 80]] = torch.tensor([180.0, 180.0])
        assert adaptive.thresholds()[0][0] <= 0.5
        adaptive.mistakes[0, 50] = 4.0
        adaptive.images[:] = torch.tensor([[95.0], [900.0]])
        assert 0.5 < adaptive.thresholds()[0][0] <= 0.8
        adaptive.mistakes[0, 50] = 1.0  # 9 of 360
        assert adaptive.thresholds()[0][0] <= 0.5

    def test_without_knowledge_nothing_changes(self):
        adaptive = AdaptiveThresholds(NUM_CLASSES)
        adaptive.observe(self.FOUND, self.ANNOTATED, 1)
        assert adaptive.mistakes.sum() == 0
        assert adaptive._above().shape == (5, NUM_CLASSES + 1, NUM_BINS)
        assert adaptive._above()[4].sum() == 0
