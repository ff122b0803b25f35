"""Suppression and overlap on generated boxes, against loops that anyone can read."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from comining.modeling.labels import overlap_any
from comining.modeling.mining import suppress
from tests.modeling.helpers import make_labels

corner = st.integers(0, 12)
box = st.tuples(corner, corner, corner, corner).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3]))
)
broken = st.sampled_from([(math.nan, 0, 1, 1), (0, 0, math.inf, 2), (-math.inf, 0, 1, 1)])
row = st.tuples(st.one_of(box, box, box, broken), st.integers(0, 2), st.integers(0, 2))
sound_row = st.tuples(box, st.integers(0, 1), st.integers(0, 1))


def labels(rows):
    """Descending scores in the order of the rows."""
    boxes, classes, images = ([r[i] for r in rows] for i in range(3))
    return make_labels(boxes, classes, images, [1 - i / 64 for i in range(len(rows))])


def iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return width * height / (sum(areas) - width * height) if width * height else 0


@settings(max_examples=500)
@given(st.lists(row, max_size=24), st.integers(1, 4), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_suppression(rows, most, thresh):
    kept = []
    for candidate in rows:
        if all(map(math.isfinite, candidate[0])) and not any(
            candidate[1:] == other[1:] and iou(candidate[0], other[0]) > thresh for other in kept
        ):
            kept.append(candidate)
    expected = []
    for candidate in kept:
        if sum(candidate[2] == other[2] for other in expected) < most:
            expected.append(candidate)
    found = suppress(labels(rows), thresh, most)
    assert found.boxes.tolist() == [list(map(float, r[0])) for r in expected]
    assert found.classes.tolist() == [r[1] for r in expected]
    assert found.images.tolist() == [r[2] for r in expected]


@settings(max_examples=500)
@given(
    st.lists(sound_row, max_size=8),
    st.lists(sound_row, max_size=8),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_overlap(annotated, mined, thresh):
    expected = [any(m[1:] == a[1:] and iou(m[0], a[0]) > thresh for a in annotated) for m in mined]
    assert overlap_any(labels(mined), labels(annotated), thresh).tolist() == expected
