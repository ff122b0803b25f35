"""What annotated and withheld boxes tell about detections."""

import numpy as np
import pytest

from comining.completion.evidence import ANNOTATED, NEW, WITHHELD, gather_evidence
from comining.completion.mining import new_boxes
from comining.completion.result import advice, category_rows, summary
from comining.completion.thresholds import Chosen, choose
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
    assert chosen.threshold == np.inf


def test_unreadable_images_are_passed_over():
    evidence = gather_evidence({1: mined()}, [record(1, []), record(2, [((0, 0, 5, 5), 0)])])
    assert len(evidence.found_at) == 0


def of_scores(right_from, number=200):
    """Evidence of one class: each annotated object is detected, rightly from a score on, and as
    many new places are."""
    scores = np.linspace(0.2, 0.99, number)
    records, found = [], {}
    for image_id, score in enumerate(scores.tolist()):
        right = score >= right_from
        records.append(record(image_id, [((0, 0, 10, 10), 0)]))
        near = (0, 0, 10, 10) if right else (0, 0, 10, 4)
        found[image_id] = mined((near, 0, score), ((50, 50, 60, 60), 0, score))
    return gather_evidence(found, records)


def test_threshold_is_where_known_objects_show_the_wanted_precision():
    (chosen,) = choose(of_scores(0.6), 1, 0.9)
    # Of the detections near to objects that score t or more, (0.99 - 0.6) / (0.99 - t) are right,
    # which is 0.9 at t = 0.557, less what speaks for nothing being right.
    assert 0.55 < chosen.threshold < 0.63
    assert chosen.precision >= 0.9
    (strict,) = choose(of_scores(0.6), 1, 0.97)
    assert strict.threshold >= chosen.threshold


def test_nothing_is_added_where_nothing_is_precise():
    (chosen,) = choose(of_scores(1.0), 1, 0.5)
    assert chosen.threshold == np.inf
    assert np.isnan(chosen.precision)


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
