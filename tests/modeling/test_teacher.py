"""A teacher follows its student, and is asked and evaluated in its place."""

import pytest
import torch
from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch import distributed, nn

from comining.errors import InputError
from comining.modeling import Method, Supervision, Teacher
from tests.modeling.helpers import each_detector, plain, tiny_config, tiny_model, two_items
from tests.processes import in_two_processes

TAUGHT = ("MODEL.COMINING.METHOD", "MeanTeacher", "MODEL.COMINING.MEANTEACHER.SCORE_THRESH", 0.3)
EVALUATED = (*TAUGHT, "MODEL.COMINING.TEACHER.EVALUATE", True)


class Student(nn.Module):
    """One weight, one statistic and a count."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(1, 1, bias=False)
        self.head = nn.BatchNorm1d(1, affine=False)

    def set(self, value):
        nn.init.constant_(self.backbone.weight, value)
        self.head.running_mean.fill_(10 * value)
        self.head.num_batches_tracked.fill_(int(value))


def follow(teacher, student, values):
    """The teacher's weight and statistic after each iteration."""
    found = []
    for iteration, value in enumerate(values):
        student.set(value)
        teacher.update(student, iteration)
        assert teacher.head.num_batches_tracked == int(value)
        found.append((teacher.backbone.weight.item(), teacher.head.running_mean.item()))
    return found


@pytest.mark.parametrize("average_buffers", [True, False])
def test_average(average_buffers):
    """The plain mean of 1 and 3; then of what was and of 5 and 9 a half, as the momentum says."""
    student = Student()
    teacher = Teacher(student, momentum=0.5, average_buffers=average_buffers)
    found = follow(teacher, student, [1, 3, 5, 9])
    weights = [1, 2, 3.5, 6.25]
    statistics = [10, 20, 35, 62.5] if average_buffers else [10, 30, 50, 90]
    assert found == [pytest.approx(x) for x in zip(weights, statistics, strict=True)]


def test_plain_mean_until_the_momentum_is_reached():
    student = Student()
    found = follow(Teacher(student, momentum=0.999), student, [1, 3, 5, 9])
    assert [weight for weight, _ in found] == pytest.approx([1, 2, 3, 4.5])


def test_what_is_in_two_places_moves_once():
    student = Student()
    one, other = student.backbone, nn.Linear(1, 1, bias=False)
    student.backbone = nn.Sequential(one, one, other)
    other.weight = one.weight
    teacher = Teacher(student, momentum=0.9)
    for iteration, value in enumerate([1.0, 3.0]):
        nn.init.constant_(one.weight, value)
        teacher.update(student, iteration)
    assert [x.weight.item() for x in teacher.backbone] == [2, 2, 2]


def test_begins_anew_as_a_copy():
    student = Student()
    teacher = Teacher(student)
    student.set(7)
    teacher.update(student, 500)  # of a training that had none before
    assert teacher.backbone.weight.item() == 7
    student.set(8)
    teacher.update(student, 0)
    assert teacher.backbone.weight.item() == 8


def follow_in_two_processes(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    student = Student()
    teacher = Teacher(student, momentum=0.5)
    for iteration, value in enumerate([1, 3]):
        student.set(value)
        student.head.running_mean += rank  # as each process sees other images
        teacher.update(student, iteration)
    assert student.head.running_mean.item() == 30 + rank
    torch.save(teacher.state_dict(), f"{folder}/{rank}.pth")


def test_is_the_same_in_all_processes(tmp_path):
    in_two_processes(follow_in_two_processes, tmp_path)
    main, other = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    assert main == other
    assert main["head.running_mean.averaged"].item() == 20


@each_detector
class TestInADetector:
    def test_it_is_no_part_of_what_is_trained(self, detector):
        model, without = tiny_model(*TAUGHT, detector=detector), tiny_model(detector=detector)
        names = [name for name, _ in without.named_parameters()]
        assert [name for name, _ in model.named_parameters()] == names
        state = model.state_dict()
        own = {name for name in state if not name.startswith("teacher.")}
        assert own == without.state_dict().keys()
        assert len(state) == 2 * len(own)
        assert without.teacher is None
        assert not model.train().teacher.training

    def test_once_an_iteration_and_in_steps_alone(self, detector):
        model = tiny_model(*TAUGHT, detector=detector)
        weight, average = model.head.cls_score.weight, model.teacher.head.cls_score
        with torch.no_grad(), EventStorage(0):
            model(two_items())  # as detectron2's PreciseBN does
        assert not model.teacher.has_begun
        with EventStorage(0):
            model(two_items())
            before = weight.detach().clone()
            assert torch.equal(average.weight, before)
            with torch.no_grad():
                weight += 1
            model(two_items())  # of which the gradients are accumulated
            assert torch.equal(average.weight, before)
        with EventStorage(1):
            model(two_items())
        torch.testing.assert_close(average.weight, before + 0.5)

    def test_gradients_are_the_students_alone(self, detector):
        model = tiny_model(*TAUGHT, detector=detector)
        with EventStorage(0) as storage:
            sum(model(two_items()).values()).backward()
        assert storage.latest()["comining/mined_per_image"][0] > 0
        assert all(x.grad is None and not x.requires_grad for x in model.teacher.buffers())
        assert model.head.cls_score.weight.grad.abs().sum() > 0

    @pytest.mark.parametrize("is_evaluated", [False, True])
    def test_evaluation(self, detector, is_evaluated):
        """Of the teacher, where that is wanted; the model is the student, before and after."""
        model = tiny_model(*(EVALUATED if is_evaluated else TAUGHT), detector=detector)
        with EventStorage(0):
            model(two_items())
        student = tiny_model(*plain(detector), detector=detector)
        student.load_state_dict(model.state_dict(), strict=False)
        names = [name for name, _ in model.named_parameters()]
        expected = scores(student)
        with torch.no_grad():
            model.head.cls_score.bias += 0.5
        assert torch.equal(scores(model), expected) == is_evaluated
        mined = model.mine_images(two_items())[0].scores
        with torch.no_grad():
            model.head.cls_score.bias -= 0.5
        assert torch.equal(model.mine_images(two_items())[0].scores, mined) == is_evaluated
        assert [name for name, _ in model.named_parameters()] == names

    def test_plain_detector_with_a_teacher(self, detector):
        settings = ("MODEL.META_ARCHITECTURE", f"Averaged{detector}")
        model = tiny_model(*settings, "MODEL.COMINING.TEACHER.EVALUATE", True, detector=detector)
        alone = tiny_model(*plain(detector), detector=detector)
        with EventStorage(0):
            losses = model(two_items())
        with EventStorage(0):
            assert alone(two_items()) == losses
        assert [x for x, _ in alone.named_parameters()] == [x for x, _ in model.named_parameters()]
        with torch.no_grad():
            model.head.cls_score.bias += 0.5
        assert torch.equal(scores(model), scores(alone))


def scores(model):
    return model.eval()(two_items())[0]["instances"].scores


def test_weights_for_a_backbone_are_not_the_teachers():
    """detectron2 finds where they belong by their names' ends."""
    model = tiny_model(*TAUGHT)
    imagenet = {"stem.conv1.weight": torch.zeros_like(model.backbone.bottom_up.stem.conv1.weight)}
    matched = align_and_update_state_dicts(model.state_dict(), imagenet, c2_conversion=False)
    assert list(matched) == ["backbone.bottom_up.stem.conv1.weight"]


#: Few boxes score above in the tiny detectors, and less above the first.
FLOORS = {"RetinaNet": (0.4, 0.3), "FCOS": (0.85, 0.75)}


class AskingAll(Method):
    """Keeps what it was given."""

    asks_teacher = True

    def supervise(self, step):
        self.step = step
        return Supervision(step.detections.none())


def asked(detector, flip_prob=1.0, **attributes):
    """What such a method is given by a teacher that has begun as the student's copy."""
    model = tiny_model("MODEL.COMINING.VIEW.FLIP_PROB", flip_prob, *TAUGHT, detector=detector)
    model.method = AskingAll()
    model.method.floor, model.method.teacher_floor = FLOORS[detector]
    for name, value in attributes.items():
        setattr(model.method, name, value)
    with EventStorage(0):
        model(two_items())
    return model, model.method.step


@each_detector
class TestWhatAMethodIsGiven:
    def test_detections(self, detector):
        """Above a score of its own; of the original, and the same on the second view."""
        _, step = asked(detector, teacher_floor=FLOORS[detector][0])
        found, of_student = step.teacher.detections, step.detections
        ours = found.select(found.images < 2)
        assert len(ours.boxes) > 0
        assert_same(ours, of_student.select(of_student.images < 2))
        _, lower = asked(detector)
        assert len(lower.teacher.detections.boxes) > len(found.boxes)
        there = step.images.to_other_view(found)
        assert_same(found.select(found.images >= 2), there.select(there.images >= 2))

    def test_detections_of_both_views(self, detector):
        _, step = asked(detector, teacher_floor=FLOORS[detector][0], teacher_sees_both_views=True)
        assert_same(step.teacher.detections, step.detections)

    def test_candidates_are_before_suppression(self, detector):
        model, step = asked(detector)
        floor = model.method.floor
        found = step.predictions.candidates(floor)
        assert len(found.boxes) > len(step.detections.boxes)
        kept = model.mine(step.predictions._outputs, floor, 100)
        assert_same(kept, step.detections)
        assert set(map(tuple, kept.boxes.tolist())) < set(map(tuple, found.boxes.tolist()))

    def test_boxes_and_foreground_of_each_anchor(self, detector):
        """A candidate's box is that of its anchor, whose score is the highest of its classes."""
        _, step = asked(detector, teacher_sees_both_views=True)
        dense = step.teacher
        found = dense.candidates(0.3)
        image, box = found.images[0], found.boxes[0]
        (anchor,) = (dense.boxes[image] == box).all(1).nonzero().squeeze(1)[:1]
        highest = dense.foreground
        assert highest.shape == dense.boxes.shape[:2]
        if detector == "RetinaNet":  # of FCOS the score has centerness in it
            assert highest[image, anchor] == found.scores[0]


def assert_same(ours, theirs):
    def ordered(labels):
        order = labels.scores.argsort(stable=True)
        return labels.select(order[labels.images[order].argsort(stable=True)])

    torch.testing.assert_close(tuple(ordered(ours)), tuple(ordered(theirs)))


@pytest.mark.parametrize("overrides", [TAUGHT, ()])
@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_momentum_is_checked(momentum, overrides):
    with pytest.raises(InputError, match=rf"TEACHER.MOMENTUM is {momentum}"):
        build_model(tiny_config(*overrides, "MODEL.COMINING.TEACHER.MOMENTUM", momentum))


def test_evaluating_a_teacher_that_there_is_none_of():
    with pytest.raises(InputError, match="EVALUATE is True, but the method"):
        build_model(tiny_config("MODEL.COMINING.TEACHER.EVALUATE", True))
