"""Adding mined boxes to a data set."""

import pytest

from comining.annotations.completion import complete
from comining.errors import InputError


@pytest.fixture
def dataset():
    return {
        "info": {"year": 2021},
        "images": [{"id": 4, "width": 100, "height": 50}, {"id": 2, "width": 30, "height": 30}],
        "annotations": [
            {"id": 9, "image_id": 4, "category_id": 1, "bbox": [1, 2, 3, 4], "x": "kept"},
            {"id": 6, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]},
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }


def box(*corners, score=0.9):
    return {"category_id": 1, "score": score, "box": corners}


def test_boxes_are_clipped_and_get_new_ids_in_the_order_of_the_images(dataset):
    mined = {2: [box(5, 5, 10.004, 20)], 4: [box(-5.5, 10, 20.25, 70), box(0, 0, 1, 2, score=0.7)]}
    completed = complete(dataset, mined, {"config": "c"})
    assert completed["annotations"] == dataset["annotations"] + [
        {"id": 10, "image_id": 4, "category_id": 1, "bbox": [0, 10, 20.25, 40], "area": 810,
         "iscrowd": 0, "score": 0.9, "origin": "mined"},
        {"id": 11, "image_id": 4, "category_id": 1, "bbox": [0, 0, 1, 2], "area": 2,
         "iscrowd": 0, "score": 0.7, "origin": "mined"},
        {"id": 12, "image_id": 2, "category_id": 1, "bbox": [5, 5, 5.0, 15], "area": 75,
         "iscrowd": 0, "score": 0.9, "origin": "mined"},
    ]  # fmt: skip
    assert completed["info"] == {"year": 2021, "mined": {"config": "c"}}
    assert len(dataset["annotations"]) == 2


def test_beside_the_largest_id_that_programs_can_read_boxes_get_those_that_are_left(dataset):
    dataset["annotations"][0]["id"] = 2**53
    used = {x["id"] for x in dataset["annotations"]}
    image = dataset["images"][0]["id"]
    completed = complete(dataset, {image: [box(0, 0, 5, 5), box(1, 1, 7, 7)]}, {})
    left = [x for x in range(1, 9) if x not in used][:2]
    assert [x["id"] for x in completed["annotations"][-2:]] == left


def test_boxes_outside_their_image_are_left_out(dataset):
    mined = {4: [box(-10, 0, 0, 10), box(100.001, 0, 110, 10), box(5, 5, 5.001, 20)]}
    assert complete(dataset, mined, {})["annotations"] == dataset["annotations"]


def test_second_completion_keeps_the_record_of_the_first(dataset):
    first = complete(dataset, {}, {"config": "first"})
    second = complete(first, {}, {"config": "second"})
    assert second["info"]["mined"] == {"config": "second", "input_mined": {"config": "first"}}


@pytest.mark.parametrize("info", [{}, {"info": None}])
def test_data_set_without_annotations_and_info(dataset, info):
    del dataset["annotations"], dataset["info"]
    dataset |= info
    completed = complete(dataset, {2: [box(0, 0, 5, 5)]}, {})
    assert [x["id"] for x in completed["annotations"]] == [1]


def test_info_of_the_wrong_form(dataset):
    with pytest.raises(InputError, match="'info'"):
        complete({**dataset, "info": []}, {}, {})
