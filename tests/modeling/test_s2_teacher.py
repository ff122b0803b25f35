"""The parts of S2Teacher, by hand."""

from math import log2

import pytest
import torch
from detectron2.utils.events import EventStorage

from comining.errors import InputError
from comining.modeling import Level, S2Teacher, Step
from comining.modeling.clusters import cluster
from comining.modeling.entropy import UsualEntropy, crop_entropy
from comining.modeling.known import Known
from comining.modeling.origin import Origin
from comining.modeling.two_views import TwoViews
from tests.modeling.helpers import (
    NUM_CLASSES,
    each_detector,
    items,
    make_labels,
    tiny_config,
    tiny_model,
    with_frames,
)


class TestCluster:
    def test_by_hand(self):
        proposals = make_labels(
            [[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6], [30, 0, 40, 10], [0, 0, 10, 10]],
            classes=[1, 2, 2, 0, 1], images=[0, 0, 0, 0, 1], scores=[0.9, 0.8, 0.7, 0.6, 0.75],
        )  # fmt: skip
        found = cluster(proposals, most=10)
        # (0.9 * 10 + 0.8 * 8 + 0.7 * 6) / 2.4; the class of two of three.
        expected = [[0, 0, 10, 19.6 / 2.4], [30, 0, 40, 10], [0, 0, 10, 10]]
        torch.testing.assert_close(found.boxes, torch.tensor(expected))
        assert found.classes.tolist() == [2, 0, 1]
        assert found.images.tolist() == [0, 0, 1]
        assert found.scores.tolist() == pytest.approx([0.9 * 0.3, 0.6 * 0.1, 0.75 * 0.1])

    def test_greedy_from_the_best_down(self):
        """A chain: the best takes its neighbour, and the neighbour's other one is left alone."""
        chain = make_labels(
            [[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]], scores=[0.9, 0.7, 0.8]
        )
        assert cluster(chain, most=10).scores.tolist() == pytest.approx([0.18, 0.08])

    def test_of_as_many_votes_the_best_ones(self):
        pair = make_labels([[0, 0, 9, 9]] * 2, classes=[2, 0], scores=[0.7, 0.8])
        assert cluster(pair, most=2).classes.tolist() == [0]

    def test_the_best_of_each_image_count(self):
        many = make_labels(
            [[20 * i, 0, 20 * i + 9, 9] for i in range(4)],
            images=[0, 1, 0, 0], scores=[0.7, 0.6, 0.9, 0.8],
        )  # fmt: skip
        found = cluster(many, most=2)
        assert found.boxes[:, 0].tolist() == [40, 60, 20]

    def test_nothing_and_what_is_not_finite(self):
        assert len(cluster(make_labels([]), most=30).boxes) == 0
        broken = make_labels([[0, 0, float("nan"), 9], [0, 0, 9, 9]])
        assert cluster(broken, most=30).boxes.tolist() == [[0, 0, 9, 9]]


@pytest.fixture
def pictures():
    """In the left half one grey; at right each row has one of four, the last two rows alike."""
    picture = torch.full((1, 3, 4, 8), 100, dtype=torch.uint8)
    picture[0, :, :, 4:] = torch.tensor([0, 50, 255, 255], dtype=torch.uint8)[:, None]
    return picture


class TestEntropy:
    def test_by_hand(self, pictures):
        boxes = [[0, 0, 4, 4], [4, 0, 8, 2], [4, 0, 8, 4], [2.5, -3, 4.5, 4], [20, 0, 30, 4]]
        found = crop_entropy(pictures, make_labels(boxes))
        three = -(0.5 * log2(0.25) + 0.5 * log2(0.5))
        # Of the fourth, columns 3 and 4: half of one grey, an eighth, an eighth, a quarter.
        mixed = 0.5 + 0.25 * 3 + 0.25 * 2
        assert found.tolist() == pytest.approx([0, 1, three, mixed, 0])

    def test_grey_is_the_mean_of_the_colours(self, pictures):
        pictures[0, 0, 0, 0] = 250  # (250 + 100 + 100) / 3
        assert crop_entropy(pictures, make_labels([[0, 0, 2, 1]])).tolist() == [1]

    def test_usual_is_within_a_deviation(self, pictures):
        usual = UsualEntropy(NUM_CLASSES)
        zero, one, three_halves = [0, 0, 4, 4], [4, 0, 8, 2], [4, 0, 8, 4]
        usual.observe(pictures, make_labels([zero, one], classes=[0, 0]))
        usual.observe(pictures, make_labels([one], classes=[1]))
        labels = make_labels([zero, one, three_halves, one], classes=[0, 0, 0, 1])
        # A mean and a deviation of 0.5; of class 1 there is one object alone.
        assert usual.are_usual(pictures, labels).tolist() == [True, True, False, False]
        usual.reset()
        assert not usual.are_usual(pictures, labels).any()

    def test_sums_do_not_depend_on_the_order(self):
        pictures = torch.randint(256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(0))
        labels = make_labels([[0, 0, 3 + i, 32 - i] for i in range(25)])
        both = [UsualEntropy(1), UsualEntropy(1)]
        for usual, rows in zip(both, (range(25), range(24, -1, -1)), strict=True):
            for row in rows:
                usual.observe(pictures.byte(), labels.select(torch.tensor([row])))
        assert torch.equal(both[0].moments, both[1].moments)


class Teacher:
    """What a teacher predicts, given by hand."""

    foreground = torch.tensor([[0.0, 0.75, 0.5, 0.9, 0.0, 0.9]]).repeat(2, 1)

    def candidates(self, score_thresh):
        assert score_thresh == 0.6
        return make_labels(
            [[0, 0, 3, 4], [4, 0, 8, 2], [4, 0, 8, 2], [4, 0, 8, 2], [0, 0, 4, 4]],
            classes=[0, 0, 0, 0, 1], images=[0, 0, 0, 1, 0], scores=[0.9, 0.8, 0.7, 0.9, 0.7],
        )  # fmt: skip


ORIGIN = Origin(1, torch.eye(2, 3, dtype=torch.float64))


def two_views(pictures, size=(4, 8), flipped=True, origin=ORIGIN):
    views = pictures.float().repeat(2, 1, 1, 1)
    return TwoViews(views, [size] * 2, [flipped], [None], None, [origin])


def step(pictures, **more):
    images = two_views(pictures)
    annotated = images.in_both_views(make_labels([[0, 0, 4, 4], [4, 0, 8, 3]], classes=[0, 0]))
    given = {"annotated": annotated, "iteration": 1, "teacher": Teacher(), **more}
    return Step(images, annotated.none(), **given)


class TestMethod:
    def test_labels_of_both_views(self, pictures):
        """Of the original's proposals those off the annotated boxes, if they look like these."""
        method = S2Teacher(NUM_CLASSES)
        annotated = [[0, 0, 4, 4], [4, 0, 8, 4]]  # entropies of 0 and 1.5
        method.entropy.observe(pictures, make_labels(annotated, classes=[0, 0]))
        alone = make_labels([[0, 0, 4, 4]], classes=[2])
        given = method.supervise(step(pictures)._replace(annotated=alone))
        assert given.mined.boxes.tolist() == [[4, 0, 8, 2], [0, 0, 4, 2]]
        assert given.mined.images.tolist() == [0, 1]
        assert given.mined.classes.tolist() == [0, 0]
        for weight in (given.class_weight, given.box_weight):
            assert weight.tolist() == pytest.approx([0.8 * 2 / 30] * 2)

    def test_what_pads_a_picture_does_not_matter(self, pictures):
        """A teacher's box that reaches beyond the image, two rows of which are padded here."""
        pictures[:, :, 2:] = torch.randint(256, (2, 8), generator=torch.Generator().manual_seed(0))
        method = S2Teacher(NUM_CLASSES)
        method.entropy.observe(pictures, make_labels([[4, 0, 8, 2]] * 2, classes=[0, 0]))
        teacher = Teacher()
        teacher.candidates = lambda _: make_labels([[4, -1, 9, 4]], classes=[0], scores=[0.9])
        images = two_views(pictures, (2, 8), flipped=False)
        nothing = make_labels([])
        given = method.supervise(Step(images, nothing, nothing, 1, teacher=teacher))
        assert given.mined.boxes.tolist() == [[4, -1, 9, 4]] * 2

    def test_nothing_where_all_is_annotated(self, pictures):
        method = S2Teacher(NUM_CLASSES)
        assert len(method.supervise(step(pictures)).mined.boxes) == 0

    def seen_again(self, pictures, times, **more):
        """What is learnt when a label of a score of 0.75 x 16 / 30 comes so many times."""
        method = S2Teacher(NUM_CLASSES, freeze_step=0.5)
        method.entropy.observe(pictures, make_labels([[4, 0, 8, 2]] * 2, classes=[0, 0]))
        teacher = Teacher()
        teacher.candidates = lambda _: make_labels(
            [[4, 0, 8, 2]] * 16, classes=[0] * 16, scores=[0.75] * 16
        )
        nothing = make_labels([])
        for _ in range(times):
            given = method.supervise(
                step(pictures, annotated=nothing, teacher=teacher)._replace(**more)
            )
        return method, given

    def test_freezes_what_comes_back(self, pictures):
        """A score of 0.4, then 0.9, then 1.4; frozen, it is no proposal any more."""
        for times, weight, number in ((1, 0.4, 0), (2, 0.9, 0), (3, 1, 0), (4, 1, 1), (9, 1, 1)):
            _, given = self.seen_again(pictures, times)
            assert given.mined.boxes.tolist() == [[4, 0, 8, 2], [0, 0, 4, 2]]
            assert given.mined.classes.tolist() == [0, 0]
            for weights in (given.mined.scores, given.class_weight, given.box_weight):
                assert weights.tolist() == pytest.approx([weight] * 2)
            assert given.scalars["frozen_per_image"] == number

    def test_what_is_frozen_stays_where_the_teacher_sees_nothing(self, pictures):
        method, _ = self.seen_again(pictures, 3)
        teacher = Teacher()
        teacher.candidates = lambda _: make_labels([])
        given = method.supervise(step(pictures, annotated=make_labels([]), teacher=teacher))
        assert given.mined.boxes.tolist() == [[4, 0, 8, 2], [0, 0, 4, 2]]
        begun = method.supervise(step(pictures, iteration=0, teacher=teacher))
        assert len(begun.mined.boxes) == 0

    def test_steps_alone_are_remembered(self, pictures):
        method, given = self.seen_again(pictures, 4, is_learning=False)
        assert given.class_weight.tolist() == pytest.approx([0.4] * 2)
        assert method.memory.remembered == {}

    def test_what_contradicts_the_known_is_not_remembered(self, pictures):
        complete = torch.tensor([[True, False, False]] * 2)
        known = Known(complete, make_labels([]))
        method, given = self.seen_again(pictures, 4, known=known)
        assert given.class_weight.tolist() == pytest.approx([0.4] * 2)
        assert method.memory.remembered == {}

    def test_without_freezing_nothing_is_asked_of_a_mapper(self, pictures):
        images = two_views(pictures, origin=None)
        method = S2Teacher(NUM_CLASSES, freeze_step=0)
        method.supervise(step(pictures)._replace(images=images))
        assert method.modules().keys() == {"entropy"}
        with pytest.raises(InputError, match=r"FrameMapper for .*FREEZE_STEP to 0"):
            S2Teacher(NUM_CLASSES).supervise(step(pictures)._replace(images=images))

    @pytest.mark.parametrize(("is_learning", "seen"), [(True, 2), (False, 0)])
    def test_counts_annotated_objects_in_steps_alone(self, pictures, is_learning, seen):
        method = S2Teacher(NUM_CLASSES)
        method.supervise(step(pictures, is_learning=is_learning))
        assert method.entropy.moments[0].tolist() == [seen, 0, 0]

    def test_focal_ignore_by_hand(self):
        """Of each branch: an object, two hard negatives, three others, one of them ignored."""
        classes = torch.tensor([[0, 3, 3, 3, -1, 3], [0, 1, 3, 3, 3, 3]])
        overlaps = torch.tensor([[0.6, 0.3, 0.2, 0.1, 0.0, 0.0], [0.6, 0.6, 0.2, 0.1, 0.0, 0.0]])
        level = Level(torch.zeros(2, 1, NUM_CLASSES, 1, 6), classes, overlaps, 0)
        weights, is_present = S2Teacher(NUM_CLASSES).focal_ignore(Teacher.foreground, level)
        assert is_present is None
        # One object: the hard ones are halved, two others weigh half of 1 - 0.9.
        first, second = weights[:, 0, 0, 0].tolist()
        assert first[:4] == pytest.approx([1, 1 / 2, 1 / 2, 0.1 / 2])
        assert first[5] == pytest.approx(0.1 / 2)
        # Two objects: the hard one weighs 2, three others two thirds of 1 - 0.9, 1 and 0.1.
        expected = [1, 1, 2, 0.1 * 2 / 3, 1 * 2 / 3, 0.1 * 2 / 3]
        assert second == pytest.approx(expected)

    @each_detector
    def test_trains(self, detector):
        model = tiny_model("MODEL.COMINING.METHOD", "S2Teacher", detector=detector)
        with EventStorage() as storage:
            losses = model(with_frames(items(((64, 96), [[8, 10, 40, 44]], [0]))))
        assert {"comining/mined_per_image", "comining/frozen_per_image"} <= storage.latest().keys()
        sum(losses.values()).backward()
        assert all(x.grad.isfinite().all() for x in model.parameters() if x.requires_grad)
        assert model.entropy.moments[0].tolist() == [1, 0, 0]
        assert "entropy.moments" in model.state_dict()

    def test_keys(self):
        expected = {"SCORE_THRESH": 0.6, "HARD_IOU": 0.2, "FREEZE_STEP": 0.1}
        assert expected == tiny_config().MODEL.COMINING.S2TEACHER
        with pytest.raises(InputError, match=r"S2TEACHER\.HARD_IOU is 2; it must be between"):
            S2Teacher(NUM_CLASSES, hard_iou=2)

    def test_a_detector_that_tells_no_overlaps(self):
        level = Level(torch.zeros(2, 1, 2, 1, 1), torch.zeros(2, 1, dtype=torch.int64), None, 0)
        with pytest.raises(InputError, match="S2Teacher needs a detector that hands the overlaps"):
            S2Teacher(NUM_CLASSES).focal_ignore(Teacher.foreground, level)
