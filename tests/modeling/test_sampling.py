"""What is drawn of anchors and proposals, and what that teaches."""

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher

from comining.modeling.sampling import Sample, draw_sample, sample_losses
from comining.modeling.targets import Targets
from tests.modeling.helpers import make_labels, make_targets

MATCHER = Matcher([0.5], [0, 1], allow_low_quality_matches=False)
BACKGROUND = 3


def draw(places, targets, size=100, positive_fraction=0.5):
    return draw_sample(
        [torch.tensor(x, dtype=torch.float32).reshape(-1, 4) for x in places],
        targets,
        MATCHER,
        num_classes=BACKGROUND,
        size=size,
        positive_fraction=positive_fraction,
    )


def test_matched_places_carry_class_box_and_weights_of_their_targets():
    targets = Targets.cat(
        [
            Targets.learnt(make_labels([[0, 0, 10, 10]], classes=[2])),
            Targets.learnt(make_labels([[20, 0, 30, 10]], classes=[1]), 0.5, 0.25),
        ]
    )
    # The last but one overlaps an object by half of both, which is enough, the last one by less.
    places = [[20, 0, 30, 10], [50, 0, 60, 10], [0, 0, 10, 5], [0, 0, 10, 4]]
    sample = draw([places, places[1:2]], [targets, make_targets([])])
    by_place = {
        (i, r): n
        for n, (i, r) in enumerate(zip(sample.images.tolist(), sample.rows.tolist(), strict=True))
    }
    assert set(by_place) == {(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)}
    order = [by_place[key] for key in sorted(by_place)]
    ordered = sample.select(torch.tensor(order))
    assert ordered.classes.tolist() == [1, 3, 2, 3, 3]
    assert ordered.class_weights.tolist() == [0.5, 1, 1, 1, 1]
    assert ordered.box_weights.tolist() == [0.25, 0, 1, 0, 0]
    assert ordered.boxes[[0, 2]].tolist() == [[20, 0, 30, 10], [0, 0, 10, 10]]
    assert ordered.places.tolist() == [*places, places[1]]


def test_ignored_places_are_never_drawn():
    targets = make_targets([[0, 0, 10, 10], [20, 0, 30, 10]], classes=[None, 1])
    places = [[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 4], [20, 0, 30, 10], [40, 0, 50, 10]]
    sample = draw([places], [targets])
    # What overlaps the ignored box by less than half is background.
    assert sorted(sample.rows.tolist()) == [2, 3, 4]
    assert sample.classes[sample.rows == 3].tolist() == [1]


def test_an_object_is_drawn_from_among_what_is_ignored():
    targets = make_targets([[0, 0, 10, 10], [0, 0, 10, 8]], classes=[None, 2])
    sample = draw([[[0, 0, 10, 9]]], [targets])
    assert sample.classes.tolist() == [2]


def test_size_and_share_of_objects():
    places = [[0, 0, 10, 10]] * 20 + [[50, 0, 60, 10]] * 20
    targets = make_targets([[0, 0, 10, 10]])
    few = draw([places], [targets], size=8, positive_fraction=0.25)
    assert few.classes.tolist() == [0] * 2 + [BACKGROUND] * 6
    assert len(set(few.rows.tolist())) == 8


def test_what_teaches_a_class_alone_is_drawn_where_there_is_room():
    """As mined boxes do: they take no place from annotated ones."""
    targets = Targets.cat(
        [
            Targets.learnt(make_labels([[0, 0, 10, 10]], classes=[0])),
            Targets.learnt(make_labels([[20, 0, 30, 10]], classes=[1]), 1.0, 0.0),
        ]
    )
    annotated, mined, empty = ([[x, 0, x + 10, 10]] for x in (0, 20, 50))
    places = annotated * 3 + mined * 20 + empty * 20

    def counts(size):
        classes = draw([places], [targets], size=size, positive_fraction=0.5).classes
        return [int((classes == x).sum()) for x in (0, 1, BACKGROUND)]

    assert counts(4) == [2, 0, 2]
    assert counts(6) == [3, 0, 3]
    assert counts(16) == [3, 5, 8]
    assert counts(100) == [3, 20, 20]


def test_the_seed_decides():
    places = [[50, 0, 60, 10]] * 50
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(draw([places], [make_targets([])], size=5).rows.tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_losses_by_hand():
    """Four places of two branches; the boxes of the first two are shifted by a tenth and a half."""
    sample = Sample(
        images=torch.tensor([0, 0, 1, 1]),
        rows=torch.arange(4),
        places=torch.tensor([[0.0, 0, 10, 10]] * 4),
        classes=torch.tensor([0, 1, 2, BACKGROUND]),
        boxes=torch.tensor([[1.0, 0, 11, 10], [5, 0, 15, 10], [0, 0, 0, 0], [0, 0, 0, 0]]),
        class_weights=torch.tensor([1, 0.5, 2, 1]),
        box_weights=torch.tensor([1, 0.5, 0, 0]),
    )
    classification = torch.tensor([1.0, 2, 4, 8])
    of_classes, of_boxes = sample_losses(
        sample,
        classification,
        torch.zeros(4, 4),
        transform=Box2BoxTransform((1.0, 1.0, 1.0, 1.0)),
        kind="smooth_l1",
        smooth_l1_beta=0.0,
        branches=sample.images,
        num_branches=2,
    )
    assert of_classes.tolist() == [1 * 1 + 0.5 * 2, 2 * 4 + 1 * 8]
    # The third has no area and no weight.
    assert of_boxes.tolist() == pytest.approx([1 * 0.1 + 0.5 * 0.5, 0])
