import pytest
import torch

from comining.modeling import labels
from comining.modeling.labels import (
    Labels,
    annotated_labels,
    flip_boxes,
    overlap_any,
    pairwise_iou,
)
from tests.modeling.helpers import annotations, make_labels, random_boxes, random_labels


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


class TestPairwiseIou:
    @pytest.mark.parametrize(
        ("box", "other", "iou"),
        [
            ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
            ([0, 0, 10, 10], [5, 0, 15, 10], 50 / 150),
            ([0, 0, 10, 10], [2, 2, 7, 6], 20 / 100),
            ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),  # a common edge
            ([0, 0, 10, 10], [10, 10, 20, 20], 0.0),  # a common corner
            ([0, 0, 10, 10], [12, 12, 20, 20], 0.0),  # apart on both axes
            ([0, 0, 10, 10], [-5, -5, 5, 5], 25 / 175),
            ([0, 0, 10, 10], [3, 3, 3, 8], 0.0),  # no width
            ([4, 4, 4, 4], [4, 4, 4, 4], 0.0),  # two points
        ],
    )
    def test_by_hand(self, box, other, iou):
        assert pairwise_iou(tensor(box), tensor(other)).item() == pytest.approx(iou)
        assert pairwise_iou(tensor(other), tensor(box)).item() == pytest.approx(iou)

    def test_every_pair(self):
        iou = pairwise_iou(
            tensor([[0, 0, 4, 4], [0, 0, 2, 4]]),
            tensor([[0, 0, 4, 4], [2, 0, 4, 4], [0, 0, 4, 2]]),
        )
        expected = torch.tensor([[1.0, 0.5, 0.5], [0.5, 0.0, 4 / 12]])
        torch.testing.assert_close(iou, expected)

    @pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (0, 0)])
    def test_empty(self, rows, columns):
        assert pairwise_iou(torch.zeros(rows, 4), torch.zeros(columns, 4)).shape == (rows, columns)

    def test_leading_dimensions(self):
        generator = torch.Generator().manual_seed(0)
        left, right = random_boxes(generator, 10), random_boxes(generator, 6)
        iou = pairwise_iou(left.view(2, 5, 4), right.view(2, 3, 4))
        assert iou.shape == (2, 5, 3)
        for index in range(2):
            alone = pairwise_iou(left.view(2, 5, 4)[index], right.view(2, 3, 4)[index])
            assert torch.equal(iou[index], alone)


class TestFlipBoxes:
    def test_by_hand(self):
        flipped = flip_boxes(tensor([[10, 5, 30, 25], [-4, 0, 8, 2]]), torch.tensor([100, 50]))
        assert flipped.tolist() == [[70, 5, 90, 25], [42, 0, 54, 2]]

    def test_twice_is_nothing(self):
        boxes = torch.randint(-20, 120, (50, 4), generator=torch.Generator().manual_seed(0)).float()
        widths = torch.arange(50) + 30
        assert torch.equal(flip_boxes(flip_boxes(boxes, widths), widths), boxes)

    def test_none(self):
        assert flip_boxes(torch.zeros(0, 4), torch.zeros(0)).shape == (0, 4)


class TestOverlapAny:
    @pytest.mark.parametrize(("rows", "columns"), [(0, 2), (2, 0), (0, 0)])
    def test_nothing_to_overlap(self, rows, columns):
        box = [[0, 0, 9, 9]]
        overlap = overlap_any(make_labels(box * rows), make_labels(box * columns), 0.4)
        assert overlap.tolist() == [False] * rows
        assert overlap.dtype == torch.bool

    def test_by_hand(self):
        annotated = make_labels([[0, 0, 10, 10], [40, 40, 60, 60]], classes=[0, 1])
        mined = make_labels(
            [[40, 40, 60, 59], [50, 0, 60, 10], [0, 0, 10, 9], [1, 0, 10, 10]],
            classes=[1, 0, 0, 0],
        )
        assert overlap_any(mined, annotated, 0.4).tolist() == [True, False, True, True]

    @pytest.mark.parametrize(("threshold", "overlaps"), [(0.49, True), (0.5, False), (0.51, False)])
    def test_only_above_the_threshold(self, threshold, overlaps):
        annotated = make_labels([[0, 0, 10, 10]])
        mined = make_labels([[0, 0, 10, 5]])  # IoU exactly 0.5
        assert overlap_any(mined, annotated, threshold).tolist() == [overlaps]

    def test_not_even_an_identical_box_is_above_one(self):
        annotated = make_labels([[0, 0, 10, 10]])
        assert overlap_any(annotated, annotated, 1.0).tolist() == [False]

    def test_whatever_overlaps_is_above_zero(self):
        annotated = make_labels([[0, 0, 10, 10]])
        mined = make_labels([[9, 9, 30, 30], [10, 0, 20, 10]])  # a single pixel; an edge
        assert overlap_any(mined, annotated, 0.0).tolist() == [True, False]

    @pytest.mark.parametrize("class_wise", [True, False])
    def test_another_class_counts_unless_told(self, class_wise):
        annotated = make_labels([[0, 0, 10, 10]], classes=[0])
        mined = make_labels([[0, 0, 10, 10]], classes=[1])
        overlap = overlap_any(mined, annotated, 0.4, class_wise=class_wise)
        assert overlap.tolist() == [not class_wise]

    @pytest.mark.parametrize("class_wise", [True, False])
    def test_another_image_never_counts(self, class_wise):
        annotated = make_labels([[0, 0, 10, 10]], images=[0])
        mined = make_labels([[0, 0, 10, 10]], images=[1])
        overlap = overlap_any(mined, annotated, 0.4, class_wise=class_wise)
        assert overlap.tolist() == [False]

    def test_against_a_loop(self):
        generator = torch.Generator().manual_seed(3)
        annotated = random_labels(generator, 60, num_images=3, num_classes=2)
        mined = random_labels(generator, 80, num_images=3, num_classes=2)
        overlap = []
        for i in range(80):
            known = False
            for j in range(60):
                if mined.images[i] == annotated.images[j] and (
                    mined.classes[i] == annotated.classes[j]
                ):
                    known |= iou_by_hand(mined.boxes[i], annotated.boxes[j]) > 0.1
            overlap.append(known)
        assert 10 < sum(overlap) < 70
        assert overlap_any(mined, annotated, 0.1).tolist() == overlap


@pytest.mark.parametrize("class_wise", [True, False])
def test_many_boxes_are_compared_image_by_image(class_wise, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    left, right = (random_labels(generator, number, 3, 2) for number in (60, 40))
    at_once = overlap_any(left, right, 0.3, class_wise=class_wise)
    monkeypatch.setattr(labels, "MAX_PAIRS", 60 * 40 - 1)
    assert torch.equal(overlap_any(left, right, 0.3, class_wise=class_wise), at_once)
    assert 0 < at_once.sum() < 60


class TestLabels:
    def test_split_keeps_the_order_within_an_image(self):
        labels = make_labels(
            [[i, 0, i + 1, 1] for i in range(5)],
            classes=[0, 1, 2, 0, 1],
            images=[3, 1, 3, 1, 3],
            scores=[0.5, 0.6, 0.7, 0.8, 0.9],
        )
        parts = labels.split(5)
        assert [part.boxes[:, 0].tolist() for part in parts] == [[], [1, 3], [], [0, 2, 4], []]
        assert parts[3].classes.tolist() == [0, 2, 1]
        assert parts[1].images.tolist() == [1, 1]
        torch.testing.assert_close(parts[1].scores, torch.tensor([0.6, 0.8]))
        assert parts[0].boxes.shape == (0, 4)

    def test_split_of_nothing(self):
        assert [len(part.boxes) for part in make_labels([]).split(2)] == [0, 0]

    def test_cat(self):
        first = make_labels([[0, 0, 1, 1]], classes=[1], images=[1], scores=[0.5])
        second = make_labels([[0, 0, 2, 2]], classes=[2], images=[0], scores=[0.25])
        both = Labels.cat((first, make_labels([]), second))
        assert both.boxes.tolist() == [[0, 0, 1, 1], [0, 0, 2, 2]]
        assert both.classes.tolist() == [1, 2]
        assert both.images.tolist() == [1, 0]
        assert both.scores.tolist() == [0.5, 0.25]

    def test_annotated(self):
        labels = annotated_labels(
            [
                annotations((64, 64), [], []),
                annotations((64, 64), [[0, 1, 2, 3], [4, 5, 6, 7]], [2, 0]),
                annotations((64, 64), [], []),
                annotations((64, 64), [[8, 9, 10, 11]], [1]),
            ]
        )
        assert labels.boxes.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
        assert labels.classes.tolist() == [2, 0, 1]
        assert labels.images.tolist() == [1, 1, 3]
        assert labels.scores.tolist() == [1, 1, 1]

    def test_none_annotated(self):
        labels = annotated_labels([annotations((64, 64), [], [])] * 2)
        assert labels.boxes.shape == (0, 4)
        assert labels.classes.dtype == labels.images.dtype == torch.int64


def iou_by_hand(box, other):
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = box.tolist(), other.tolist()
    width = max(0.0, min(ax1, bx1) - max(ax0, bx0))
    height = max(0.0, min(ay1, by1) - max(ay0, by0))
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - width * height
    return width * height / union
