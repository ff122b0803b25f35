"""What a review makes of a data set."""

import pytest

from comining.annotations.exchange_boxes import ReviewedBox
from comining.annotations.review import apply_review
from comining.annotations.review_cvat import cvat_dataset
from comining.annotations.review_label_studio import label_studio_tasks
from comining.errors import InputError


def test_changed_and_drawn_boxes_have_new_ids(completed):
    reviewed = {
        4: [
            ReviewedBox("cat", (20.04, 9.96, 30, 40)),  # the annotated one, rounded
            ReviewedBox("cat", (100.5, 0, 50, 25.4)),  # moved
            ReviewedBox("cat", (0, 0, 10, 10)),  # was a dog
        ],
        2: [ReviewedBox('a "dog"', (1, 2, 3, 4)), ReviewedBox('a "dog"', (1, 2, 3, 4))],
    }
    result, counts = apply_review(completed, reviewed)
    new = [x for x in result["annotations"] if x["id"] > 13]
    assert [x["id"] for x in result["annotations"]] == [9, 12, 14, 15, 16]
    assert [(x["image_id"], x["category_id"], x["bbox"]) for x in new] == [
        (4, 3, [100.5, 0, 50, 25.4]), (4, 3, [0, 0, 10, 10]), (2, 1, [1, 2, 3, 4]),
    ]  # fmt: skip
    assert new[0]["area"] == 1270
    assert counts["mined, rejected"] == 3
    assert counts["drawn or changed"] == 3


def test_annotations_without_ids_get_free_ones(completed):
    del completed["annotations"][0]["id"], completed["annotations"][4]["id"]
    completed["annotations"][1]["id"] = 0  # what the first one would be by its place
    assert [x["id"] for x in cvat_dataset(completed)["annotations"]] == [13, 0, 11, 12, 14]
    tasks = label_studio_tasks(completed, "x")
    ids = [[x["id"] for x in task["predictions"][0]["result"]] for task in tasks]
    assert ids == [["13", "0", "11"], ["12", "14"]]
    result, _ = apply_review(completed, {4: [ReviewedBox("cat", (20, 10, 30, 40))]})
    assert result["annotations"][:1] == completed["annotations"][:1]


def test_label_that_the_data_set_lacks(completed):
    with pytest.raises(InputError, match=r"b\.jpg has a box of 'cow'"):
        apply_review(completed, {2: [ReviewedBox("cow", (0, 0, 1, 1))]})


def test_small_boxes_keep_their_area(completed):
    """They would be a line if they were rounded."""
    new = {2: [ReviewedBox("cat", (1 / 3, 2, 2e-4, 5))]}
    assert apply_review(completed, new)[0]["annotations"][-1]["bbox"] == [1 / 3, 2, 2e-4, 5]


def test_regions_of_all_categories_stay_out_of_tools_and_in_the_data(completed):
    region = {"id": 99, "image_id": 4, "category_id": None, "bbox": [1, 1, 5, 5], "iscrowd": 1}
    tasks, exported = label_studio_tasks(completed, "x"), cvat_dataset(completed)
    completed["annotations"].append(region)
    assert label_studio_tasks(completed, "x") == tasks
    assert cvat_dataset(completed) == exported
    result, counts = apply_review(completed, {4: []})
    assert region in result["annotations"]
    assert counts["annotated, deleted"] == 1
