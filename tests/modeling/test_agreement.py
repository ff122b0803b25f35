import pytest

from comining.modeling.agreement import seen_in_both
from tests.modeling.helpers import make_labels

WIDTHS = (40, 30)


def test_by_hand():
    """On image 0 a box that the mirror image shows with less score, with more, and 3 pixels to the
    side (IoU 7 / 13); of another class there, 4 pixels to the side, and not at all; on image 1 one
    that it shows.
    """
    found = make_labels(
        [
            [0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10], [0, 10, 10, 20], [10, 10, 20, 20],
            [20, 10, 30, 20], [0, 0, 10, 10],
        ],
        classes=[0, 0, 1, 0, 0, 0, 2],
        images=[0] * 6 + [1],
        scores=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
    )  # fmt: skip
    mirrored = make_labels(
        [
            [30, 0, 40, 10], [20, 0, 30, 10], [7, 0, 17, 10], [30, 10, 40, 20], [24, 10, 34, 20],
            [20, 0, 30, 10],
        ],
        classes=[0, 0, 1, 1, 0, 2],
        images=[0] * 5 + [1],
        scores=[0.5, 0.95, 0.75, 0.9, 0.9, 0.6],
    )  # fmt: skip
    first, second = seen_in_both(found, mirrored, WIDTHS).split(2)
    assert first.boxes.tolist() == [[10, 0, 20, 10], [20, 0, 30, 10], [0, 0, 10, 10]]
    assert first.classes.tolist() == [0, 1, 0]
    assert first.scores.tolist() == pytest.approx([0.8, 0.7, 0.5])
    assert second.boxes.tolist() == [[0, 0, 10, 10]]
    assert second.scores.tolist() == pytest.approx([0.3])


def test_of_several_in_the_mirror_image_the_best_counts():
    found = make_labels([[0, 0, 10, 10]], classes=[1], scores=[0.9])
    mirrored = make_labels(
        [[30, 0, 40, 10], [31, 0, 40, 10], [0, 0, 10, 10]],
        classes=[1, 1, 1],
        scores=[0.3, 0.6, float("nan")],
    )
    assert seen_in_both(found, mirrored, WIDTHS).scores.tolist() == pytest.approx([0.6])


def test_boxes_of_one_score_stay_in_their_order():
    boxes = [[10.0 * x, 0, 10 * x + 10, 10] for x in range(40)]
    found = make_labels(boxes, scores=[0.9] * 40)
    mirrored = make_labels(boxes, scores=[0.5] * 40)
    assert seen_in_both(found, mirrored, [400]).boxes.tolist() == boxes


@pytest.mark.parametrize(("here", "there"), [(0, 0), (1, 0), (0, 1)])
def test_empty(here, there):
    boxes = [[0, 0, 9, 9]]
    seen = seen_in_both(make_labels(boxes[:here]), make_labels(boxes[:there]), WIDTHS)
    assert seen.boxes.shape == (0, 4)
