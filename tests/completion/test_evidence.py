"""What annotated and withheld boxes tell about detections."""

import numpy as np
import pytest

from comining.annotations.known import known_of
from comining.completion.calibration import calibrate
from comining.completion.evidence import (
    ANNOTATED,
    DECIDED,
    IGNORED,
    IMPOSSIBLE,
    NEW,
    SAMPLED,
    UNDECIDED,
    WITHHELD,
    Evidence,
)
from comining.completion.evidence_file import new_boxes, proposal_ids
from comining.completion.gathering import gather_evidence
from comining.completion.result import advice, category_rows, summary
from comining.completion.thresholds import Chosen, choose, is_added
from comining.completion.work import withhold
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


def test_what_cannot_be_is_no_proposal():
    """In the first image class 1 is complete, and there is a region of class 0, then one of all."""
    known = {
        **record(7, [((0, 0, 10, 10), 0)]),
        "exhaustive": [],
        "absent": [1],
        "ignored_regions": [{"bbox": [40, 40, 20, 20], "category_id": 0}],
    }
    of_all = {"ignored_regions": [{"bbox": [40, 40, 20, 20], "category_id": None}]}
    found = mined(
        ((0, 0, 10, 10), 1, 0.9),  # near to the annotated one
        ((20, 20, 30, 30), 1, 0.8),
        ((20, 20, 30, 30), 0, 0.7),
        ((50, 50, 60, 60), 0, 0.6),
        ((50, 50, 60, 60), 2, 0.5),
    )
    evidence = gather_evidence({7: found, 8: found}, [known, {**record(8, []), **of_all}])
    assert evidence.near.tolist() == [
        ANNOTATED, IMPOSSIBLE, NEW, IGNORED, NEW, NEW, NEW, NEW, IGNORED, IGNORED,
    ]  # fmt: skip
    assert evidence.is_proposal.tolist() == [x == NEW for x in evidence.near]


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
        image_ids=np.arange(number),
        classes=np.zeros(number, dtype=int),
        scores=scores,
        boxes=np.zeros((number, 4)),
        near=near,
        right=right,
        decided=np.full(number, UNDECIDED),
        found_at=scores[near == WITHHELD],
        withheld_classes=np.zeros((near == WITHHELD).sum(), dtype=int),
    )


def test_chance_is_what_withheld_objects_show():
    chances = [(0.2, 0.5), (0.5, 0.8), (0.8, 0.94)]  # their logits are 4 / 3 of a logit of 4
    calibration = calibrate(of_chances(WITHHELD, chances), 0)
    for score, chance in chances:
        assert calibration.chance(np.array([score])) == pytest.approx([chance], abs=0.02)


def test_where_higher_scores_are_wrong_more_often_all_have_the_chance_of_all():
    evidence = of_chances(WITHHELD, [(0.1, 0.95), (0.2, 0.8), (0.3, 0.6)])
    calibration = calibrate(evidence, 0)
    assert calibration.slope == 0
    assert calibration.chance(np.array([0.5])) == pytest.approx([2.35 / 3], abs=0.01)


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


def judge(evidence, rows, right, how=SAMPLED):
    decided, verdicts = evidence.decided.copy(), evidence.right.copy()
    decided[rows], verdicts[rows] = how, right
    return evidence._replace(decided=decided, right=verdicts)


def test_what_is_decided_stays_so_at_any_threshold():
    evidence = of_chances(WITHHELD, [(0.2, 0.5), (0.8, 0.94)])
    low, high = (
        np.flatnonzero((evidence.near == NEW) & (evidence.scores == x)) for x in (0.2, 0.8)
    )
    evidence = judge(evidence, low[:3], True, DECIDED)
    evidence = judge(evidence, high[:10], False, DECIDED)
    (chosen,) = choose(evidence, 1, 0.9)
    assert chosen.threshold == 0.8
    added = is_added(evidence, [chosen.threshold])
    assert set(np.flatnonzero(added)) == {*low[:3], *high[10:]}
    # 90 of 94 % and three that are certain.
    assert chosen.precision == pytest.approx((90 * 0.94 + 3) / 93, abs=0.02)
    (nothing_more,) = choose(evidence, 1, 1.0)
    assert (nothing_more.threshold, nothing_more.precision) == (np.inf, 1.0)


def test_a_judged_sample_corrects_what_withheld_objects_show():
    """On empty ground the detector errs, of which withheld objects show nothing."""
    evidence = of_chances(WITHHELD, [(0.2, 0.5), (0.5, 0.8), (0.8, 0.94)])
    new = np.flatnonzero(evidence.near == NEW)
    sample = new[::6]
    judged = judge(evidence, sample, np.arange(len(sample)) % 2 == 0)
    before, after = (
        calibrate(x, 0).chance(evidence.scores[new]).mean() for x in (evidence, judged)
    )
    assert before == pytest.approx(0.75, abs=0.02)
    assert after == pytest.approx(0.5, abs=0.03)
    # The mean of 50 % by 50 judged ones and of 75 % by others that count as 20.
    # Who decides about some as they come may choose those that are wrong.
    unasked = judge(evidence, sample, False, DECIDED)
    assert calibrate(unasked, 0).chance(evidence.scores[new]).mean() == pytest.approx(before)


def test_interval_of_the_precision_is_narrower_with_more_evidence():
    chances = [(0.2, 0.5), (0.5, 0.8), (0.8, 0.94)]
    few, many = (choose(of_chances(WITHHELD, chances, x), 1, 0.7)[0] for x in (20, 400))
    for chosen in (few, many):
        assert chosen.precision_low < chosen.precision < chosen.precision_high
    # 1200 known and 1200 new ones deviate by the root of 2 * 0.75 * 0.25 / 1200 = 0.018; for 90 %
    # of a normal distribution, 1.64 times that to both sides. Of a 20th, 4.5 times as much.
    assert many.precision_high - many.precision_low == pytest.approx(0.058, rel=0.15)
    assert few.precision_high - few.precision_low == pytest.approx(0.26, rel=0.15)


def simulated(generator, images=60, missing=300, withheld=60):
    """A class of objects that the detector finds with scores of 0.05 to 1, and errors near them.

    Each object is detected once, right by a chance of its score. Of the missing ones as many as of
    the withheld ones are found.
    """
    scores = generator.uniform(0.05, 1, missing + withheld)
    near = np.where(np.arange(missing + withheld) < missing, NEW, WITHHELD)
    right = generator.random(missing + withheld) < 1 / (1 + ((1 - scores) / scores) ** 1.5)
    seen = generator.random(missing + withheld) < 0.8
    found_at = np.where(seen & right, scores, -1)[near == WITHHELD]
    fields = {
        "image_ids": generator.integers(0, images, missing + withheld),
        "classes": np.zeros(missing + withheld, dtype=int),
        "scores": scores,
        "boxes": np.zeros((missing + withheld, 4)),
        "near": near,
        "right": right,
        "decided": np.full(missing + withheld, UNDECIDED),
    }
    evidence = Evidence(
        **{name: x[seen] for name, x in fields.items()},
        found_at=found_at,
        withheld_classes=np.zeros(withheld, dtype=int),
    )
    return evidence, right[seen]


def test_interval_holds_the_true_precision_about_as_often_as_it_says():
    inside, errors = 0, []
    for seed in range(50):
        evidence, truth = simulated(np.random.default_rng(seed))
        hidden = evidence._replace(right=truth & (evidence.near == WITHHELD))
        (chosen,) = choose(hidden, 1, 0.9)
        true = truth[is_added(hidden, [chosen.threshold])].mean()
        inside += chosen.precision_low <= true <= chosen.precision_high
        errors.append(true - chosen.precision)
    assert 41 <= inside <= 50
    assert -0.01 < np.mean(errors) < 0.05  # rather a bit careful


def test_nothing_is_added_where_nothing_is_precise():
    (chosen,) = choose(of_chances(WITHHELD, [(0.2, 0.0), (0.8, 0.1)]), 1, 0.5)
    assert chosen.threshold == np.inf
    assert np.isnan(chosen.precision)
    assert chosen.recall == 0


def test_only_new_boxes_from_the_threshold_on_are_added(evidence):
    ids = proposal_ids(evidence, {"annotations": [{"id": 4}, {}]})
    assert ids.tolist() == [-1, -1, -1, -1, 5, 6]
    added = new_boxes(evidence, is_added(evidence, [0.4, 0.6]), ids, [10, 20])
    assert added == {8: [{"id": 6, "category_id": 10, "score": 0.4, "box": [1, 1, 5, 5]}]}


def test_rows_of_categories(evidence):
    dataset = {
        "images": [{"id": 7, "neg_category_ids": [20]}, {"id": 8}],
        "categories": [{"id": 10, "name": "a"}, {"id": 20, "name": "b"}],
        "annotations": [
            {"image_id": 7, "category_id": 10},
            {"image_id": 8, "category_id": 20},
            {"image_id": 8, "category_id": 20, "bbox": [0, 0, 1, 1], "iscrowd": 1},
        ],
    }
    chosen = [Chosen(0.4, 0.95, np.nan, 0.9, 1.0, 0.97), Chosen(np.inf, np.nan, 0.0)]
    assert category_rows(dataset, evidence, chosen, [10, 20]) == [
        {
            "name": "a", "annotated": 1, "finished": 0, "added": 1, "precision": 0.95,
            "precision_low": 0.9, "precision_high": 1.0, "recall": None, "threshold": 0.4,
            "best": 0.97,
        },
        {
            "name": "b", "annotated": 1, "finished": 0.5, "added": 0, "precision": None,
            "precision_low": None, "precision_high": None, "recall": 0.0, "threshold": None,
            "best": None,
        },
    ]  # fmt: skip


def row(annotated, added, precision, threshold=0.5):
    return {
        "annotated": annotated, "added": added, "precision": precision, "threshold": threshold
    }  # fmt: skip


def test_summary_weighs_the_precision_of_categories_by_what_was_added():
    rows = [row(30, 30, 0.9), row(10, 10, 0.5), row(5, 0, None)]
    assert summary(12, 45, rows, 0.75) == (
        "12 images had 45 annotated boxes; 40 boxes were added, of which about 80% are expected to "
        "be right. Of the annotated boxes that were withheld to measure by, 75% were found."
    )
    assert summary(1, 3, [row(3, 0, None)], None) == (
        "1 image had 3 annotated boxes; 0 boxes were added."
    )
    # No score is sure enough, but 4 boxes were accepted.
    assert summary(12, 45, [row(45, 4, 1.0, threshold=None)], 0.0) == (
        "12 images had 45 annotated boxes; 4 boxes were added, those that you accepted."
    )


@pytest.mark.parametrize(
    ("finished", "of_categories", "words"),
    [
        (0.25, (0.25, 0.25), " 25% of the images were finished before, to which nothing was added"),
        (0.25, (0.25, 0.5), ", to which nothing was added, nor to others the categories that were"),
        (0.0, (0.0, 0.0), "0 boxes were added"),
    ],
)
def test_summary_tells_what_was_finished(finished, of_categories, words):
    rows = [{**row(5, 0, None), "finished": x} for x in of_categories]
    assert summary(8, 10, rows, None, finished).endswith(f"{words}.")


@pytest.mark.parametrize(
    ("added", "recall", "words"),
    [
        (50, 0.4, ""),
        (50, None, ""),
        (50, 0.15, "Little was found: with the wanted precision, 15% of the withheld boxes"),
        (0, 0.9, "may be nearly complete"),
        (0, 0.2, "20% of the withheld boxes"),
        (0, None, "too few boxes"),
    ],
)
def test_little_is_explained(added, recall, words):
    text = advice([row(100, added, None)], recall)
    assert words in text
    assert bool(text) == bool(words)


def test_categories_of_which_nothing_was_added_are_named():
    rows = [
        {**row(100, 50, 0.9), "name": "car"},
        {**row(32, 0, None, threshold=None), "name": "bus"},
        {**row(9, 0, None), "name": "tram", "finished": 1.0},
        {**row(0, 0, None), "name": "cyclist"},
    ]
    assert advice(rows, 0.8).startswith("Nothing was added of bus: more time (--minutes)")
    assert advice(rows[::2], 0.8) == ""


def test_where_no_score_reaches_the_wanted_precision_it_is_told_what_does():
    evidence = of_chances(WITHHELD, [(0.2, 0.5), (0.8, 0.84)])
    dataset = {
        "images": [{"id": 0}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"image_id": 0, "category_id": 1}],
    }
    for wanted, words in (
        (
            0.9,
            "of the boxes that could be added at most 83% are expected to be right. --precision "
            "0.83 would",
        ),
        (0.8, ""),
    ):
        rows = category_rows(dataset, evidence, choose(evidence, 1, wanted), [1])
        assert words in advice(rows, 0.5)
        assert bool(words) == bool(advice(rows, 0.5))


@pytest.mark.parametrize(("in_finished", "kept"), [(20, {1}), (30, set())])
def test_boxes_are_withheld_from_finished_images_only_where_most_of_them_are(in_finished, kept):
    image_ids = [1] * in_finished + [2] * 25
    dataset = {
        "images": [
            {"id": 1, "exhaustive_category_ids": "all", "file_name": "1.png"},
            {"id": 2, "file_name": "2.png"},
        ],
        "annotations": [
            {"id": i, "image_id": x, "category_id": 5, "bbox": [0, 0, 9, 9], "iscrowd": 0}
            for i, x in enumerate(image_ids)
        ],
        "categories": [{"id": 5, "name": "cat"}],
    }
    training = withhold(dataset, "all.json")
    assert len(training["annotations"]) < len(image_ids)
    assert known_of(training).finished([5]) == kept
