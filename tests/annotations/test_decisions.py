import json

import pytest

from comining.annotations.accepted import apply_decisions
from comining.annotations.decisions import Decisions, parse_decisions, read_decisions
from comining.annotations.ids import numbered
from comining.annotations.known import known_of
from comining.errors import InputError

TIME = "2026-03-01T12:00:00.123Z"


def annotation(id_, image_id, bbox, score=None, **fields):
    record = {"id": id_, "image_id": image_id, "category_id": 3, "bbox": bbox, **fields}
    return record if score is None else {**record, "origin": "mined", "score": score}


@pytest.fixture
def dataset():
    return {
        "info": {"mined": {"weights": "w.pth"}},
        "images": [
            {"id": 1, "file_name": "1.png", "width": 100, "height": 80},
            {"id": 2, "file_name": "2.png", "width": 100, "height": 80},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            annotation(1, 1, [10, 10, 20, 20], segmentation=[[10, 10, 30, 10, 30, 30]], area=200),
            annotation(2, 1, [40, 10, 20, 20], score=0.9, area=400),
            annotation(3, 1, [70, 10, 20, 20], score=0.8, area=400),
            annotation(4, 2, [10, 40, 20, 20], score=0.7, area=400),
        ],
    }


def decision(key, action, image_id=1, **fields):
    return {"key": key, "action": action, "image_id": image_id, "time": TIME, **fields}


def on_box(key, action, id_, dataset, **fields):
    (box,) = (x for x in dataset["annotations"] if x["id"] == id_)
    return decision(key, action, box["image_id"], id=id_, was=box["bbox"], **fields)


def drawn(key, id_, **fields):
    return decision(key, "add", **{"id": id_, "bbox": [5, 50, 9.5, 4], "category_id": 7, **fields})


def made(dataset, *records):
    decisions = Decisions(dataset)
    for record in records:
        decisions.add(record)
    return decisions


def applied(dataset, *records, **options):
    result = apply_decisions(dataset, made(dataset, *records), **options)
    return {x["id"]: x for x in result["annotations"]}, result


def test_accepted_boxes_lose_their_marks_and_rejected_ones_go(dataset):
    boxes, result = applied(
        dataset,
        on_box("k1", "accept", 2, dataset),
        on_box("k2", "reject", 3, dataset),
        on_box("k3", "reject", 1, dataset),
    )
    assert boxes == {
        2: {"id": 2, "image_id": 1, "category_id": 3, "bbox": [40, 10, 20, 20], "area": 400}
    }
    assert result["info"]["mined"] == {"weights": "w.pth"}
    assert {k: v for k, v in result["info"]["reviewed"].items() if v} == {
        "mined, accepted": 1,
        "mined, rejected": 1,
        "annotated, deleted": 1,
        "mined, not reviewed: left out": 1,
    }


def test_boxes_without_a_decision(dataset):
    boxes, result = applied(dataset, on_box("k1", "reject", 3, dataset))
    assert list(boxes) == [1]
    assert result["info"]["reviewed"]["mined, not reviewed: left out"] == 2
    boxes, result = applied(dataset, on_box("k1", "reject", 3, dataset), keep_unreviewed=True)
    assert list(boxes) == [1, 2, 4]
    assert (boxes[4]["origin"], boxes[4]["score"]) == ("mined", 0.7)
    assert result["info"]["reviewed"]["mined, not reviewed: kept as mined"] == 2


def test_changes_add_up_and_the_last_verdict_counts(dataset):
    boxes, result = applied(
        dataset,
        on_box("k1", "change", 2, dataset, category_id=7),
        on_box("k2", "reject", 2, dataset),
        on_box("k3", "change", 2, dataset, bbox=[40.5, 10, 20.04, 25]),
    )
    assert boxes[2] == {
        "id": 2, "image_id": 1, "category_id": 7, "bbox": [40.5, 10, 20.04, 25], "area": 501.0
    }  # fmt: skip
    assert result["info"]["reviewed"]["mined, accepted with changes"] == 1


def test_outline_goes_when_its_box_is_moved_only(dataset):
    boxes, _ = applied(dataset, on_box("k1", "change", 1, dataset, category_id=7))
    assert boxes[1]["segmentation"] == [[10, 10, 30, 10, 30, 30]]
    assert boxes[1]["area"] == 200
    boxes, _ = applied(dataset, on_box("k1", "change", 1, dataset, bbox=[9, 10, 20, 20]))
    assert "segmentation" not in boxes[1]
    assert boxes[1]["area"] == 400


def test_drawn_boxes_get_free_ids(dataset):
    boxes, result = applied(
        dataset,
        drawn("k1", "box-a"),
        drawn("k2", "box-b"),
        drawn("k3", "box-c", category_id=3),
        decision("k4", "reject", id="box-b"),
        decision("k5", "change", id="box-c", bbox=[6, 50, 10, 4]),
    )
    assert boxes[5] == {
        "id": 5, "image_id": 1, "category_id": 7, "bbox": [5, 50, 9.5, 4], "area": 38.0,
        "iscrowd": 0,
    }  # fmt: skip
    assert (boxes[6]["bbox"], boxes[6]["category_id"]) == ([6, 50, 10, 4], 3)
    assert 7 not in boxes
    assert result["info"]["reviewed"]["drawn"] == 2


def test_what_was_undone_does_not_count(dataset):
    boxes, result = applied(
        dataset,
        on_box("k1", "accept", 2, dataset),
        on_box("k2", "reject", 2, dataset),
        decision("k3", "undo", of="k2"),
        drawn("k4", "box-a"),
        decision("k5", "change", id="box-a", category_id=3),
        decision("k6", "undo", of="k4"),  # the drawing itself: its change is void
        decision("k7", "finish", 2),
        decision("k8", "finish", 1),
        decision("k9", "undo", 2, of="k7"),
    )
    assert sorted(boxes) == [1, 2]
    assert [x.get("finished", False) for x in result["images"]] == [True, False]
    assert result["info"]["reviewed"]["images finished"] == 1


def test_input_is_not_changed(dataset):
    before = json.dumps(dataset)
    applied(dataset, on_box("k1", "change", 1, dataset, bbox=[9, 10, 20, 20]), drawn("k2", "a"))
    assert json.dumps(dataset) == before


def test_decision_that_comes_twice_counts_once(dataset):
    decisions = Decisions(dataset)
    assert decisions.add(drawn("k1", "box-a"))
    assert not decisions.add(drawn("k1", "box-a"))
    assert len(decisions.records) == 1


BOX = {"id": 2, "was": [40, 10, 20, 20]}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "is no decision"),
        ([1], "is no decision"),
        ({}, "has the key None"),
        (decision("a b", "accept", **BOX), "has the key 'a b'"),
        (decision("k" * 65, "accept", **BOX), "has the key 'kkk"),
        (decision("k", "delete", **BOX), "has the action 'delete', not one of accept, reject"),
        (decision("k", ["accept"], **BOX), "has the action"),
        (decision("k", "accept", 9, **BOX), "has the image_id 9, which the data set lacks"),
        (decision("k", "accept", True, **BOX), "has the image_id True"),
        (decision("k", "accept", 2, **BOX), "about an annotation 2 that image 2 lacks"),
        (decision("k", "accept", **{**BOX, "id": 99}), "about an annotation 99 that image 1 lacks"),
        (decision("k", "accept", **{**BOX, "id": [2]}), "about an annotation"),
        (decision("k", "accept", id="box-a"), "a box 'box-a' that nobody drew in 1"),
        (decision("k", "accept", id=2), "has 'was' "),
        (decision("k", "accept", id=2, was=[40, 10.2, 20, 20]), "another version of the data set"),
        (decision("k", "accept", **BOX, bbox=[1, 1, 9, 9]), "has 'bbox', which 'accept' has not"),
        (decision("k", "change", **BOX), "lacks a bbox or a category_id"),
        (decision("k", "change", **BOX, category_id=4), "has the category_id 4"),
        (decision("k", "change", **BOX, category_id=[3]), "has the category_id"),
        (decision("k", "change", **BOX, bbox=[1, 1, 9]), "has the bbox"),
        (decision("k", "change", **BOX, bbox=[1, 1, 0, 9]), "has the bbox"),
        (decision("k", "change", **BOX, bbox=[-1, 1, 9, 9]), "has the bbox"),
        (decision("k", "change", **BOX, bbox=[95, 1, 9, 9]), "has the bbox"),
        (decision("k", "change", **BOX, bbox=[1, 1, float("nan"), 9]), "has the bbox"),
        (decision("k", "change", **BOX, bbox=[1, 1, float("inf"), 9]), "has the bbox"),
        (decision("k", "change", **BOX, bbox=[1, 1, "9", 9]), "has the bbox"),
        (decision("k", "add", id=5, bbox=[1, 1, 9, 9], category_id=3), "a new short text"),
        (decision("k", "add", id="a", bbox=[1, 1, 9, 9]), "lacks a bbox or a category_id"),
        (decision("k", "undo", of="k9"), "undoes 'k9', which is no earlier decision"),
        (decision("k", "undo", of=["k9"]), "which is no earlier decision"),
        ({**decision("k", "finish"), "time": "today"}, "has the time 'today'"),
        ({**decision("k", "finish"), "time": 5}, "has the time 5"),
    ],
)
def test_what_is_no_decision_about_this_data_set(dataset, record, message):
    decisions = Decisions(dataset)
    with pytest.raises(InputError) as raised:
        decisions.add(record)
    assert message in str(raised.value)
    assert decisions.records == []


def test_rounding_of_the_page_is_allowed_for(dataset):
    dataset["annotations"][1]["bbox"] = [40.04, 10.0, 20.0, 20.0]
    record = decision("k", "change", id=2, was=[40.0, 10, 20, 20], bbox=[80.1, 60, 20, 20])
    assert made(dataset, record).records == [record]


def test_numbered_gives_each_annotation_an_id_of_its_own(dataset):
    without = {k: v for k, v in dataset["annotations"][0].items() if k != "id"}
    dataset["annotations"] += [without, {**without, "id": 2}]
    assert [x["id"] for x in numbered(dataset["annotations"])] == [1, 2, 3, 4, 5, 6]
    assert "id" not in without


def lines(*records):
    return "".join(f"{json.dumps(x)}\n" for x in records).encode()


@pytest.mark.parametrize("torn", [b'{"key":"k2","act', b"\0\0\0", b"{", b"12", b"\xff\xfe"])
def test_last_line_that_was_written_in_part_is_left_out(dataset, torn):
    content = lines(on_box("k1", "accept", 2, dataset))
    decisions, length = parse_decisions(content + torn, dataset, "file")
    assert [x["key"] for x in decisions.records] == ["k1"]
    assert length == len(content)


def test_last_line_that_lacks_only_its_end_counts(dataset):
    content = lines(on_box("k1", "accept", 2, dataset))[:-1]
    decisions, length = parse_decisions(content, dataset, "file")
    assert len(decisions.records) == 1
    assert length == len(content)


def test_wrong_lines_are_named(dataset, tmp_path):
    path = tmp_path / "decisions.jsonl"
    good = on_box("k1", "accept", 2, dataset)
    path.write_bytes(lines(good) + b"{\n" + lines(good))
    with pytest.raises(InputError, match=r"decisions\.jsonl, line 2 is not JSON"):
        read_decisions(path, dataset)
    path.write_bytes(lines(good, {**good, "key": "k2", "was": [0, 0, 5, 5]}))
    with pytest.raises(InputError, match=r"decisions\.jsonl, line 2: the decision k2 is about an"):
        read_decisions(path, dataset)
    with pytest.raises(InputError, match=r"absent can't be read"):
        read_decisions(tmp_path / "absent", dataset)


def test_finished_images_are_exhaustive_for_all_categories(dataset):
    dataset["images"][0]["not_exhaustive_category_ids"] = [3]
    _, result = applied(dataset, decision("k1", "finish", 1))
    known = known_of(result)
    assert result["images"][0]["finished"] is True
    assert result["images"][0]["exhaustive_category_ids"] == [3, 7]
    assert known.exhaustive == {1: {3, 7}, 2: set()}


def test_what_a_review_shows_is_not_absent(dataset):
    """A drawn dog and accepted cats; a cat that nobody decided about is no proof."""
    for image in dataset["images"]:
        image["neg_category_ids"] = [3, 7] if image["id"] == 2 else [7]
    records = drawn("k1", "n1"), on_box("k2", "accept", 4, dataset)
    _, result = applied(dataset, *records, keep_unreviewed=True)
    assert known_of(result).absent == {1: set(), 2: {7}}
    _, result = applied(dataset, drawn("k1", "n1"), keep_unreviewed=True)
    assert known_of(result).absent == {1: set(), 2: {3, 7}}


def test_accepting_a_box_makes_no_category_exhaustive(dataset):
    """In an image of LVIS's, an annotated category is; the box was mined, not annotated."""
    for image in dataset["images"]:
        image["not_exhaustive_category_ids"] = []
    _, result = applied(dataset, on_box("k1", "accept", 4, dataset))
    assert known_of(result).exhaustive == {1: {3}, 2: set()}
