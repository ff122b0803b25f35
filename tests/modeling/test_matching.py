import pytest
import torch
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes

from comining.modeling.build import build_detector
from comining.modeling.labels import Labels
from comining.modeling.matching import TouchingMatcher, label_anchors, label_locations
from comining.modeling.targets import Targets
from tests.modeling.helpers import (
    annotations,
    make_labels,
    make_targets,
    plain,
    random_labels,
    tiny_config,
    tiny_model,
)

NUM_CLASSES = 3


def match(anchors, targets, matcher=None, num_images=1):
    matcher = matcher or Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=False)
    matched = label_anchors(
        torch.tensor(anchors, dtype=torch.float32),
        targets.split(num_images),
        matcher,
        num_classes=NUM_CLASSES,
    )
    return matched.classes, matched.boxes


@pytest.fixture(scope="module")
def retinanet():
    """Stock, with anchors for 64-px images."""
    return tiny_model(*plain("RetinaNet"))


@pytest.mark.parametrize("low_quality", [True, False])
@pytest.mark.parametrize(
    ("thresholds", "meaning"),
    [([0.4, 0.5], [0, -1, 1]), ([0.5], [0, 1]), ([0.3, 0.3], [0, -1, 1]), ([0.2, 0.6], [-1, 0, 1])],
)
def test_against_detectron2(retinanet, thresholds, meaning, low_quality):
    anchors = retinanet.anchor_generator([torch.zeros(1, 1, s, s) for s in (8, 4, 2)])
    generator = torch.Generator().manual_seed(0)
    labels = random_labels(generator, 30, num_images=4, num_classes=NUM_CLASSES)
    matcher = Matcher(thresholds, meaning, allow_low_quality_matches=low_quality)
    classes, boxes, *_ = label_anchors(
        Boxes.cat(anchors).tensor,
        Targets.learnt(labels).split(4),
        matcher,
        num_classes=NUM_CLASSES,
    )
    all_wanted, all_wanted_boxes = by_detectron2(retinanet, matcher, anchors, labels, 4)
    assert torch.equal(classes, all_wanted)
    foreground = (classes >= 0) & (classes < NUM_CLASSES)
    assert foreground.any(dim=1).all()
    assert torch.equal(boxes[foreground], all_wanted_boxes[foreground])


@pytest.mark.parametrize("meaning", [[0, -1, 1], [-1, 0, 1]])
def test_images_without_labels_against_detectron2(retinanet, meaning):
    anchors = retinanet.anchor_generator([torch.zeros(1, 1, s, s) for s in (8, 4, 2)])
    labels = make_labels([[10, 10, 30, 40], [5, 5, 60, 60]], classes=[0, 2], images=[1, 1])
    matcher = Matcher([0.2, 0.6], meaning, allow_low_quality_matches=True)
    classes, *_ = label_anchors(
        Boxes.cat(anchors).tensor,
        Targets.learnt(labels).split(3),
        matcher,
        num_classes=NUM_CLASSES,
    )
    assert torch.equal(classes, by_detectron2(retinanet, matcher, anchors, labels, 3)[0])


def by_detectron2(retinanet, matcher, anchors, labels, num_images):
    retinanet.anchor_matcher = matcher
    per_image = labels.split(num_images)
    instances = [annotations((64, 64), x.boxes.tolist(), x.classes.tolist()) for x in per_image]
    classes, boxes = retinanet.label_anchors(anchors, instances)
    return torch.stack(classes), torch.stack(boxes)


def test_bands():
    # IoUs of 1, exactly 0.5, between, exactly 0.4, below, none.
    anchors = [[0, 0, 10, w] for w in (10, 5, 4.5, 4, 3)] + [[50, 50, 60, 60]]
    classes, boxes = match(anchors, make_targets([[0, 0, 10, 10]], classes=[2]))
    assert classes.tolist() == [[2, 2, -1, -1, NUM_CLASSES, NUM_CLASSES]]
    assert classes.dtype == torch.int64
    assert boxes[0, :2].tolist() == [[0, 0, 10, 10]] * 2


def test_the_target_with_most_overlap_wins():
    labels = make_targets([[0, 0, 10, 6], [0, 0, 10, 8], [0, 0, 10, 7]], classes=[0, 1, 2])
    classes, boxes = match([[0, 0, 10, 10]], labels)
    assert classes.tolist() == [[1]]
    assert boxes.tolist() == [[[0, 0, 10, 8]]]


def test_low_quality_matches_include_ties():
    matcher = Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True)
    anchors = [[0, 0, 10, 10], [20, 0, 30, 10], [2, 20, 12, 30]]
    classes, boxes = match(anchors, make_targets([[8, 0, 22, 10]], classes=[1]), matcher)
    assert classes.tolist() == [[1, 1, NUM_CLASSES]]  # IoU 20 / 220 with both
    assert boxes[0, 0].tolist() == [8, 0, 22, 10]


@pytest.mark.parametrize(
    "box",
    [
        [200, 200, 220, 220],  # outside the image, as mined boxes may be
        [5, 5, 5, 9],  # no area
    ],
)
def test_a_target_that_touches_no_anchor_makes_none_foreground(box):
    matcher = Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True)
    anchors = [[0, 0, 10, 10], [20, 0, 30, 10]]
    classes, _ = match(anchors, make_targets([box]), matcher)
    assert classes.tolist() == [[NUM_CLASSES, NUM_CLASSES]]
    classes, _ = match(anchors, make_targets([box, [0, 0, 10, 10]], classes=[0, 1]), matcher)
    assert classes.tolist() == [[1, NUM_CLASSES]]


def test_plain_retinanets_matcher_leaves_out_targets_that_touch_no_anchor():
    arguments = [0.4, 0.5], [0, -1, 1], True
    iou = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.1, 0.0]])
    assert Matcher(*arguments)(iou)[1].tolist() == [1, 1, 1]
    best, labels = TouchingMatcher(*arguments)(iou)
    assert labels.tolist() == [1, 0, 0]
    assert best[0] == 1
    assert TouchingMatcher(*arguments)(iou[:1])[1].tolist() == [0, 0, 0]
    model = build_detector(tiny_config(*plain("RetinaNet")))
    assert isinstance(model.anchor_matcher, TouchingMatcher)


def test_images_do_not_mix():
    labels = make_targets([[0, 0, 10, 10], [20, 0, 30, 10]], classes=[0, 1], images=[2, 0])
    classes, boxes = match([[0, 0, 10, 10], [20, 0, 30, 10]], labels, num_images=3)
    assert classes.tolist() == [[3, 1], [3, 3], [0, 3]]
    assert boxes[2, 0].tolist() == [0, 0, 10, 10]
    assert boxes.shape == (3, 2, 4)


def test_no_labels_at_all():
    classes, boxes = match([[0, 0, 10, 10]], make_targets([]), num_images=2)
    assert classes.tolist() == [[NUM_CLASSES], [NUM_CLASSES]]
    assert boxes.shape == (2, 1, 4)


@pytest.mark.parametrize(
    ("box", "ignored", "expected"),
    [
        # The anchor overlaps the object by 0.5, the ignored box by 0.55.
        ([0, 0, 10, 5], [0, 4.5, 10, 10], 0),
        # By 0.3, its best anchor, and by 0.4.
        ([0, 0, 10, 3], [0, 6, 10, 10], 0),
        # By 0.3, but there is a better anchor.
        ([0, 0, 10, 3], [0, 5, 10, 10], -1),
        ([0, 0, 10, 4.5], [0, 5, 10, 10], -1),
        ([0, 0, 10, 3], [0, 9, 10, 10], NUM_CLASSES),
    ],
)
def test_an_ignored_target_takes_no_anchor_from_an_object(box, ignored, expected):
    matcher = Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True)
    anchors = [[0, 0, 10, 10]] + ([[0, 0, 10, 3]] if expected != 0 else [])
    anchors += [[0, 9, 10, 10]] if expected == NUM_CLASSES else []
    for order in ([0, 1], [1, 0]):
        labels = make_targets(
            [[box, ignored][i] for i in order], classes=[[0, None][i] for i in order]
        )
        classes, boxes = match(anchors, labels, matcher)
        assert classes[0, 0] == expected
        if expected == 0:
            assert boxes[0, 0].tolist() == box


@pytest.mark.parametrize("kind", ["anchors", "locations"])
def test_weights_are_those_of_the_matched_target(kind):
    """Of an anchor each of two targets, which are there in either order, and of one of neither."""
    anchors = torch.tensor([[0.0, 0, 8, 8], [16, 0, 24, 8], [48, 0, 56, 8]])
    labels = make_labels([[0, 0, 8, 8], [16, 0, 24, 8]])
    targets = Targets.learnt(labels, torch.tensor([0.5, 2.0]), torch.tensor([0.0, 3.0]))
    for rows in ([0, 1], [1, 0]):
        given = [Targets(*(field[rows] for field in targets))]
        if kind == "anchors":
            matcher = Matcher([0.4, 0.5], [0, -1, 1])
            matched = label_anchors(anchors, given, matcher, num_classes=NUM_CLASSES)
        else:
            matched = label_locations(
                [anchors], given, center_sampling_radius=1.5, num_classes=NUM_CLASSES
            )
        assert matched.classes.tolist() == [[0, 0, NUM_CLASSES]]
        assert matched.class_weights[0, :2].tolist() == [0.5, 2.0]
        assert matched.box_weights[0, :2].tolist() == [0.0, 3.0]


class TestLocations:
    @pytest.fixture(scope="class")
    def fcos(self):
        """Stock, on levels of stride 8, 16 and 32."""
        return tiny_model(*plain("FCOS"))

    @pytest.mark.parametrize("radius", [1.5, 0.5, 100.0])
    @pytest.mark.parametrize("sizes", [(32, 16, 8), (5,), (20, 10)])
    def test_against_detectron2(self, fcos, radius, sizes):
        """Images of 256 px, the last two without labels."""
        cells = fcos.anchor_generator([torch.zeros(1, 1, s, s) for s in sizes])[: len(sizes)]
        generator = torch.Generator().manual_seed(0)
        labels = random_labels(generator, 120, num_images=4, num_classes=NUM_CLASSES)
        # Small boxes and large ones, with whole numbers for ties and edges that hit locations.
        scale = torch.tensor([4.0, 2.0, 1.0]).repeat(40)[:, None]
        labels = labels._replace(boxes=(labels.boxes * scale).round())
        # Smaller by less than detectron2's areas resolve; of the same area; without one.
        alike = make_labels(
            [[8, 8, 108, 108], [8, 8, 108, 107.98], [9, 9, 109, 109], [20, 20, 20, 60]],
            classes=[0, 1, 2, 0],
            images=[3] * 4,
        )
        labels = Labels.cat((labels, alike))
        fcos.center_sampling_radius = radius
        classes, boxes, *_ = label_locations(
            [x.tensor for x in cells],
            Targets.learnt(labels).split(6),
            center_sampling_radius=radius,
            num_classes=NUM_CLASSES,
        )
        instances = [
            annotations((256, 256), x.boxes.tolist(), x.classes.tolist()) for x in labels.split(6)
        ]
        wanted, wanted_boxes = fcos.label_anchors(cells, instances)
        wanted_boxes = [getattr(x, "tensor", x) for x in wanted_boxes]
        assert torch.equal(classes, torch.stack(wanted))
        foreground = classes < NUM_CLASSES
        assert foreground[:4].any()
        assert not foreground[4:].any()
        assert torch.equal(boxes[foreground], torch.stack(wanted_boxes)[foreground])

    def match(self, boxes, classes=None):
        """Locations (4, 4), (12, 4), (20, 4) of stride 8 and (8, 8), (24, 8) of stride 16."""
        strides = {8: [(4, 4), (12, 4), (20, 4)], 16: [(8, 8), (24, 8)]}
        cells = [
            torch.tensor([[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y in centers])
            for s, centers in strides.items()
        ]
        targets = make_targets(boxes, classes)
        matched, of, *_ = label_locations(
            cells, [targets], center_sampling_radius=1.5, num_classes=NUM_CLASSES
        )
        assert matched.dtype == torch.int64
        return matched[0].tolist(), of[0].tolist()

    @pytest.mark.parametrize(
        ("box", "expected"),
        [
            # Inside, not on the edge: 4 is an edge, 20 is not.
            ([4, 0, 28, 8], [3, 1, 1, 3, 3]),
            # Within 12 px of the centre, which is at 8, 24 or 4: not at 12 px.
            ([-20, -10, 36, 18], [1, 1, 3, 3, 3]),
            ([-4, -10, 52, 18], [3, 3, 1, 3, 3]),
            ([-20, -20, 28, 28], [1, 1, 3, 3, 3]),
            # The farthest edge is 64 px away from (4, 4), less from (12, 4), more than 64 from
            # both locations of stride 16, and (24, 8) is 24 px from the centre at 0.
            ([-68, -30, 68, 30], [3, 3, 3, 1, 3]),
        ],
    )
    def test_by_hand(self, box, expected):
        classes, boxes = self.match([box], [1])
        assert classes == expected
        assert boxes == [box if x == 1 else [0] * 4 for x in expected]

    def test_the_smallest_wins(self):
        large, small = [-4, -4, 20, 12], [0, 0, 16, 8]
        for order in ([0, 1], [1, 0]):
            given = [[large, small][i] for i in order]
            classes, boxes = self.match(given, order)
            assert classes[:2] == [1, 1]
            assert boxes[0] == small

    def test_an_ignored_target_takes_no_location_from_an_object(self):
        large, small = [-4, -4, 20, 12], [0, 0, 16, 8]
        assert self.match([small], [None])[0][:2] == [-1, -1]
        assert self.match([large, small], [0, None])[0][:2] == [0, 0]

    def test_no_labels_at_all(self):
        classes, _ = self.match([])
        assert classes == [NUM_CLASSES] * 5


def test_overlaps_of_anchors():
    """With the nearest object, whatever lies there to be ignored."""
    targets = make_targets([[0, 0, 10, 10], [0, 0, 10, 4], [20, 0, 30, 10]], [0, 1, None])
    anchors = torch.tensor([[0.0, 0, 10, 5], [0, 0, 20, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    matcher = Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True)
    nothing = targets.split(2)[1]
    matched = label_anchors(anchors, [targets, nothing], matcher, num_classes=NUM_CLASSES)
    assert matched.overlaps[0].tolist() == pytest.approx([0.8, 0.5, 0, 0])
    assert matched.overlaps[1].tolist() == [0] * 4


def test_overlaps_of_locations():
    """1 in the box of any object, however far from its centre and on whatever level."""
    centers = torch.tensor([[2.0, 2], [12, 2], [22, 2], [32, 2]])
    cells = [torch.cat((centers - 4, centers + 4), dim=1)] * 2
    targets = make_targets([[0, 0, 30, 4], [30, 0, 40, 4]], [0, None])
    matched = label_locations(
        cells, [targets, targets.split(2)[1]], center_sampling_radius=0.5, num_classes=NUM_CLASSES
    )
    assert matched.overlaps.tolist() == [[1, 1, 1, 0] * 2, [0] * 8]
    assert (matched.classes[0] == NUM_CLASSES).sum() > 4
