import pytest
import torch
from detectron2.structures import ImageList

from comining.modeling.agreement import seen_in_both
from tests.modeling.helpers import make_labels


def two_images():
    """Of a width of 40 and of 30 pixels, and mirrored."""
    return ImageList(torch.zeros(4, 3, 20, 40), [(20, 40), (20, 30)] * 2)


def test_by_hand():
    """On image 0 a box that the mirror image shows with less score, with more, and 3 pixels to the
    side (IoU 7 / 13); of another class there, 4 pixels to the side, and not at all; on image 1 one
    that it shows.
    """
    found = make_labels(
        [
            [0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10], [0, 10, 10, 20], [10, 10, 20, 20],
            [20, 10, 30, 20], [0, 0, 10, 10],
            [30, 0, 40, 10], [20, 0, 30, 10], [7, 0, 17, 10], [30, 10, 40, 20], [24, 10, 34, 20],
            [20, 0, 30, 10],
        ],
        classes=[0, 0, 1, 0, 0, 0, 2, 0, 0, 1, 1, 0, 2],
        images=[0] * 6 + [1] + [2] * 5 + [3],
        scores=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.5, 0.95, 0.75, 0.9, 0.9, 0.6],
    )  # fmt: skip
    first, second, *mirrored = seen_in_both(found, two_images()).split(4)
    assert first.boxes.tolist()[:3] == [[10, 0, 20, 10], [20, 0, 30, 10], [0, 0, 10, 10]]
    assert first.classes.tolist() == [0, 1, 0, 0, 0, 0]
    assert first.scores.tolist() == pytest.approx([0.8, 0.7, 0.5, 0, 0, 0])
    assert second.boxes.tolist() == [[0, 0, 10, 10]]
    assert second.scores.tolist() == pytest.approx([0.3])
    assert [len(x.boxes) for x in mirrored] == [0, 0]


def test_of_several_in_the_mirror_image_the_best_counts():
    found = make_labels(
        [[0, 0, 10, 10], [30, 0, 40, 10], [31, 0, 40, 10]],
        classes=[1, 1, 1],
        images=[0, 2, 2],
        scores=[0.9, 0.3, 0.6],
    )
    assert seen_in_both(found, two_images()).scores.tolist() == pytest.approx([0.6])


@pytest.mark.parametrize(("images", "scores"), [([0, 1], [0, 0]), ([2, 3], []), ([], [])])
def test_empty(images, scores):
    found = make_labels([[0, 0, 9, 9]] * len(images), classes=[0] * len(images), images=images)
    assert seen_in_both(found, two_images()).scores.tolist() == scores
