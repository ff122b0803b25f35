import pytest

from comining.modeling.quality import DECAY, MiningQuality
from tests.modeling.helpers import make_labels

NOTHING = make_labels([])
WITHHELD = make_labels(
    [[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 10], [20, 0, 30, 10]], images=[0, 0, 2, 2]
)


def test_of_each_branch():
    # A hit (IoU 0.9), another class, another image; in the second view, a miss (IoU 0.5).
    mined = make_labels(
        [[0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 10], [20, 0, 30, 5]],
        classes=[0, 1, 0, 0],
        images=[0, 0, 1, 2],
    )
    quality = MiningQuality()
    quality.update(mined, WITHHELD, num_images=2)
    assert quality.precision_and_recall(0) == pytest.approx((1 / 3, 1 / 2))
    assert quality.precision_and_recall(1) == (0, 0)


def test_two_boxes_on_one_object_find_one():
    mined = make_labels([[0, 0, 10, 9], [0, 0, 10, 8]])
    quality = MiningQuality()
    quality.update(mined, WITHHELD, num_images=2)
    assert quality.precision_and_recall(0) == (1, 0.5)


def test_earlier_iterations_fade():
    quality = MiningQuality()
    quality.update(make_labels([[0, 0, 10, 10]]), WITHHELD, num_images=2)
    quality.update(make_labels([[40, 0, 50, 10]]), WITHHELD, num_images=2)
    precision, recall = quality.precision_and_recall(0)
    assert precision == pytest.approx(DECAY / (DECAY + 1))
    assert recall == pytest.approx(DECAY / (2 * DECAY + 2))


def test_no_share_of_nothing():
    quality = MiningQuality()
    quality.update(NOTHING, NOTHING, num_images=2)
    assert quality.precision_and_recall(0) == (None, None)
    quality.update(NOTHING, WITHHELD, num_images=2)
    assert quality.precision_and_recall(0) == (None, 0)
