"""Methods with a teacher, and the oracle, on boxes given by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from detectron2.utils.events import EventStorage

from comining.errors import InputError
from comining.modeling import CalibratedTeacher, CoStudent, Level, MeanTeacher, Oracle, Step
from comining.modeling.known import Known
from comining.modeling.logistic import LogisticCalibration
from comining.modeling.methods.calibrated_teacher import fiou_weights
from comining.modeling.methods.co_student import revise
from comining.modeling.two_views import TwoViews
from tests.modeling.helpers import (
    NUM_CLASSES,
    annotations,
    each_detector,
    logit,
    make_labels,
    tiny_model,
    two_items,
)

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


class TestCoStudent:
    def test_a_surer_teacher_takes_the_place_of_what_it_overlaps(self):
        """IoU with the first is 0.8 and 0.6, with the second 0.5, which is neither, with the third
        0.9, but less sure; with none 0."""
        found = make_labels(
            [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]],
            classes=[0, 1, 2], scores=[0.6, 0.7, 0.9],
        )  # fmt: skip
        teachers = make_labels(
            [[0, 0, 10, 8], [0, 0, 10, 6], [20, 0, 30, 5], [40, 0, 50, 9], [60, 0, 64, 10]],
            classes=[1, 2, 0, 0, 1], scores=[0.7, 0.8, 0.9, 0.8, 0.61],
        )  # fmt: skip
        revised = revise(found, teachers)
        assert revised.boxes.tolist() == [
            [0, 0, 10, 8], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 64, 10]
        ]  # fmt: skip
        assert revised.classes.tolist() == [1, 1, 2, 1]
        assert revised.scores.tolist() == pytest.approx([0.7, 0.7, 0.9, 0.61])

    def test_an_equal_score_is_enough_and_other_images_do_not_matter(self):
        found = make_labels([[0, 0, 10, 10]] * 2, classes=[0, 0], images=[0, 1], scores=[0.7, 0.7])
        teacher = make_labels([[0, 0, 10, 9]], classes=[1], images=[1], scores=[0.7])
        revised = revise(found, teacher)
        assert revised.boxes.tolist() == [[0, 0, 10, 10], [0, 0, 10, 9]]
        assert revised.classes.tolist() == [0, 1]

    @pytest.mark.parametrize("one", [True, False])
    def test_of_one_alone_all_is_taken(self, one):
        box = make_labels([[0, 0, 10, 10]])
        pair = (box, NOTHING) if one else (NOTHING, box)
        assert revise(*pair).boxes.tolist() == [[0, 0, 10, 10]]

    def test_each_view_learns_what_the_other_one_shows(self):
        """But for what has no area, and what overlaps an annotated box of its class by 0.5."""
        found = make_labels(
            [[20, 0, 30, 10], [40, 0, 40, 10], [0, 0, 10, 5]],
            classes=[2, 0, 1], images=[1, 1, 0], scores=[0.9, 0.9, 0.9],
        )  # fmt: skip
        given = CoStudent().supervise(step(detections=found))
        assert given.mined.boxes.tolist() == [[20, 0, 30, 10]]
        assert given.mined.images.tolist() == [0]

    def test_images_without_objects_teach_no_classes(self):
        found = make_labels([[20, 0, 30, 10]], classes=[2], images=[0], scores=[0.9])
        given = CoStudent().supervise(step(detections=found, annotated=NOTHING))
        assert given.mined.images.tolist() == [1]
        assert given.background(None).weights.flatten().tolist() == [0, 1]

    def test_what_is_ruled_out_is_no_object(self):
        """The first view shows what can't be there, as its class is complete."""
        found = make_labels(
            [[20, 0, 30, 10], [40, 0, 50, 10]], classes=[2, 0], images=[1, 0], scores=[0.9, 0.9]
        )
        known = Known(torch.tensor([[False, False, True]] * 2), NOTHING)
        given = CoStudent().supervise(step(detections=found, annotated=NOTHING, known=known))
        assert given.background(None).weights.flatten().tolist() == [0, 1]

    def test_thresholds(self):
        assert (CoStudent().floor, CoStudent().teacher_floor) == (0.5, 0.6)
        with pytest.raises(InputError, match=r"COSTUDENT.TEACHER_THRESH is -1"):
            CoStudent(teacher_thresh=-1)


class TestLogisticCalibration:
    def test_without_boxes_a_score_stands_for_itself(self):
        calibration = LogisticCalibration()
        calibration.fit()
        assert calibration.score_of(0.7).item() == pytest.approx(0.7)

    def test_function_through_two_points(self):
        """Of those that score 0.3 a fifth is right, of those that score 0.8 nine tenths."""
        calibration = LogisticCalibration()
        for score, right in ((0.3005, 0.2), (0.8005, 0.9)):
            is_right = torch.arange(10_000) < 10_000 * right
            calibration.observe(torch.full((10_000,), score), is_right)
        calibration.fit()
        slope = (logit(0.9) - logit(0.2)) / (logit(0.8005) - logit(0.3005))
        offset = logit(0.2) - slope * logit(0.3005)
        assert calibration.coefficients.tolist() == pytest.approx([slope, offset], abs=0.01)
        expected = 1 / (1 + math.exp(-(logit(0.7) - offset) / slope))
        assert calibration.score_of(0.7).item() == pytest.approx(expected, abs=0.002)
        assert calibration.counts.sum() == 0

    def test_few_boxes_decide_little_and_no_score_may_be_enough(self):
        calibration = LogisticCalibration()
        calibration.observe(torch.tensor([0.9]), torch.tensor([True]))
        calibration.fit()
        assert 0.6 < calibration.score_of(0.7) < 0.7
        scores = torch.linspace(0.1, 0.9, 999)
        calibration.observe(scores, scores < 0.5)  # the surer, the worse
        calibration.fit()
        assert calibration.score_of(0.7) == torch.inf


def calibrated(**settings):
    """From its second period on: 0.7 stands for itself."""
    return CalibratedTeacher(NUM_CLASSES, period=10, min_side=4, **settings)


class TestCalibratedTeacher:
    FOUND = in_both_views(
        [[20, 0, 30, 10], [20, 0, 30, 10], [40, 0, 50, 4], [50, 0, 60, 10]], [0, 1, 2, 2],
        [0.72, 0.68, 0.9, 0.5],
    )  # fmt: skip

    def test_sure_and_large_boxes_are_learnt_by_both_views(self):
        mined = calibrated().supervise(step(teacher=self.FOUND, iteration=11)).mined
        assert mined.boxes.tolist() == [[20, 0, 30, 10]] * 2
        assert mined.images.tolist() == [0, 1]

    def test_not_in_the_first_period(self):
        mined = calibrated().supervise(step(teacher=self.FOUND, iteration=10)).mined
        assert len(mined.boxes) == 0

    def test_a_raw_score_below_is_not_enough(self):
        method = calibrated(score_thresh=0.6)
        method.calibration.coefficients[1] = 5.0  # whatever scores is right
        mined = method.supervise(step(teacher=self.FOUND, iteration=11)).mined
        assert mined.scores.tolist() == pytest.approx([0.72, 0.68] * 2)
        assert method.thresholds().tolist() == pytest.approx([0.6] * NUM_CLASSES)

    def test_where_no_score_is_enough_1_is_logged(self):
        """Infinity is no JSON."""
        method = calibrated()
        method.calibration.coefficients[0] = -1.0  # the surer, the worse
        given = method.supervise(step(teacher=self.FOUND, iteration=11))
        assert len(given.mined.boxes) == 0
        assert given.scalars["mining_above"] == 1
        assert method.thresholds().isinf().all()
        assert "CALIBRATEDTEACHER.SCORE_THRESH of 0.4 and" in method.why_nothing_is_mined()

    @pytest.mark.parametrize(
        ("box", "class_", "known"),
        [
            ([0, 0, 10, 6.5], 1, True),  # IoU 0.65
            ([0, 0, 10, 6.5], 0, False),
            ([0, 0, 10, 8], 0, True),  # IoU 0.8
            ([2, 2, 7, 7], 1, True),  # inside
            ([2, 2, 7, 7], 0, False),
            ([0, 0, 20, 20], 1, True),  # the annotated one is inside
            ([4, 0, 14, 10], 1, False),  # 0.6 of each is inside, IoU 0.43
        ],
    )
    def test_what_is_no_news(self, box, class_, known):
        found = make_labels([box], classes=[class_])
        assert calibrated().is_known(found, ANNOTATED).tolist() == [known]

    def test_boxes_on_annotated_objects_of_the_original_are_counted(self):
        """IoU 0.8, and 0.6, right and wrong; 0.4, and of another class, not counted."""
        method = calibrated()
        boxes = [[0, 0, 10, 8], [0, 0, 10, 6], [0, 0, 10, 4], [0, 0, 10, 10]]
        found = in_both_views(boxes, [1, 1, 1, 0], [0.9, 0.3, 0.5, 0.5])
        method.supervise(step(teacher=found, iteration=5))
        counts = method.calibration.counts
        assert counts.sum() == 2
        assert counts[0, 300] == counts[1, 900] == 1
        method.supervise(step(teacher=found, iteration=6, is_learning=False))
        assert counts.sum() == 2
        method.supervise(step(teacher=found, iteration=10))
        assert counts.sum() == 2  # those of the new period
        assert method.calibration.coefficients.tolist() != [1, 0]
        method.supervise(step(teacher=found, iteration=0))
        assert method.calibration.coefficients.tolist() == [1, 0]

    def test_fits_once_in_an_iteration(self):
        """Of several batches, where gradients are accumulated, the first one ends the period."""
        method = CalibratedTeacher(3, period=2)
        found = in_both_views([[0, 0, 10, 10]] * 20, [1] * 20, [0.9] * 20)
        method.supervise(step(teacher=found))
        method.supervise(step(teacher=found, iteration=2))
        fit = method.calibration.coefficients.clone()
        assert fit.tolist() != [1, 0]
        method.supervise(step(teacher=found, iteration=2, batch=1))
        assert torch.equal(method.calibration.coefficients, fit)
        assert method.calibration.counts.sum() == 40
        method.supervise(step(teacher=found, iteration=0, batch=1))
        assert method.calibration.counts.sum() == 60
        method.supervise(step(teacher=found, iteration=0))
        assert method.calibration.counts.sum() == 20

    def test_fiou_weights(self):
        """IoU 0, 0.5 and 1 with the nearest object; nothing is near in an image without any."""
        boxes = torch.tensor([[[20.0, 0, 30, 10], [0, 0, 10, 5], [0, 0, 10, 10]]] * 2)
        objects = [torch.tensor([[0.0, 0, 10, 10], [50, 0, 60, 10]]), torch.zeros(0, 4)]
        found = fiou_weights(boxes, objects)
        of_half = 0.5 + 3 * 0.5 * 0.25 * 0.5**2 * math.log(2)
        of_whole = 0.5 + 3 * 0.5 * 0.25 * -math.log(1e-5)
        assert found[0].tolist() == pytest.approx([0.5, of_half, of_whole], abs=1e-5)
        assert found[1].tolist() == [0.5] * 3

    def test_what_is_ruled_out_weighs_no_background(self):
        """A box that is found lies as the anchors' do, but its class is complete."""
        boxes = torch.tensor([[[20.0, 0, 30, 10]]] * 2)
        found = in_both_views([[20, 0, 30, 10]], [0], [0.99])
        weights = []
        for is_complete in (False, True):
            known = Known(torch.tensor([[is_complete, False, False]] * 2), NOTHING)
            given = calibrated().supervise(
                step(teacher=found, iteration=99, max_iter=100, known=known,
                     predictions=SimpleNamespace(boxes=boxes))
            )  # fmt: skip
            logits = torch.zeros(2, 1, NUM_CLASSES, 1, 1)
            level = Level(logits, torch.full((2, 1), NUM_CLASSES), None, 0)
            weights.append(given.background(level).weights.flatten().tolist())
        of_whole = 0.5 + 3 * 0.5 * 0.25 * -math.log(1e-5)
        assert weights[0] == pytest.approx([of_whole] * 2, abs=1e-5)
        assert weights[1] == [0.5] * 2

    @pytest.mark.parametrize(("iteration", "begun"), [(84, False), (85, True)])
    def test_background_is_weighed_at_last_and_alone(self, iteration, begun):
        """In a training of 100 iterations, from 152/180 on; here of two anchors the second one."""
        boxes = torch.tensor([[[0.0, 0, 10, 5]] * 2] * 2)
        given = calibrated().supervise(
            step(iteration=iteration, max_iter=100, predictions=SimpleNamespace(boxes=boxes))
        )
        assert (given.background is not None) == begun
        if begun:
            logits = torch.zeros(2, 1, NUM_CLASSES, 1, 2)
            classes = torch.tensor([[0, NUM_CLASSES]] * 2)
            weights = given.background(Level(logits, classes, None, 0)).weights
            of_half = 0.5 + 3 * 0.5 * 0.25 * 0.5**2 * math.log(2)
            assert weights.flatten().tolist() == pytest.approx([1, of_half] * 2, abs=1e-5)

    @pytest.mark.parametrize(("key", "value"), [("period", 0), ("precision", 1.0)])
    def test_values_are_checked(self, key, value):
        with pytest.raises(InputError, match=rf"CALIBRATEDTEACHER.{key.upper()} is {value}"):
            CalibratedTeacher(NUM_CLASSES, **{key: value})


SETTINGS = {
    "CoStudent": {"SCORE_THRESH": 0.3, "TEACHER_THRESH": 0.3},
    "CalibratedTeacher": {"SCORE_THRESH": 0.3, "PRECISION": 0.3, "PERIOD": 1, "FIOU_BEGIN": 0.5},
}


@each_detector
@pytest.mark.parametrize("name", SETTINGS)
def test_trains(name, detector):
    node = f"MODEL.COMINING.{name.upper()}."
    words = [word for key, value in SETTINGS[name].items() for word in (node + key, value)]
    model = tiny_model(
        "MODEL.COMINING.METHOD", name, "SOLVER.MAX_ITER", 4, *words, detector=detector
    )
    for iteration in (1, 2):  # at last with all that there is of it
        with EventStorage(iteration) as storage:
            total = sum(model(two_items()).values())
        total.backward()
    assert total.isfinite()
    assert storage.latest()["comining/mined_per_image"][0] > 0
    assert all(x.grad is None for x in model.teacher.buffers())
