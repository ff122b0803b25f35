"""What annotated and withheld boxes tell about detections."""

import numpy as np
import pytest

from comining.completion.evidence import ANNOTATED, NEW, WITHHELD, Evidence, gather_evidence
from comining.completion.mining import new_boxes
from comining.completion.result import advice, category_rows, summary
from comining.completion.thresholds import Chosen, calibrate, choose
from comining.engine.miner import Mined


def record(image_id, annotations, withheld=()):
    def objects(rows):
        return [{"bbox": list(box), "category_id": class_} for box, class_ in rows]

    return {
        "image_id": image_id,
        "annotations": objects(annotations),
        "withheld_annotations": objects(withheld),
    }


def mined(*rows):
    """Rows of box XYXY, class and score."""
    boxes, classes, scores = zip(*rows, strict=True) if rows else ((), (), ())
    return Mined(list(map(list, boxes)), list(classes), list(scores), [True] * len(rows))


@pytest.fixture
def evidence():
    """One object is annotated, one withheld; a second image has nothing."""
    records = [
        record(7, [((0, 0, 10, 10), 0)], [((50, 50, 10, 10), 1)]),
        record(8, []),
    ]
    return gather_evidence(
        {
            7: mined(
                ((0, 0, 10, 10), 0, 0.9),  # on the annotated one
                ((0, 0, 10, 4), 0, 0.8),  # near to it, IoU 0.4
                ((50, 50, 60, 60), 1, 0.7),  # on the withheld one
                ((50, 50, 60, 60), 0, 0.6),  # of another class
                ((20, 20, 30, 30), 1, 0.5),
            ),
            8: mined(((1, 1, 5, 5), 0, 0.4)),
        },
        records,
    )


def test_what_detections_are_near_to_and_whether_they_are_right(evidence):
    assert evidence.near.tolist() == [ANNOTATED, ANNOTATED, WITHHELD, WITHHELD, NEW, NEW]
    assert evidence.right.tolist() == [True, False, True, False, False, False]
    assert evidence.image_ids.tolist() == [7, 7, 7, 7, 7, 8]


def test_recall_is_that_of_withheld_objects(evidence):
    assert evidence.found_at.tolist() == [0.7]
    assert evidence.recall(0.7) == 1
    assert evidence.recall(0.71) == 0
    assert evidence.found(np.array([1.0, 0.5])) == 1  # the thresholds of classes 0 and 1
    assert evidence.found(np.array([0.5, 0.8])) == 0
    assert np.isnan(evidence.of_class(0).recall(0.1))


def test_without_detections_and_objects():
    nothing = gather_evidence({1: mined()}, [record(1, [])])
    assert len(nothing.scores) == 0
    assert nothing.found(np.array([0.5])) is None
    (chosen,) = choose(nothing, 1, 0.9)
    assert np.isnan(chosen.precision)
    assert np.isnan(chosen.recall)


def test_unreadable_images_are_passed_over():
    evidence = gather_evidence({1: mined()}, [record(1, []), record(2, [((0, 0, 5, 5), 0)])])
    assert len(evidence.found_at) == 0


def of_chances(kind, chances, per_score=100):
    """Evidence of one class: by score, so many of a hundred detections of a kind are right, and
    there are as many new ones of the same scores."""
    known = [(s, kind, k < chance * per_score) for s, chance in chances for k in range(per_score)]
    new = [(s, NEW, False) for s, _ in chances for _ in range(per_score)]
    scores, near, right = (np.array(x) for x in zip(*known, *new, strict=True))
    number = len(scores)
    return Evidence(
        image_ids=np.zeros(number, dtype=int),
        classes=np.zeros(number, dtype=int),
        scores=scores,
        boxes=np.zeros((number, 4)),
        near=near,
        right=right,
        found_at=scores[near == WITHHELD],
        withheld_classes=np.zeros((near == WITHHELD).sum(), dtype=int),
    )


def test_chance_is_what_withheld_objects_show():
    chances = [(0.2, 0.5), (0.5, 0.8), (0.8, 0.94)]  # their logits are 4 / 3 of a logit of 4
    calibration = calibrate(of_chances(WITHHELD, chances), 0)
    for score, chance in chances:
        assert calibration.chance(np.array([score])) == pytest.approx([chance], abs=0.02)


def test_added_is_as_much_as_is_expected_to_have_the_wanted_precision():
    chances = [(0.2, 0.5), (0.5, 0.8), (0.8, 0.94)]
    evidence = of_chances(WITHHELD, chances)
    # All down to 0.5 have a mean of 0.87, those of 0.8 alone one of 0.94; all, 0.75.
    for wanted, threshold, precision in ((0.7, 0.2, 0.74), (0.85, 0.5, 0.87), (0.9, 0.8, 0.94)):
        (chosen,) = choose(evidence, 1, wanted)
        assert chosen.threshold == threshold
        assert chosen.precision == pytest.approx(precision, abs=0.02)
        assert chosen.recall == np.mean([x[0] >= threshold for x in chances])


def test_annotated_objects_count_less_than_withheld_ones():
    """Their places were trained on: what they show may be too good."""
    good = [(0.2, 0.8), (0.5, 0.95), (0.8, 1.0)]
    believed = [
        calibrate(of_chances(x, good), 0).chance(np.array([0.5])) for x in (WITHHELD, ANNOTATED)
    ]
    assert believed[0] == pytest.approx(0.95, abs=0.02)
    assert 0.6 < believed[1] < 0.9


def test_nothing_is_added_where_nothing_is_precise():
    (chosen,) = choose(of_chances(WITHHELD, [(0.2, 0.0), (0.8, 0.1)]), 1, 0.5)
    assert chosen.threshold == np.inf
    assert np.isnan(chosen.precision)
    assert chosen.recall == 0


def test_only_new_boxes_from_the_threshold_on_are_added(evidence):
    chosen = [Chosen(0.4, 0.9, 1.0), Chosen(0.6, 0.9, 1.0)]
    added = new_boxes(evidence, chosen, [10, 20])
    assert added == {8: [{"category_id": 10, "score": 0.4, "box": [1, 1, 5, 5]}]}


def test_rows_of_categories(evidence):
    dataset = {
        "categories": [{"id": 10, "name": "a"}, {"id": 20, "name": "b"}],
        "annotations": [
            {"category_id": 10}, {"category_id": 20}, {"category_id": 20, "iscrowd": 1}
        ],
    }  # fmt: skip
    chosen = [Chosen(0.4, 0.95, np.nan), Chosen(np.inf, np.nan, 0.0)]
    assert category_rows(dataset, evidence, chosen, [10, 20]) == [
        {
            "name": "a", "annotated": 1, "added": 1, "precision": 0.95, "recall": None,
            "threshold": 0.4,
        },
        {
            "name": "b", "annotated": 1, "added": 0, "precision": None, "recall": 0.0,
            "threshold": None,
        },
    ]  # fmt: skip


def row(annotated, added, precision):
    return {"annotated": annotated, "added": added, "precision": precision}


def test_summary_weighs_the_precision_of_categories_by_what_was_added():
    rows = [row(30, 30, 0.9), row(10, 10, 0.5), row(5, 0, None)]
    assert summary(12, 45, rows, 0.75) == (
        "12 images had 45 annotated boxes; 40 were added, of which about 80% are expected to be "
        "right. Of the annotated boxes that were kept aside to measure by, 75% were found."
    )
    assert summary(1, 3, [row(3, 0, None)], None) == (
        "1 images had 3 annotated boxes; 0 were added."
    )


@pytest.mark.parametrize(
    ("added", "recall", "words"),
    [
        (50, 0.1, ""),
        (0, 0.9, "may be nearly complete"),
        (0, 0.2, "found only 20%"),
        (0, None, "too few boxes"),
    ],
)
def test_little_is_explained(added, recall, words):
    text = advice([row(100, added, None)], recall)
    assert words in text
    assert bool(text) == bool(words)
