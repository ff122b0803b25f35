"""How many objects annotations lack, by what is found of withheld ones."""

import json

import numpy as np
import pytest

from comining.completion.audit import audit, audit_folder
from comining.completion.evidence import (
    ANNOTATED,
    IMPOSSIBLE,
    NEW,
    SAMPLED,
    UNDECIDED,
    WITHHELD,
    Evidence,
)
from comining.completion.evidence_file import write_evidence
from comining.completion.folder import Folder
from comining.errors import InputError


def objects(generator, number, found, kind, class_=0, per_image=5, first=0):
    """Detections of objects, of which a share is found, and as many wrong ones of low scores.

    Returns the fields of the detections, whether they are right, and the scores that objects are
    found at.
    """
    image_ids = first + np.arange(number) // per_image
    seen = generator.random(number) < found
    good, bad = generator.beta(5, 2, number), generator.beta(2, 5, number)
    fields = {
        "image_ids": np.concatenate((image_ids[seen], image_ids)),
        "scores": np.concatenate((good[seen], bad)),
        "right": np.concatenate((np.ones(seen.sum(), dtype=bool), np.zeros(number, dtype=bool))),
    }
    size = len(fields["scores"])
    constant = {
        "classes": np.full(size, class_),
        "boxes": np.tile([0.0, 0, 10, 10], (size, 1)),
        "near": np.full(size, kind),
        "decided": np.full(size, UNDECIDED),
    }
    return {**fields, **constant}, np.where(seen, good, -1.0)


def of_objects(generator, missing=400, withheld=80, found=0.7, found_missing=None, class_=0):
    """Evidence of a class, and which of its detections are right."""
    new, _ = objects(generator, missing, found_missing or found, NEW, class_)
    known, found_at = objects(generator, withheld, found, WITHHELD, class_, first=1000)
    fields = {name: np.concatenate((new[name], known[name])) for name in new}
    truth = fields["right"]
    evidence = Evidence(
        **{**fields, "right": truth & (fields["near"] == WITHHELD)},
        found_at=found_at,
        withheld_classes=np.full(withheld, class_),
    )
    return evidence, truth


def both(*evidences):
    return Evidence(*(np.concatenate(fields) for fields in zip(*evidences, strict=True)))


def test_number_is_that_of_right_new_detections_by_the_share_found():
    """By hand: of 100 withheld objects 50 are found, at a score of 0.9; 120 new detections score so
    much and nearly all of them are right, so that there are about 240 objects."""
    number = 170
    near = np.where(np.arange(number) < 50, WITHHELD, NEW)
    evidence = Evidence(
        image_ids=np.arange(number),
        classes=np.zeros(number, dtype=int),
        scores=np.full(number, 0.9),
        boxes=np.zeros((number, 4)),
        near=near,
        right=near == WITHHELD,
        decided=np.full(number, UNDECIDED),
        found_at=np.where(np.arange(100) < 50, 0.9, -1),
        withheld_classes=np.zeros(100, dtype=int),
    )
    (row,) = audit(evidence, ["cat"], [300])
    assert (row.name, row.annotated, row.withheld, row.found) == ("cat", 300, 100, 50)
    assert row.missing == pytest.approx(240, rel=0.03)
    # The share found deviates by 0.05, a 10th of it; for 90 %, 1.64 times that to both sides.
    assert row.low == pytest.approx(240 - 39, rel=0.07)
    assert row.high == pytest.approx(240 + 39 + 7, rel=0.07)
    # Were each object detected twice, there were half as many.
    twice = both(evidence, evidence)._replace(
        image_ids=np.tile(evidence.image_ids, 2),
        found_at=evidence.found_at,
        withheld_classes=evidence.withheld_classes,
        near=np.concatenate((near, np.where(near == NEW, -1, near))),
    )
    assert audit(twice, ["cat"], [300])[0].missing == pytest.approx(120, rel=0.03)


def test_that_nothing_new_scores_as_much_as_withheld_ones_does_not_mean_that_nothing_is_missing():
    """100 of 400 withheld objects score above 0.9, and no new one, of which 300 score 0.6."""
    generator = np.random.default_rng(0)
    found_at = np.linspace(0.55, 0.98, 400)
    near = np.repeat([WITHHELD, NEW], [400, 300])
    evidence = Evidence(
        image_ids=np.arange(700),
        classes=np.zeros(700, dtype=int),
        scores=np.concatenate((found_at, generator.uniform(0.55, 0.65, 300))),
        boxes=np.zeros((700, 4)),
        near=near,
        right=near == WITHHELD,
        decided=np.full(700, UNDECIDED),
        found_at=found_at,
        withheld_classes=np.zeros(400, dtype=int),
    )
    (row,) = audit(evidence, ["cat"], [4000])
    assert row.low < 300 < row.high
    assert row.missing == pytest.approx(300, rel=0.05)


def test_interval_holds_the_true_number_about_as_often_as_it_says():
    rows = []
    for seed in range(50):
        evidence, _ = of_objects(np.random.default_rng(seed))
        rows += audit(evidence, ["cat"], [900])
    inside = [x.low <= 400 <= x.high for x in rows]
    assert sum(inside) >= 40
    assert np.mean([x.missing for x in rows]) == pytest.approx(400, rel=0.05)
    assert np.mean([x.high - x.low for x in rows]) < 200  # it tells something
    assert sum(x.is_consistent for x in rows) >= 45


def test_what_is_seen_of_objects_that_were_trained_on_changes_nothing():
    """They score more than others do, so that what scores little there is wrong more often."""
    evidence, _ = of_objects(np.random.default_rng(0))
    near, _ = objects(np.random.default_rng(1), 900, 0.95, ANNOTATED)
    learnt = Evidence(**near, found_at=np.empty(0), withheld_classes=np.empty(0, dtype=int))
    assert audit(both(evidence, learnt), ["cat"], [900]) == audit(evidence, ["cat"], [900])


def test_where_what_is_missing_scores_lower_that_is_said(completed, command_line):
    evidence, _ = of_objects(np.random.default_rng(1), missing=800, withheld=200)
    fainter = np.where(evidence.near == NEW, 0.6 * evidence.scores, evidence.scores)
    evidence = evidence._replace(scores=fainter)
    (row,) = audit(evidence, ["cat"], [900])
    assert not row.is_consistent
    write_evidence(completed, evidence, json.loads(completed.annotations.read_text()), [3])
    told = command_line("audit", completed.path).stdout
    assert "cat: what was found beside the annotations scores lower" in told
    assert f"comining review {completed.path} --sample 40" in told
    (completed.path / "sample.json").write_text("[]")
    assert "--sample" not in command_line("audit", completed.path).stdout


def test_where_the_detector_errs_on_empty_ground_a_review_tells_it():
    errors, widths = {False: [], True: []}, {False: [], True: []}
    for seed in range(10):
        generator = np.random.default_rng(seed)
        evidence, truth = of_objects(generator)
        new = np.flatnonzero(evidence.near == NEW)
        # A third of the right new ones are none: what is drawn there looks like an object.
        truth = truth & ~((evidence.near == NEW) & (generator.random(len(truth)) < 1 / 3))
        sample = generator.permutation(new[evidence.scores[new] >= 0.15])[:100]
        right, decided = evidence.right.copy(), evidence.decided.copy()
        right[sample], decided[sample] = truth[sample], SAMPLED
        reviewed = evidence._replace(right=right, decided=decided)
        for is_reviewed, x in ((False, evidence), (True, reviewed)):
            (row,) = audit(x, ["cat"], [900])
            errors[is_reviewed].append(row.missing / (400 * 2 / 3) - 1)
            widths[is_reviewed].append(row.high - row.low)
    assert np.mean(errors[False]) == pytest.approx(0.5, abs=0.1)
    assert abs(np.mean(errors[True])) < 0.15


def test_what_is_harder_to_see_is_missed_so_that_the_number_is_a_lower_bound():
    evidence, _ = of_objects(np.random.default_rng(1), found=0.8, found_missing=0.4)
    (row,) = audit(evidence, ["cat"], [900])
    assert row.missing == pytest.approx(200, rel=0.15)
    assert row.high < 400


def test_what_cannot_be_known_is_said():
    generator = np.random.default_rng(0)
    known, _ = of_objects(generator)
    rare, _ = of_objects(generator, withheld=20, found=0.05, found_missing=0.5, class_=1)
    none, _ = of_objects(generator, withheld=0, class_=2)
    rows = audit(both(known, rare, none), ["cat", "dog", "emu"], [900, 50, 4])
    assert [x.name for x in rows] == ["cat", "dog", "emu"]  # nothing to be summed up
    assert [x.missing is None for x in rows] == [False, True, True]
    assert rows[0].why_unknown == ""
    assert "of the 20 withheld boxes" in rows[1].why_unknown
    assert rows[2].why_unknown == "no box was withheld to measure by"


def test_sum_of_categories_is_surer_than_each():
    generator = np.random.default_rng(0)
    pair = [of_objects(generator, class_=x)[0] for x in (0, 1)]
    cat, dog, together = audit(both(*pair), ["cat", "dog"], [900, 100])
    assert (together.name, together.annotated, together.withheld) == ("all", 1000, 160)
    assert together.missing == pytest.approx(cat.missing + dog.missing)
    width = together.high - together.low
    assert width < 0.85 * (cat.high - cat.low + dog.high - dog.low)


@pytest.fixture
def completed(tmp_path):
    """As far as an audit reads it, the folder of a completion."""
    evidence, _ = of_objects(np.random.default_rng(1))
    images = [
        {"id": int(x), "file_name": f"{x}.png", "width": 64, "height": 48}
        for x in np.unique(evidence.image_ids)
    ]
    box = {"bbox": [20, 20, 10, 10], "area": 100, "iscrowd": 0}
    dataset = {
        "images": images,
        "annotations": [{"id": 7, "image_id": 0, "category_id": 3, **box}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    folder = Folder(tmp_path / "done")
    folder.path.mkdir()
    source = {"images": "/my photos", "annotations": "/half.json", "listed_only": False}
    folder.source.write_text(json.dumps(source))
    folder.annotations.write_text(json.dumps(dataset))
    write_evidence(folder, evidence, dataset, [3])
    return folder


def test_command_prints_a_table(completed, command_line):
    (row,) = audit_folder(completed.path)
    assert row.low < 400 < row.high
    done = command_line("audit", completed.path)
    assert done.exit_code == 0, done.output
    line = next(x for x in done.stdout.splitlines() if x.split()[0] == "cat")
    assert line.split()[:3] == ["cat", "1", f"{row.missing:.0f}"]
    assert "more are missing" in done.stdout
    (read,) = json.loads(command_line("audit", completed.path, "--json").stdout)
    assert read == {**row._asdict(), "why_unknown": ""}


def test_what_is_finished_is_told(completed, command_line):
    dataset = json.loads(completed.annotations.read_text())
    assert "images finished" not in command_line("audit", completed.path).stdout
    number = len(dataset["images"])
    for image in dataset["images"][: number // 4]:
        image["exhaustive_category_ids"] = "all"
    completed.annotations.write_text(json.dumps(dataset))
    (row,) = audit_folder(completed.path)
    assert row.finished == (number // 4) / number
    told = command_line("audit", completed.path).stdout.splitlines()
    assert told[0].endswith("images finished")
    assert told[2].endswith(f"{row.finished:.0%}")


def test_nothing_is_missing_where_a_category_is_complete():
    """Were all new detections in finished images, none would count."""
    evidence, _ = of_objects(np.random.default_rng(1))
    finished = evidence._replace(near=np.where(evidence.near == NEW, IMPOSSIBLE, evidence.near))
    (row,) = audit(finished, ["cat"], [900])
    assert (row.missing, row.low) == (0, 0)
    assert row.high <= 1  # that wasn't found


def test_folder_of_something_else_is_named(tmp_path, command_line):
    done = command_line("audit", tmp_path)
    assert done.exit_code == 2
    assert f"{tmp_path} is not what `comining complete` wrote: it has no source.json" in done.stderr


def test_folder_of_a_completion_that_has_not_finished_is_named(completed, command_line):
    completed.evidence.unlink()
    done = command_line("audit", completed.path)
    assert done.exit_code == 2
    assert done.stderr == (
        f"error: the completion in {completed.path} hasn't finished: wait, if it is running, or "
        "give its command again, which goes on where it stopped: comining complete "
        f"'/my photos' /half.json --output {completed.path} (and the other options that it had)\n"
    )


def test_evidence_that_is_broken_is_named(completed):
    completed.evidence.write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"evidence\.npz can't be read: the `comining complete`"):
        audit_folder(completed.path)


def decide(folder, *decisions, key="k"):
    proposals = {x["id"]: x for x in json.loads(folder.proposals.read_text())}
    with folder.decisions.open("a") as file:
        for number, (id_, action) in enumerate(decisions):
            x = proposals[id_]
            record = {
                "key": f"{key}{number}", "action": action, "id": id_, "was": x["bbox"],
                "image_id": x["image_id"], "time": "2026-03-01T12:00:00Z",
            }  # fmt: skip
            file.write(json.dumps(record) + "\n")


def test_decisions_on_a_drawn_sample_are_evidence_and_others_are_not(completed):
    before = audit_folder(completed.path)
    ids = [x["id"] for x in json.loads(completed.proposals.read_text())]
    decide(completed, *[(x, "reject") for x in ids[::4]])
    (unasked,) = audit_folder(completed.path)
    # Of a second sample, which was opened, too, nothing is judged.
    completed.sample.write_text(json.dumps([ids[::4], ids[1::2]]))
    (sampled,) = audit_folder(completed.path)
    # What was rejected is not missing; the rest is as likely as ever, unless it was a sample.
    assert before[0].missing > unasked.missing > 0.6 * before[0].missing
    assert sampled.missing < 0.4 * before[0].missing


def test_decisions_about_something_else_are_not_used(completed, command_line):
    (before,) = audit_folder(completed.path)
    first = json.loads(completed.proposals.read_text())[0]
    decide(completed, (first["id"], "reject"))
    text = completed.decisions.read_text()
    completed.decisions.write_text(text.replace('"was": [', '"was": [5'))
    told = []
    assert audit_folder(completed.path, told.append) == [before]
    assert "another version" in told[0]
