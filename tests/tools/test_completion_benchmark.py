"""What is told of a completion whose data were complete before."""

from pathlib import Path

from completion_benchmark import counted, measures, read_rows, table

from comining.completion.audit import Missing


def annotation(id_, image_id, box, score=None, category_id=1):
    fields = {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": box}
    return fields if score is None else {**fields, "score": score}


ANNOTATED = [annotation(1, 1, [0, 0, 10, 10]), annotation(2, 2, [0, 0, 10, 10], None, 3)]
DROPPED = [annotation(3, 1, [50, 50, 10, 10]), annotation(4, 2, [30, 30, 10, 10], None, 3)]
PROPOSALS = [
    annotation(10, 1, [50, 50, 10, 10], 0.99),
    annotation(11, 1, [50, 50, 10, 9], 0.5),  # again, so wrong
    annotation(12, 2, [30, 30, 10, 10], 0.4, 3),
    annotation(13, 2, [70, 8, 10, 10], 0.96, 3),
]


def test_each_object_counts_once():
    row = measures(PROPOSALS, {10, 11, 12}, ANNOTATED, DROPPED)
    assert (row["missing"], row["added"], row["added_right"]) == (2, 3, 2)
    assert (row["sure"], row["sure_right"]) == (2, 1)
    assert row["possible"] == 0.5  # below the first, at most 2 of 3 are right


def test_the_truth_is_that_of_the_categories_that_are_told():
    categories = [{"id": 1, "name": "a"}, {"id": 3, "name": "b"}]
    known = Missing("a", 1, 10, 8, 2.0, 1.0, 4.0)
    unknown = Missing("b", 1, 10, 1)
    assert counted([known, unknown], categories, DROPPED) == {
        "told": 2.0, "low": 1.0, "high": 4.0, "truth": 1,
    }  # fmt: skip
    assert counted([unknown], categories, DROPPED) == {"told": None}


def test_table_has_a_line_for_each_run():
    row = {
        "data": "cells", "protocol": "hard", "iterations": 30, "batch": 4,
        "annotated": 2, "told": None,
        **measures(PROPOSALS, {10, 11, 12}, ANNOTATED, DROPPED),
    }  # fmt: skip
    assert (
        "| cells  | hard       | 120           | 2           | 2         | 3       | 67"
        in table([row])
    )


def test_the_published_table_follows_from_the_rows():
    docs = Path(__file__).parents[2] / "docs"
    rows = read_rows(docs / "studies" / "completion" / "rows.jsonl")
    assert table(rows) in (docs / "log" / "completing_real_data.md").read_text()
