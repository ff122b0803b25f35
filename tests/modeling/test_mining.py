from collections import Counter

import pytest
import torch
from detectron2.layers import batched_nms
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K

from comining.modeling import mining
from comining.modeling.labels import Labels
from comining.modeling.mining import (
    Candidates,
    confident_candidates,
    suppress,
    top_candidates,
)
from tests.modeling.helpers import logit, make_labels, random_labels


def random_logits(num_images, num_shapes, num_classes, sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(num_images, num_shapes * num_classes, *size, generator=generator)
        for size in sizes
    ]


def candidates_by_loop(logits, num_classes, threshold):
    """(image, anchor, class, score, level) of every score above the threshold."""
    found = []
    for image in range(len(logits[0])):
        anchor = 0
        for level, of_level in enumerate(logits):
            _, channels, height, width = of_level.shape
            for row in range(height):
                for column in range(width):
                    for shape in range(channels // num_classes):
                        for k in range(num_classes):
                            value = of_level[image, shape * num_classes + k, row, column]
                            score = 1 / (1 + torch.exp(-value.double()).item())
                            if score > threshold:
                                found.append((image, anchor, k, score, level))
                        anchor += 1
    return sorted(found)


def rows(candidates):
    return sorted(
        zip(
            candidates.images.tolist(),
            candidates.anchors.tolist(),
            candidates.classes.tolist(),
            candidates.scores.tolist(),
            candidates.levels.tolist(),
            strict=True,
        )
    )


class TestConfidentCandidates:
    @pytest.mark.parametrize(
        ("num_images", "num_shapes", "num_classes", "sizes"),
        [
            (1, 1, 1, [(3, 2)]),
            (2, 1, 3, [(4, 3), (2, 2)]),
            (3, 3, 1, [(2, 5), (1, 3), (1, 1)]),
            (2, 3, 4, [(4, 6), (2, 3), (1, 2), (1, 1)]),
        ],
    )
    @pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6])
    def test_against_a_loop(self, num_images, num_shapes, num_classes, sizes, threshold):
        logits = random_logits(num_images, num_shapes, num_classes, sizes)
        found = rows(confident_candidates(logits, num_classes, threshold, 1000))
        expected = candidates_by_loop(logits, num_classes, threshold)
        assert expected
        assert [row[:3] + row[4:] for row in found] == [row[:3] + row[4:] for row in expected]
        assert [row[3] for row in found] == pytest.approx([row[3] for row in expected])

    def test_anchors_are_numbered_as_in_detectron2(self):
        num_classes = 4
        logits = random_logits(2, 3, num_classes, [(4, 6), (2, 3), (1, 1)], seed=1)
        flat = torch.cat([permute_to_N_HWA_K(x, num_classes) for x in logits], dim=1)
        found = confident_candidates(logits, num_classes, 0.5, 1000)
        expected = (flat > 0).nonzero().tolist()
        triples = torch.stack((found.images, found.anchors, found.classes), dim=1).tolist()
        assert sorted(triples) == expected
        torch.testing.assert_close(
            flat[found.images, found.anchors, found.classes].sigmoid(), found.scores
        )

    def test_a_score_at_the_threshold_is_not_kept(self):
        logits = [torch.tensor([-1e-6, 0.0, 1e-6]).view(1, 3, 1, 1)]
        found = confident_candidates(logits, 3, 0.5, 1000)
        assert found.classes.tolist() == [2]

    def test_scores_are_sigmoids(self):
        logits = [torch.tensor([logit(0.7), logit(0.95)]).view(1, 2, 1, 1)]
        found = confident_candidates(logits, 2, 0.6, 1000)
        torch.testing.assert_close(found.scores, torch.tensor([0.7, 0.95]))

    def test_memory_layout_does_not_matter(self):
        logits = random_logits(2, 2, 3, [(4, 5), (2, 3)])
        other = [x.contiguous(memory_format=torch.channels_last) for x in logits]
        assert rows(confident_candidates(other, 3, 0.4, 1000)) == rows(
            confident_candidates(logits, 3, 0.4, 1000)
        )

    def test_threshold_zero_keeps_everything(self):
        logits = [torch.tensor([-80.0, 0.0, 80.0]).view(1, 3, 1, 1)]
        assert len(confident_candidates(logits, 3, 0.0, 1000).scores) == 3

    @pytest.mark.parametrize(("value", "threshold"), [(80.0, 1.0), (-3.0, 0.5)])
    def test_none_found(self, value, threshold):
        logits = [torch.full((2, 6, 4, 4), value), torch.full((2, 6, 2, 2), value)]
        found = confident_candidates(logits, 3, threshold, 1000)
        assert [len(field) for field in found] == [0] * 5
        assert found.images.dtype == found.anchors.dtype == found.classes.dtype == torch.int64

    @pytest.mark.parametrize("threshold", [0.0, 0.6])
    @pytest.mark.parametrize("num_shapes", [1, 3])
    def test_centerness_ranks_and_decides_nothing(self, num_shapes, threshold):
        sizes = [(4, 6), (2, 3)]
        logits = random_logits(2, num_shapes, 4, sizes)
        centerness = random_logits(2, num_shapes, 1, sizes, seed=1)
        center = torch.cat([permute_to_N_HWA_K(x, 1) for x in centerness], dim=1)[..., 0].sigmoid()
        plain = confident_candidates(logits, 4, threshold, 1000)
        ranked = confident_candidates(logits, 4, threshold, 1000, centerness)
        for field, wanted in zip(ranked[:3], plain[:3], strict=True):
            assert torch.equal(field, wanted)
        expected = (plain.scores * center[plain.images, plain.anchors]).sqrt()
        torch.testing.assert_close(ranked.scores, expected)

    @pytest.mark.parametrize("centered", [False, True])
    @pytest.mark.parametrize("topk", [1, 7, 30])
    def test_too_many_are_cut_to_the_best_of_each_image_and_level(self, topk, centered):
        sizes = [(6, 5), (3, 2), (1, 1)]
        logits = random_logits(3, 2, 4, sizes)
        centerness = random_logits(3, 2, 1, sizes, seed=1) if centered else None
        logits[0][1] += 50  # one image alone makes the first level explode
        logits[0][0, 0, 0, 0] = torch.nan
        found = confident_candidates(logits, 4, 0.1, topk, centerness)
        per_level = Counter(row[4] for row in rows(found))
        assert max(per_level.values()) <= 3 * topk
        everything = confident_candidates(logits, 4, 0.1, 10**6, centerness)
        assert len(everything.scores) > 3 * topk
        wanted, got = top_candidates(everything, topk), top_candidates(found, topk)
        # Which of equal scores stay is nobody's business.
        of_each = [
            sorted((row[0], row[4], round(row[3], 5)) for row in rows(x)) for x in (got, wanted)
        ]
        assert of_each[0] == of_each[1]


class TestTopCandidates:
    @pytest.mark.parametrize("topk", [1, 4, 15, 1000])
    def test_against_a_loop(self, topk):
        generator = torch.Generator().manual_seed(0)
        number = 200
        candidates = Candidates(
            images=torch.randint(4, (number,), generator=generator),
            anchors=torch.arange(number),
            classes=torch.randint(5, (number,), generator=generator),
            scores=torch.rand(number, generator=generator),
            levels=torch.randint(3, (number,), generator=generator),
        )
        expected = []
        for image in range(4):
            for level in range(3):
                group = [row for row in rows(candidates) if row[0] == image and row[4] == level]
                expected += sorted(group, key=lambda row: -row[3])[:topk]
        assert rows(top_candidates(candidates, topk)) == sorted(expected)

    def test_none(self):
        empty = confident_candidates([torch.zeros(1, 1, 1, 1)], 1, 0.5, 1000)
        assert len(top_candidates(empty, 10).scores) == 0


class TestSuppress:
    @pytest.mark.parametrize("cap", [3, 20, 1000])
    @pytest.mark.parametrize("num_classes", [1, 4])
    @pytest.mark.parametrize("iou_thresh", [0.2, 0.5])
    def test_against_detectron2(self, cap, num_classes, iou_thresh):
        num_images = 5
        generator = torch.Generator().manual_seed(cap)
        labels = random_labels(generator, 600, num_images - 1, num_classes)  # the last has none
        kept = suppress(labels, iou_thresh, cap)
        assert kept.scores.tolist() == sorted(kept.scores.tolist(), reverse=True)
        for image, found in enumerate(kept.split(num_images)):
            of_image = labels.select(labels.images == image)
            keep = batched_nms(of_image.boxes, of_image.scores, of_image.classes, iou_thresh)[:cap]
            for field, wanted in zip(found, of_image.select(keep), strict=True):
                assert torch.equal(field, wanted)

    @pytest.mark.parametrize(("second", "kept"), [([0, 0, 10, 5], 2), ([0, 0, 10, 5.1], 1)])
    def test_only_above_the_threshold_is_dropped(self, second, kept):
        labels = make_labels([[0, 0, 10, 10], second], scores=[0.9, 0.8])
        assert len(suppress(labels, 0.5, 100).boxes) == kept

    def test_a_suppressed_box_suppresses_nothing(self):
        boxes = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]
        kept = suppress(make_labels(boxes, scores=[0.9, 0.8, 0.7]), 0.4, 100)
        assert kept.boxes.tolist() == [boxes[0], boxes[2]]

    def test_other_classes_and_images_are_left_alone(self):
        labels = make_labels(
            [[0, 0, 10, 10]] * 4,
            classes=[0, 1, 0, 1],
            images=[0, 0, 1, 1],
            scores=[0.6, 0.7, 0.8, 0.9],
        )
        assert len(suppress(labels, 0.5, 100).boxes) == 4

    def test_equal_scores(self):
        labels = make_labels([[0, 0, 10, 10]] * 5 + [[20, 0, 30, 10]], scores=[0.7] * 6)
        kept = suppress(labels, 0.5, 100)
        assert sorted(kept.boxes.tolist()) == [[0, 0, 10, 10], [20, 0, 30, 10]]
        assert len(suppress(labels, 0.5, 1).boxes) == 1

    def test_the_cap_is_per_image_and_takes_the_best(self):
        labels = make_labels(
            [[20 * i, 0, 20 * i + 10, 10] for i in range(6)],
            classes=[0, 1, 2, 0, 1, 2],
            images=[0, 1, 0, 1, 0, 1],
            scores=[0.61, 0.92, 0.93, 0.64, 0.95, 0.66],
        )
        kept = suppress(labels, 0.5, 2)
        torch.testing.assert_close(kept.scores, torch.tensor([0.95, 0.93, 0.92, 0.66]))

    def test_none(self):
        assert suppress(make_labels([]), 0.5, 100).boxes.shape == (0, 4)

    @pytest.mark.parametrize("reach", [3e5, 1e18])
    def test_huge_coordinates_of_one_image_leave_others_alone(self, reach):
        generator = torch.Generator().manual_seed(0)
        labels = random_labels(generator, 200, num_images=8, num_classes=80)
        labels = labels._replace(classes=labels.classes % 3)
        far = make_labels([[-reach, -reach, reach, reach]], classes=[79], images=[7], scores=[0.5])
        alone = suppress(labels, 0.5, 100)
        together = suppress(Labels.cat((labels, far)), 0.5, 100)
        together = together.select(together.classes < 79)
        for field, wanted in zip(together, alone, strict=True):
            assert torch.equal(field, wanted)

    def test_many_boxes_are_suppressed_image_by_image_with_the_same_result(self, monkeypatch):
        generator = torch.Generator().manual_seed(0)
        labels = random_labels(generator, 300, num_images=5, num_classes=2)
        at_once = suppress(labels, 0.5, 20)
        monkeypatch.setattr(mining, "MAX_IN_ONE_NMS", 299)
        one_by_one = suppress(labels, 0.5, 20)
        assert 20 < len(at_once.boxes) < 300
        for field, wanted in zip(one_by_one, at_once, strict=True):
            assert torch.equal(field, wanted)

    def test_a_box_that_is_not_finite_leaves_other_images_alone(self):
        boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, float("inf"), 10]]
        labels = make_labels(boxes, images=[0, 0, 1], scores=[0.9, 0.8, 0.7])
        kept = suppress(labels, 0.5, 100)
        assert kept.select(kept.images == 0).boxes.tolist() == [[0, 0, 10, 10]]
