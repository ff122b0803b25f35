"""Anchors that fit the boxes of a data set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comining.completion.anchors import best_iou, choose_anchors

edges = st.floats(8, 300)


def anchors_of(boxes, classes=None):
    boxes = np.array(boxes, dtype=float)
    return choose_anchors(boxes, np.zeros(len(boxes)) if classes is None else np.array(classes))


@pytest.mark.parametrize(
    ("width", "height", "size", "ratio", "iou"),
    [
        (20, 20, 20, 1.0, 1.0),
        (10, 20, 20, 1.0, 0.5),
        (10, 20, 10 * 2**0.5, 2.0, 1.0),  # a ratio is height / width
        (20, 10, 10 * 2**0.5, 2.0, 100 / 300),
        (40, 40, 20, 1.0, 0.25),
    ],
)
def test_iou_with_an_anchor_at_the_centre(width, height, size, ratio, iou):
    assert best_iou(width, height, np.array([size]), [ratio]) == pytest.approx(iou)


def test_boxes_of_one_size_have_their_anchor_on_the_finest_level():
    anchors = anchors_of([[32, 32]] * 10)
    assert anchors.ratios == [1.0]
    # From 32 * 2^(1/4) on two an octave, and an octave for each of three levels.
    assert anchors.sizes == [[38.1, 53.8], [76.1, 108.0], [152.0, 215.0]]


def test_sizes_double_with_the_strides_from_the_small_boxes_on():
    anchors = anchors_of([[16, 16]] * 50 + [[60, 60]] * 50)
    assert anchors.sizes == [[19.0, 26.9], [38.1, 53.8], [76.1, 108.0]]


def test_sizes_reach_the_large_boxes_in_small_steps():
    anchors = anchors_of([[8, 8]] * 50 + [[512, 512]] * 50)
    sizes = [size for level in anchors.sizes for size in level]
    assert sizes[0] == pytest.approx(8 * 2**0.25, abs=0.02)
    assert {len(level) for level in anchors.sizes} == {4}  # less than six octaves: two on each
    steps = np.array([*sizes[1:], 512]) / sizes
    assert steps == pytest.approx(np.full(12, (512 / (8 * 2**0.25)) ** (1 / 12)), abs=0.02)


def test_elongated_boxes_get_elongated_anchors():
    wide = anchors_of([[60, 20]] * 2 + [[30, 30]] * 8)
    assert wide.ratios == [0.5, 1.0]
    assert anchors_of([[60, 20]] + [[30, 30]] * 19).ratios == [1.0]  # too few to matter


def test_small_class_of_another_shape_is_not_forgotten():
    boxes = [[30, 30]] * 99 + [[100, 10]]
    anchors = anchors_of(boxes, [0] * 99 + [1])
    sizes = np.array([size for level in anchors.sizes for size in level])
    assert best_iou(100, 10, sizes, anchors.ratios) >= 0.5


@given(st.lists(st.tuples(edges, edges, st.integers(0, 3)), min_size=1, max_size=40))
def test_median_box_of_every_class_matches_an_anchor(rows):
    boxes, classes = np.array([x[:2] for x in rows]), np.array([x[2] for x in rows])
    anchors = choose_anchors(boxes, classes)
    sizes = np.array([size for level in anchors.sizes for size in level])
    for class_ in np.unique(classes):
        width, height = np.median(boxes[classes == class_], axis=0)
        assert best_iou(width, height, sizes, anchors.ratios) >= 0.49  # sizes are rounded
    assert len({len(level) for level in anchors.sizes}) == 1
