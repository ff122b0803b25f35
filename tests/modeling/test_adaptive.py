"""Thresholds by the precision that annotated objects show."""

import math

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import distributed

from comining.errors import InputError
from comining.modeling.adaptive import (
    CLOSE,
    DECAY,
    DOUBT,
    FAR,
    ON_OBJECT,
    RIGHT,
    AdaptiveThresholds,
)
from comining.modeling.mining import suppress
from comining.modeling.targets import Targets
from tests.modeling.helpers import NUM_CLASSES, each_detector, items, make_labels, plain, tiny_model
from tests.processes import in_two_processes

ANNOTATED = make_labels([[0, 0, 10, 10]], classes=[1])


def with_counts(class_=0, **kinds):
    """Thresholds that have seen so many detections of a class, by kind: {score: number}.

    They want 0.9 of the mined ones to be right and half of the ignored ones on an object.
    """
    adaptive = AdaptiveThresholds(NUM_CLASSES, precision=0.9, object_precision=0.5)
    add_counts(adaptive, class_, **kinds)
    return adaptive


def add_counts(adaptive, class_, *, right, on_object, close, far, annotated=None):
    """If not told, as many objects are annotated as detections are close to them."""
    adaptive.annotated[class_] = sum(close.values()) if annotated is None else annotated
    for kind, numbers in ((RIGHT, right), (ON_OBJECT, on_object), (CLOSE, close), (FAR, far)):
        for score, number in numbers.items():
            adaptive.counts[kind, class_, round(score * 100)] = number


def let_use(model, adaptive):
    model.adaptive = model.method.adaptive = adaptive


def classes_of(targets):
    """None where it is ignored."""
    pairs = zip(targets.classes.tolist(), targets.ignored.tolist(), strict=True)
    return [None if ignored else class_ for class_, ignored in pairs]


class TestObserve:
    @pytest.mark.parametrize(
        ("box", "class_", "kinds"),
        [
            ([0, 0, 10, 9], 1, {RIGHT, ON_OBJECT, CLOSE}),
            ([0, 0, 10, 9], 0, {ON_OBJECT, CLOSE}),
            ([0, 0, 10, 4], 1, {CLOSE}),  # IoU 0.4
            ([0, 0, 10, 2], 1, {FAR}),  # IoU 0.2
            ([20, 0, 30, 10], 1, {FAR}),
        ],
        ids=["right", "other class", "badly placed", "hardly touches", "elsewhere"],
    )
    def test_kinds(self, box, class_, kinds):
        adaptive = AdaptiveThresholds(NUM_CLASSES)
        far = adaptive.observe(make_labels([box], classes=[class_], scores=[0.425]), ANNOTATED)
        assert far.tolist() == [FAR in kinds]
        for kind in range(4):
            assert adaptive.counts[kind].sum() == (kind in kinds)
            assert adaptive.counts[kind, class_, 42] == (kind in kinds)

    def test_other_images_do_not_matter(self):
        adaptive = AdaptiveThresholds(NUM_CLASSES)
        detection = make_labels([[0, 0, 10, 10]], classes=[1], images=[1])
        assert adaptive.observe(detection, ANNOTATED).tolist() == [True]

    def test_fades(self):
        adaptive = AdaptiveThresholds(NUM_CLASSES)
        detection = make_labels([[0, 0, 10, 10]], classes=[1], scores=[1.0])
        for _ in range(3):
            adaptive.observe(detection, ANNOTATED)
        assert adaptive.counts[RIGHT, 1, 99].item() == pytest.approx(1 + DECAY + DECAY**2)
        assert adaptive.annotated.tolist() == pytest.approx([0, 1 + DECAY + DECAY**2, 0])

    def test_nothing_detected_or_annotated(self):
        adaptive = AdaptiveThresholds(NUM_CLASSES)
        nothing = make_labels([])
        assert adaptive.observe(nothing, ANNOTATED).tolist() == []
        assert adaptive.observe(ANNOTATED, nothing).tolist() == [True]
        assert adaptive.counts.sum() == 1


def observe_in_a_process_of_its_own(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    adaptive = AdaptiveThresholds(NUM_CLASSES)
    adaptive.observe(make_labels([[0, 0, 10, 10]], classes=[rank], scores=[0.5]), ANNOTATED)
    counts, annotated = adaptive.counts.clone(), adaptive.annotated.clone()
    adaptive.counts[CLOSE] = adaptive.counts[FAR] = 1000
    adaptive.observe(make_labels([[0, 0, 10, 10]] * 900 * rank), ANNOTATED)
    torch.save((counts, annotated, adaptive.least_far), folder / f"{rank}.pt")


def test_every_process_counts_what_all_see(tmp_path):
    in_two_processes(observe_in_a_process_of_its_own, tmp_path)
    (first, annotated, least), (second, _, least_of_other) = (
        torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)
    )
    assert torch.equal(first, second)
    assert torch.equal(least, least_of_other)
    assert least.isfinite().all()
    assert annotated.tolist() == [0, 2, 0]
    assert first[:, :, 50].tolist() == [[0, 1, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0]]


class TestThresholds:
    def thresholds(self, adaptive):
        mine, ignore = adaptive.thresholds()
        assert mine.shape == ignore.shape == (NUM_CLASSES,)
        return pytest.approx(mine.tolist()), pytest.approx(ignore.tolist())

    def test_untrained(self):
        mine, ignore = AdaptiveThresholds(NUM_CLASSES).thresholds()
        assert mine.tolist() == [math.inf] * NUM_CLASSES
        assert ignore.tolist() == [math.inf] * NUM_CLASSES

    def test_by_the_shares_that_are_right_and_on_an_object(self):
        # From above: 195 of 195 are right, 390 of 420, 400 of 600; on an object 195, 300, 300.
        close = {0.8: 195, 0.5: 225, 0.3: 180}
        adaptive = with_counts(
            right={0.8: 195, 0.5: 195, 0.3: 10}, on_object={0.8: 195, 0.5: 105}, close=close,
            far=close,
        )  # fmt: skip
        assert 390 / (420 + DOUBT) > 0.9 > 400 / 600
        assert 300 / (420 + DOUBT) > 0.5 > 300 / (600 + DOUBT)
        # What was not seen of the other classes is taken from all.
        assert self.thresholds(adaptive) == ([0.31] * NUM_CLASSES, [0.31] * NUM_CLASSES)

    def test_a_class_with_detections_of_its_own(self):
        many = {0.8: 1000, 0.3: 1000}
        adaptive = with_counts(right=many, on_object=many, close=many, far=many)
        add_counts(
            adaptive, 1,
            right={0.8: 50, 0.3: 5}, on_object={}, close={0.8: 50, 0.3: 50}, far={},
        )  # fmt: skip
        assert 2055 / (2100 + DOUBT) > 0.9 > (55 + DOUBT) / (100 + DOUBT)
        assert self.thresholds(adaptive)[0] == [0, 0.31, 0]

    def test_what_is_more_likely_wrong_than_right_is_not_mined(self):
        """Above 0.2 the share is high enough, thanks to those that score 0.1 more."""
        adaptive = with_counts(
            right={0.3: 2000, 0.2: 46}, on_object={0.3: 2000, 0.2: 46},
            close={0.3: 2000, 0.2: 100}, far={0.3: 2000, 0.2: 100},
        )  # fmt: skip
        assert 2046 / (2100 + DOUBT) > 0.9
        assert (46 + DOUBT) / (100 + DOUBT) < 0.5 < (50 + 0.9 * DOUBT) / (100 + DOUBT)
        assert self.thresholds(adaptive)[0] == [0.21, 0, 0]
        adaptive.counts[RIGHT, 0, 20] = 50
        assert self.thresholds(adaptive)[0] == [0] * NUM_CLASSES

    def test_chance_among_the_few_highest_scores_stops_nothing(self):
        """Fifteen far ones where four are expected, of nine hundred."""
        right = {0.9: 5, 0.7: 1000, 0.5: 300}
        adaptive = with_counts(
            right=right, on_object=right, close=right, far={0.9: 15, 0.7: 700, 0.5: 200}
        )
        adaptive.least_far.fill_(0.7)
        assert (5 + DOUBT) / (5 + DOUBT) * 1.2 * 0.7 / ((15 + 0.7 * DOUBT) / (5 + DOUBT)) < 0.5
        assert self.thresholds(adaptive)[0] == [0] * NUM_CLASSES

    def test_a_range_of_scores_with_few_detections_stops_nothing(self):
        """Four close ones there, all wrong, which may be chance; five can tell."""
        right = {0.8: 1000, 0.3: 1000}
        adaptive = with_counts(
            right=right, on_object=right, close={**right, 0.5: 4}, far={0.8: 700, 0.5: 8, 0.3: 700}
        )
        adaptive.least_far.fill_(0.7)
        believed, ratio = 1000 / 1004, (8 + 0.7 * DOUBT) / (4 + DOUBT)
        assert DOUBT * believed / (4 + DOUBT) * 1.2 * 0.7 / ratio < 0.5
        assert self.thresholds(adaptive)[0] == [0] * NUM_CLASSES
        adaptive.counts[CLOSE, 0, 50] = 5
        assert self.thresholds(adaptive)[0] == [0.51, 0, 0]

    def test_few_detections_are_doubted(self):
        few = {0.5: 40}
        adaptive = with_counts(right=few, on_object=few, close=few, far=few)
        # (40 + 5 * 40 / 45) / 45 of the class itself: of 40, 40 were right.
        assert (40 + DOUBT * 40 / (40 + DOUBT)) / (40 + DOUBT) > 0.9 > 40 / (40 + DOUBT)
        assert self.thresholds(adaptive) == ([0, math.inf, math.inf], [0] * NUM_CLASSES)

    def test_surplus_of_far_detections_is_background(self):
        """Twenty far ones per close one where one is expected: most must be background."""
        many = {0.8: 200, 0.3: 200}
        adaptive = with_counts(right=many, on_object=many, close=many, far={0.8: 200, 0.3: 8000})
        adaptive.least_far.fill_(1)
        assert self.thresholds(adaptive) == ([0.31, 0, 0], [0.31] * NUM_CLASSES)

    @pytest.mark.parametrize(("far", "expected"), [(525, 0), (545, 0.31)])
    def test_so_much_surplus_is_allowed(self, far, expected):
        """Of 400 close and so many far ones where 400 are expected."""
        many = {0.8: 200, 0.3: 200}
        surplus = {0.8: 200, 0.3: far - 200}
        adaptive = with_counts(right=many, on_object=many, close=many, far=surplus)
        adaptive.least_far.fill_(1)
        assert 1.2 * 405 / (525 + DOUBT) > 0.9 > 1.2 * 405 / (545 + DOUBT) > 0.5
        assert self.thresholds(adaptive)[0] == [expected, 0, 0]

    def test_surplus_of_a_few_detections_is_doubted(self):
        """Ten close and fourteen far ones of a class of which as many are expected."""
        many, few = {0.5: 1000}, {0.5: 10}
        adaptive = with_counts(right=many, on_object=many, close=many, far=many)
        add_counts(adaptive, 1, right=few, on_object=few, close=few, far={0.5: 14})
        adaptive.least_far.fill_(1)
        assert 1.2 * (10 + DOUBT) / (14 + DOUBT) > 0.94 > 0.9 > 1.2 * 10 / 14
        assert self.thresholds(adaptive)[0] == [0] * NUM_CLASSES

    def test_of_a_class_alone(self):
        many = {0.8: 2000, 0.3: 2000}
        adaptive = with_counts(right=many, on_object=many, close=many, far=many)
        few = {0.8: 50, 0.3: 50}
        add_counts(adaptive, 1, right=few, on_object=few, close=few, far={0.8: 50, 0.3: 2000})
        adaptive.least_far[-1] = 1
        assert self.thresholds(adaptive)[0] == [0, 0.31, 0]
        adaptive.least_far[1] = 20  # known to be annotated that seldom
        assert self.thresholds(adaptive)[0] == [0, 0, 0]

    @pytest.mark.parametrize(("lower", "expected"), [(1300, 0), (1500, 0.31)])
    def test_no_more_is_ignored_than_may_be_missing(self, lower, expected):
        """2000 objects are annotated, and as many are expected to be missing."""
        many = {0.8: 1000, 0.3: 1000}
        far = {0.8: 1000, 0.3: lower}
        adaptive = with_counts(right=many, on_object=many, close=many, far=far)
        adaptive.least_far.fill_(1)
        assert 2300 < 1.2 * (2000 + DOUBT) < 2500
        assert 1.2 * 2000 / 2500 > 0.5  # on an object, by what is close above the same score
        assert self.thresholds(adaptive)[1] == [expected] * NUM_CLASSES

    def test_several_detections_of_an_object_do_not_make_more_objects_missing(self):
        many = {0.8: 1000}
        adaptive = with_counts(right=many, on_object=many, close=many, far=many)
        adaptive.least_far.fill_(1)
        assert self.thresholds(adaptive)[1] == [0] * NUM_CLASSES
        adaptive.annotated[0] = 400
        assert 1.2 * (400 + DOUBT) < 1000
        assert self.thresholds(adaptive)[1] == [math.inf] * NUM_CLASSES

    def test_missing_objects_are_no_surplus(self):
        many = {0.8: 200, 0.3: 200}
        adaptive = with_counts(right=many, on_object=many, close=many, far={0.8: 2000, 0.3: 2000})
        adaptive.least_far.fill_(10)
        assert self.thresholds(adaptive) == ([0] * NUM_CLASSES, [0] * NUM_CLASSES)

    def test_the_least_ratio_is_remembered(self):
        """As it may be at most: three standard errors above what was seen."""
        adaptive = with_counts(1, right={}, on_object={}, close={0.8: 10000}, far={0.8: 5000})
        adaptive.observe(make_labels([]), ANNOTATED)
        seen, error = 0.5, math.sqrt(1 / 4950 + 1 / 9900)  # after one iteration's fading
        least = [math.inf, seen * math.exp(3 * error), math.inf, seen * math.exp(3 * error)]
        assert adaptive.least_far.tolist() == pytest.approx(least, rel=1e-3)
        adaptive.counts[FAR] *= 5
        adaptive.observe(make_labels([]), ANNOTATED)
        assert adaptive.least_far.tolist() == pytest.approx(least, rel=1e-3)
        adaptive.counts[FAR] /= 10
        adaptive.observe(make_labels([]), ANNOTATED)
        assert adaptive.least_far[1] < least[1] / 1.9
        least = adaptive.least_far.tolist()
        adaptive.counts[CLOSE] /= 101  # too few to tell
        adaptive.counts[FAR] = 0
        adaptive.observe(make_labels([]), ANNOTATED)
        assert adaptive.least_far.tolist() == least

    @pytest.mark.parametrize(
        ("right", "close_above", "far_above"),
        [({0.8: 9000, 0.3: 1000}, 10000, 2000), ({0.8: 5000, 0.3: 5000}, 20000, 22000)],
        ids=["nearly all of them", "half"],
    )
    def test_the_least_ratio_is_that_of_scores_which_most_right_ones_reach(
        self, right, close_above, far_above
    ):
        """Above 0.8 there are fewer far ones per close one: people box what is easy to see."""
        close = {0.8: 10000, 0.3: 10000}
        far = {0.8: 2000, 0.3: 20000}
        adaptive = with_counts(1, right=right, on_object=right, close=close, far=far)
        adaptive.observe(make_labels([]), ANNOTATED)
        error = math.sqrt(1 / (DECAY * far_above) + 1 / (DECAY * close_above))
        least = far_above / close_above * math.exp(3 * error)
        assert adaptive.least_far[1].item() == pytest.approx(least, rel=1e-3)

    def test_nothing_far(self):
        """As with full annotation: none was seen, yet there may be some."""
        many = {0.8: 1000}
        adaptive = with_counts(1, right=many, on_object=many, close=many, far={})
        adaptive.observe(make_labels([]), ANNOTATED)
        assert adaptive.least_far[1].item() == pytest.approx(math.exp(3) / 990, rel=0.01)
        assert self.thresholds(adaptive) == ([0] * NUM_CLASSES, [0] * NUM_CLASSES)

    @pytest.mark.parametrize("number", [2, 20], ids=["rare", "frequent"])
    def test_the_least_ratio_is_not_left_to_chance(self, number):
        """Three missing per annotated object, of as many as chance shows, in a long training."""
        chance = torch.Generator().manual_seed(0)
        score = 0.1 + 0.9 * torch.rand(1000, generator=chance) ** 2
        adaptive = AdaptiveThresholds(1)
        for _ in range(1500):
            close, far = (
                int(torch.poisson(torch.tensor(float(n)), generator=chance))
                for n in (number, 3 * number)
            )
            boxes = [[0, 0, 10, 10]] * close + [[20, 20, 30, 30]] * far
            chosen = torch.randint(1000, (close + far,), generator=chance)
            detections = make_labels(boxes, classes=[0] * len(boxes), scores=score[chosen].tolist())
            adaptive.observe(detections, make_labels([[0, 0, 10, 10]]))
        assert 0.9 * 3 < adaptive.least_far[0] < 1.4 * 3

    def test_wanting_certainty_mines_nothing_and_ignores_as_ever(self):
        # So many that their share is rounded to 1.
        right = {0.8: 1e9}
        thresholds = []
        for precision in (0.9, 1):
            adaptive = AdaptiveThresholds(NUM_CLASSES, precision=precision)
            add_counts(adaptive, 1, right=right, on_object=right, close=right, far=right)
            thresholds.append(adaptive.thresholds())
        (mine, ignore), (mine_certain, ignore_certain) = thresholds
        assert mine.isfinite().all()
        assert mine_certain.tolist() == [math.inf] * NUM_CLASSES
        assert ignore_certain.tolist() == ignore.tolist()
        assert ignore.isfinite().all()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("precision", 0), ("precision", 1.01), ("precision", -0.5), ("precision", math.nan),
            ("object_precision", 0), ("object_precision", 1), ("object_precision", -0.5),
        ],
    )  # fmt: skip
    def test_illegal_shares(self, name, value):
        with pytest.raises(InputError, match=f"ADAPTIVE.{name.upper()} is {value}"):
            AdaptiveThresholds(NUM_CLASSES, **{name: value})


class TestTraining:
    """The thresholds within a model, whose mining is replaced."""

    ADAPTIVE = ("MODEL.COMINING.THRESHOLD", "adaptive")
    # In the original view: on an annotated box, elsewhere with three scores, badly placed on the
    # annotated box (IoU 0.47), and at a place where another one scores more (IoU 0.63). In the
    # other one, that which scores most elsewhere.
    FOUND = make_labels(
        [
            [8, 10, 40, 44], [50, 20, 90, 60], [0, 0, 9, 9], [0, 50, 9, 59], [8, 10, 40, 26],
            [50, 20, 90, 45], [50, 20, 90, 62],
        ],
        classes=[0, 1, 1, 1, 0, 0, 1],
        images=[0, 0, 0, 0, 0, 0, 1],
        scores=[0.95, 0.9, 0.5, 0.3, 0.35, 0.8, 0.7],
    )  # fmt: skip

    @pytest.fixture(params=["RetinaNet", "FCOS"])
    def detector(self, request):
        return request.param

    def model(self, detector, *overrides):
        model = tiny_model(*self.ADAPTIVE, *overrides, detector=detector)
        everything = {0.7: 1000, 0.4: 1000, 0.2: 1000}
        adaptive = with_counts(  # mined above 0.41, ignored above 0.21
            right={0.7: 1000}, on_object={0.7: 1000, 0.4: 500}, close=everything, far=everything
        )
        let_use(model, adaptive)
        model.mine = lambda outputs, score_thresh, max_per_image: self.FOUND
        return model

    def targets(self, model):
        given = []
        branch_losses = model.branch_losses
        model.branch_losses = lambda out, targets, _: (
            given.append(targets) or branch_losses(out, targets)
        )
        with EventStorage(1) as storage:
            model(items(((64, 96), [[8, 10, 40, 44]], [0])))
        return given[0], storage.latest()

    def test_branches_learn_what_both_find_and_ignore_the_middling_and_what_one_finds(
        self, detector
    ):
        (original, view), logged = self.targets(self.model(detector))
        assert classes_of(original) == [0, 1]
        assert original.boxes.tolist() == [[8, 10, 40, 44], [50, 20, 90, 62]]
        assert classes_of(view) == [0, 1, None, None]
        assert view.boxes.tolist() == [
            [8, 10, 40, 44], [50, 20, 90, 60], [0, 0, 9, 9], [0, 50, 9, 59]
        ]  # fmt: skip
        assert logged["comining/mined_per_image"][0] == 1
        assert logged["comining/mined_per_image_aug"][0] == 1
        assert logged["comining/mining_above"][0] == pytest.approx(0.41)
        assert logged["comining/ignoring_above"][0] == pytest.approx(0.21)

    @pytest.mark.parametrize(
        ("box", "class_", "is_mined"),
        [
            ([50, 20, 90, 60], 1, True),
            ([50, 20, 90, 99], 1, True),  # IoU 40 / 79
            ([50, 20, 90, 101], 1, False),  # IoU 40 / 81
            ([50, 20, 90, 60], 0, False),
        ],
    )
    def test_views_agree_on_the_same_place_and_class(self, detector, box, class_, is_mined):
        model = self.model(detector)
        model.mine = lambda outputs, score_thresh, max_per_image: make_labels(
            [[50, 20, 90, 60], box], classes=[1, class_], images=[0, 1], scores=[0.9, 0.9]
        )
        (_, view), _ = self.targets(model)
        assert view.boxes.tolist() == [[8, 10, 40, 44], [50, 20, 90, 60]]
        assert classes_of(view) == [0, 1 if is_mined else None]

    def test_what_is_annotated_is_not_mined_however_many_find_it(self, detector):
        model = self.model(detector)
        model.mine = lambda outputs, score_thresh, max_per_image: make_labels(
            [[8, 10, 40, 44]] * 2, classes=[0, 0], images=[0, 1], scores=[0.9, 0.9]
        )
        (original, view), logged = self.targets(model)
        assert len(original.boxes) == len(view.boxes) == 1
        assert logged["comining/mined_per_image"][0] == 0

    def test_what_is_mined_and_ignored_moves_with_a_mirrored_view(self, detector):
        model = self.model(detector, "MODEL.COMINING.VIEW.FLIP_PROB", 1.0)
        boxes = torch.cat((self.FOUND.boxes[:-1], torch.tensor([[6.0, 20, 46, 62]])))
        model.mine = lambda outputs, score_thresh, max_per_image: self.FOUND._replace(boxes=boxes)
        (original, view), _ = self.targets(model)
        assert original.boxes.tolist() == [[8, 10, 40, 44], [50, 20, 90, 62]]
        assert view.boxes.tolist() == [
            [56, 10, 88, 44], [6, 20, 46, 60], [87, 0, 96, 9], [87, 50, 96, 59]
        ]  # fmt: skip

    @pytest.mark.parametrize("score", [0.9, 1.0])
    def test_of_mined_boxes_only_the_class_is_learnt(self, detector, score):
        model = self.model(detector)
        found = self.FOUND._replace(scores=torch.tensor([0.95, score, 0.5, 0.3, 0.35, 0.8, 0.7]))
        model.mine = lambda outputs, score_thresh, max_per_image: found
        (original, view), _ = self.targets(model)
        assert original.box_weights.tolist() == [1, 0]
        assert view.box_weights[:2].tolist() == [1, 0]
        assert original.class_weights.tolist() == [1, 1]
        assert view.class_weights[:2].tolist() == [1, 1]

    def test_mined_boxes_weigh_no_more_than_annotated_ones_together(self, detector):
        """Four are mined of each view, and one box is annotated."""
        model = self.model(detector)
        places = [[50, 20, 90, 60], [0, 0, 9, 9], [0, 50, 9, 59], [60, 0, 80, 15]]
        both = make_labels(places * 2, classes=[1] * 8, images=[0] * 4 + [1] * 4, scores=[0.9] * 8)
        model.mine = lambda outputs, score_thresh, max_per_image: both
        (original, view), _ = self.targets(model)
        for of_view in (original, view):
            assert of_view.class_weights.tolist() == [1, 0.25, 0.25, 0.25, 0.25]

    def test_detections_above_the_floor_are_asked_for(self, detector):
        model, given = self.model(detector), []
        model.mine = lambda _, score_thresh, *__: given.append(score_thresh) or self.FOUND
        self.targets(model)
        assert given == [0.1]

    def test_what_is_ignored_is_drawn(self, detector):
        model = self.model(detector, "VIS_PERIOD", 1)
        with EventStorage(1) as storage:
            model(items(((64, 96), [[8, 10, 40, 44]], [0])))
        ((_, picture, _),) = storage._vis_data
        assert tuple(picture[:, 54, 96]) == (128, 128, 128)  # on the left edge of a box

    def test_each_branch_by_itself(self, detector):
        model = self.model(detector, "MODEL.COMINING.CROSSWISE", False)
        (original, view), _ = self.targets(model)
        assert classes_of(original) == [0, 1, None, None]
        assert classes_of(view) == [0, 1]

    def test_a_training_does_not_go_by_what_another_one_showed(self, detector):
        model = self.model(detector)
        with EventStorage(0):
            model(items(((64, 96), [[8, 10, 40, 44]], [0])))
        assert model.adaptive.counts.sum() == pytest.approx(6 + 2)  # one of them is right
        assert model.adaptive.least_far.tolist() == [math.inf] * (NUM_CLASSES + 1)

    def test_a_pass_without_gradients_leaves_no_trace(self, detector):
        """As those of detectron2's PreciseBN, which all are iteration 0."""
        model = self.model(detector)
        before = {name: value.clone() for name, value in model.adaptive.state_dict().items()}
        with torch.no_grad(), EventStorage(0) as storage:
            losses = model(items(((64, 96), [[8, 10, 40, 44]], [0])))
        assert all(loss.isfinite() for loss in losses.values())
        assert "comining/mined_per_image" not in storage.latest()
        for name, value in model.adaptive.state_dict().items():
            assert torch.equal(value, before[name])

    def test_detections_are_counted(self, detector):
        model = self.model(detector)
        before = model.adaptive.counts.clone()
        self.targets(model)
        added = model.adaptive.counts - DECAY * before
        assert added[CLOSE, 0, [95, 35]].tolist() == pytest.approx([1, 1])
        assert added[FAR, 1, [90, 70, 50, 30]].tolist() == pytest.approx([1] * 4, abs=1e-3)
        assert added[FAR, 0].tolist() == pytest.approx([0] * 100)

    def test_no_loss_where_a_box_is_ignored(self, detector):
        """Of the classes' logits, those that answer for the ignored box get no gradient."""
        model = tiny_model(*self.ADAPTIVE, detector=detector)
        annotated = Targets.learnt(make_labels([[8, 10, 40, 44]], classes=[0]))
        ignored = Targets.ignoring(make_labels([[50, 20, 90, 60]], classes=[1]))
        images = torch.zeros(2, 3, 64, 96)
        with torch.no_grad():
            features = [model.backbone(images)[name] for name in model.head_in_features]
            logits, *others = model.head(features)
        silent, losses = [], []
        for targets in (annotated, Targets.cat([annotated, ignored])):
            leaves = [x.detach().requires_grad_() for x in logits]
            outputs = model.dense_outputs(features, [leaves, *others])
            with EventStorage():
                values = model.branch_losses(outputs, [targets, annotated])
            sum(x.sum() for x in values.values()).backward()
            silent.append([leaf.grad[0].abs().amax(0) == 0 for leaf in leaves])
            losses.append({name: x[0].item() for name, x in values.items()})
        newly = [after & ~before for before, after in zip(*silent, strict=True)]
        assert sum(x.sum() for x in newly) > 0
        for level, mask in enumerate(newly):
            stride = 8 * 2**level
            for y, x in mask.nonzero().tolist():
                assert 50 - stride <= x * stride <= 90
                assert 20 - stride <= y * stride <= 60
        for name in losses[0]:
            if "cls" in name:
                assert losses[1][name] < losses[0][name]
            else:
                assert losses[1][name] == losses[0][name]


def test_only_adaptive_thresholds_are_saved():
    assert tiny_model().state_dict().keys() == tiny_model(*plain("RetinaNet")).state_dict().keys()
    adaptive = tiny_model(*TestTraining.ADAPTIVE).state_dict()
    assert adaptive.keys() - tiny_model().state_dict().keys() == {
        "adaptive.annotated",
        "adaptive.counts",
        "adaptive.images",
        "adaptive.least_far",
        "adaptive.mistakes",
    }


def of_one_image():
    return TestTraining.FOUND.select(TestTraining.FOUND.images == 0)


def test_mining_by_itself_uses_what_training_ended_with():
    model = tiny_model(*TestTraining.ADAPTIVE).eval()
    model.mine = lambda outputs, score_thresh, max_per_image: of_one_image()
    batch = items(((64, 96), [], []))
    assert len(model.mine_images(batch)[0].boxes) == 0
    model.adaptive.counts[:, :, 80] = 1000
    assert model.mine_images(batch)[0].scores.tolist() == pytest.approx([0.95, 0.9, 0.5, 0.35, 0.3])
    model.adaptive.counts[CLOSE:, 1, 40] = 1000
    assert model.mine_images(batch)[0].scores.tolist() == pytest.approx([0.95, 0.9, 0.5, 0.35])


def test_unknown_kind_of_threshold():
    with pytest.raises(
        InputError, match="THRESHOLD is 'dynamic'; it must be 'fixed' or 'adaptive'"
    ):
        tiny_model("MODEL.COMINING.THRESHOLD", "dynamic")


def test_mining_by_itself_above_another_score():
    model = tiny_model(*TestTraining.ADAPTIVE).eval()
    given = []
    model.mine = lambda _, score_thresh, *__: given.append(score_thresh) or of_one_image()
    (labels,) = model.mine_images(items(((64, 96), [], [])), score_thresh=0.05)
    assert given == [0.05]
    assert labels.scores.tolist() == pytest.approx([0.95, 0.9, 0.5, 0.35, 0.3])


def test_places_are_limited_not_the_classes_that_each_is_detected_as():
    model = tiny_model(*TestTraining.ADAPTIVE, "TEST.DETECTIONS_PER_IMAGE", 2).eval()
    boxes, scores = [[0.0, 0, 20, 20]] * 3 + [[40, 0, 60, 20], [70, 0, 90, 20]], [9, 8, 7, 6, 5]
    found = make_labels(boxes, classes=[0, 1, 2, 0, 0], scores=[x / 10 for x in scores])
    model.mine = lambda _, __, max_per_image: suppress(found, 0.5, max_per_image)
    (labels,) = model.mine_images(items(((64, 96), [], [])), score_thresh=0.05)
    assert labels.scores.tolist() == pytest.approx([0.9, 0.6])


@each_detector
def test_one_number_for_all_classes_selects_what_the_same_number_of_each_does(detector):
    model = tiny_model(*TestTraining.ADAPTIVE, detector=detector).eval()
    batch = items(((64, 96), [], []))
    model.adaptive.thresholds = lambda: (torch.full((NUM_CLASSES,), 0.4), torch.tensor(0.2))
    (of_each,) = model.mine_images(batch)
    (of_all,) = model.mine_images(batch, score_thresh=0.4)
    assert len(of_all.boxes) > 0
    assert all(torch.equal(x, y) for x, y in zip(of_all, of_each, strict=True))


@each_detector
def test_mining_by_itself_asks_the_mirror_image_if_views_are_mirrored(detector):
    overrides = (*TestTraining.ADAPTIVE, "MODEL.COMINING.VIEW.FLIP_PROB")
    model = tiny_model(*overrides, 0.1, detector=detector).eval()
    alone = tiny_model(*overrides, 0.0, detector=detector).eval()
    widths = (90, 70)
    batch = items(*(((64, width), [], []) for width in widths))
    mirrored = [{"image": item["image"].flip(2)} for item in batch]
    found = [alone.mine_images(views, score_thresh=0.3) for views in (batch, mirrored)]
    wanted = []
    for width, here, there in zip(widths, *found, strict=True):
        of_image = []
        for box, class_, score in rows(here):
            others = [
                other_score
                for (x0, y0, x1, y1), other_class, other_score in rows(there)
                if other_class == class_ and iou(box, (width - x1, y0, width - x0, y1)) > 0.5
            ]
            if others:
                of_image.append((min(score, max(others)), class_, box))
        assert 0 < len(of_image) < len(here.boxes)
        wanted.append(sorted(of_image, reverse=True))
    for got, of_image in zip(model.mine_images(batch, score_thresh=0.3), wanted, strict=True):
        assert got.scores.tolist() == pytest.approx([score for score, _, _ in of_image])
        assert got.classes.tolist() == [class_ for _, class_, _ in of_image]
        torch.testing.assert_close(got.boxes, torch.tensor([box for _, _, box in of_image]))
    above = wanted[0][len(wanted[0]) // 2][0]
    model.adaptive.thresholds = lambda: (torch.full((NUM_CLASSES,), above), None)
    assert len(model.mine_images(batch)[0].boxes) == len(wanted[0]) // 2


@each_detector
def test_with_a_fixed_threshold_the_image_is_asked_alone(detector):
    batch = items(((64, 90), [], []), ((64, 70), [], []))
    flip = "MODEL.COMINING.VIEW.FLIP_PROB"
    both = [tiny_model(flip, x, detector=detector).eval().mine_images(batch) for x in (0.0, 0.5)]
    for one, other in zip(*both, strict=True):
        assert len(one.boxes) > 0
        assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def rows(labels):
    return zip(labels.boxes.tolist(), labels.classes.tolist(), labels.scores.tolist(), strict=True)


def iou(box, other):
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    common = max(width, 0) * max(height, 0)
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (box, other)]
    return common / (sum(areas) - common)


def test_score_thresholds_by_class():
    assert tiny_model().score_thresholds() == [0.5] * NUM_CLASSES
    model = tiny_model(*TestTraining.ADAPTIVE)
    assert model.score_thresholds() == [1] * NUM_CLASSES
    many = {0.7: 1000, 0.4: 1000}
    let_use(model, with_counts(1, right={0.7: 1000}, on_object=many, close=many, far=many))
    assert model.score_thresholds() == pytest.approx([0.41] * NUM_CLASSES)


@pytest.mark.parametrize(
    ("box", "class_", "fixed", "adaptive"),
    [
        ([0, 0, 10, 9], 1, True, True),
        ([0, 0, 10, 9], 0, False, True),  # another class where something is annotated
        ([0, 0, 10, 3], 1, False, True),  # IoU 0.3
        ([0, 0, 10, 2], 1, False, False),
    ],
)
def test_what_is_known(box, class_, fixed, adaptive):
    mined = make_labels([box], classes=[class_])
    assert tiny_model().is_known(mined, ANNOTATED).tolist() == [fixed]
    model = tiny_model(*TestTraining.ADAPTIVE)
    assert model.is_known(mined, ANNOTATED).tolist() == [adaptive]
