"""A teacher follows its student, and is asked and evaluated in its place."""

import pytest
from torch import nn

from comining.modeling import Teacher

TAUGHT = ("MODEL.COMINING.METHOD", "MeanTeacher", "MODEL.COMINING.MEANTEACHER.SCORE_THRESH", 0.3)


class Student(nn.Module):
    """One weight, one statistic and a count."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(1, 1, bias=False)
        self.head = nn.BatchNorm1d(1, affine=False)
        self.set(0.0)

    def set(self, value):
        nn.init.constant_(self.backbone.weight, value)
        self.head.running_mean.fill_(10 * value)
        self.head.num_batches_tracked.fill_(int(value))


@pytest.mark.parametrize(
    ("average_buffers", "means"), [(True, [10, 20, 30, 45]), (False, [10, 30, 50, 90])]
)
def test_average(average_buffers, means):
    """The plain mean of 1, 3, 5; then a half of what was, as the momentum says, and of 9."""
    student = Student()
    teacher = Teacher(student, momentum=0.5, average_buffers=average_buffers)
    weights, found = [], []
    for iteration, value in enumerate([1, 3, 5, 9]):
        student.set(value)
        teacher.update(student, iteration)
        weights.append(teacher.backbone.weight.item())
        found.append(teacher.head.running_mean.item())
        assert teacher.head.num_batches_tracked == value
    assert weights == pytest.approx([1, 2, 3.5, 6.25])
    assert found == pytest.approx([10, 20, 35, 62.5] if average_buffers else means)
