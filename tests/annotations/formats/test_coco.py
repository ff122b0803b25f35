"""COCO files keep their ids and all their fields."""

import json

import pytest

from comining.annotations.formats import read_annotations, write_annotations
from comining.annotations.known import Region, known_of
from comining.errors import InputError

COCO = {
    "info": {"year": 2024},
    "licenses": [{"id": 1, "name": "free"}],
    "images": [
        {"id": 70, "file_name": "export/a.jpg", "width": 200, "height": 100, "license": 1},
        {"id": 5, "file_name": "b ü.png", "width": 100, "height": 80},
    ],
    "categories": [
        {"id": 9, "name": "zebra", "supercategory": "animal"},
        {"id": 3, "name": "ant"},
    ],
    "annotations": [
        {
            "id": 100,
            "image_id": 70,
            "category_id": 3,
            "bbox": [10, 20, 50, 70],
            "area": 1234,
            "iscrowd": 0,
            "segmentation": [[10, 20, 60, 20, 35, 90]],
            "attributes": {"occluded": True},
        },
        {"id": 7, "image_id": 70, "category_id": 9, "bbox": [1, 1, 0, 5], "note": "flat"},
        {"id": 8, "image_id": 5, "category_id": 9, "bbox": [90, 70, 20, 20], "iscrowd": 1},
    ],
}


@pytest.fixture
def write(tmp_path):
    def write_json(content):
        path = tmp_path / "coco.json"
        path.write_text(json.dumps(content))
        return path

    return write_json


def test_ids_fields_and_order_are_the_files(write, images, helpers):
    source = read_annotations(write(COCO), images)
    assert source.format == "coco"
    assert source.dataset["info"] == {"year": 2024}
    assert source.dataset["categories"] == COCO["categories"]
    assert [(x["id"], x["file_name"]) for x in source.dataset["images"]] == [
        *((70, "a.jpg"), (5, "sub dir/b ü.png"), (1, "c.jpg")),
    ]
    assert source.dataset["annotations"][0] == COCO["annotations"][0]
    assert helpers.boxes(source)["sub dir/b ü.png"] == [("zebra", [90, 70, 10, 10])]
    assert source.notes == [
        "1 box has no area: dropped (7)",
        "1 box reaches beyond its image: clipped (8)",
        f"1 image is not listed: added from {images}, with no box yet",
    ]


def test_a_list_of_another_name_is_missed(write, images):
    content = dict(COCO)
    content["annotation"] = content.pop("annotations")
    path = write(content)
    named = "info, licenses, images, categories, annotation: name the list so"
    with pytest.raises(InputError, match=f"^{path} has no list 'annotations', only {named}"):
        read_annotations(path, images)


def test_what_only_matters_to_a_training_or_an_evaluation_is_not_told(write, images):
    first, *others = COCO["annotations"]
    annotations = [{**first, "area": 99999}, {**first, "bbox": [1, 1, 9, 9]}, *others]
    notes = read_annotations(write({**COCO, "annotations": annotations}), images).notes
    assert not any("area is" in x or "twice" in x for x in notes)


def test_an_unchanged_data_set_only_gains_the_unlisted_images(write, images, tmp_path):
    source = read_annotations(write(COCO), images)
    written = write_annotations(source, source.dataset, tmp_path / "out")
    assert written.name == "completed.json"
    content = json.loads(written.read_text())
    unlisted = {"id": 1, "file_name": "c.jpg", "width": 50, "height": 40}
    assert content == {**COCO, "images": [*COCO["images"], unlisted]}


def test_edits_change_records_and_leave_the_others(write, images, tmp_path, helpers):
    source = read_annotations(write(COCO), images, listed_only=True)
    dataset = helpers.changed(
        source, add=[("a.jpg", "ant", [150, 50, 20, 10], 0.87)], move={100: [0, 0, 50, 70]}
    )
    dataset["info"] = {**dataset["info"], "mined": {"threshold": 0.5}}
    content = json.loads(write_annotations(source, dataset, tmp_path / "out").read_text())
    outline = {k: v for k, v in COCO["annotations"][0].items() if k != "segmentation"}
    assert content == {
        **COCO,
        "info": dataset["info"],
        "annotations": [
            {**outline, "bbox": [0, 0, 50, 70], "area": 3500},
            *COCO["annotations"][1:],
            dataset["annotations"][-1],
        ],
    }


def test_annotations_without_ids_get_some(write, images, tmp_path, helpers):
    annotations = [{k: v for k, v in x.items() if k != "id"} for x in COCO["annotations"]]
    source = read_annotations(write({**COCO, "annotations": annotations}), images)
    assert [x["id"] for x in source.dataset["annotations"]] == [1, 2]
    written = write_annotations(source, helpers.changed(source, remove=[1]), tmp_path / "out")
    assert helpers.boxes(read_annotations(written, images))["a.jpg"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": []}, r"lists no categories"),
        ({"categories": COCO["categories"][:1]}, r"1 annotation has a category that is not listed"),
        ({"annotations": {}}, r"needs a list 'annotations'"),
        (
            {"images": [{**COCO["images"][0], "width": 300}]},
            r"image 70: the image export/a\.jpg is said to be 300x100, but .*a\.jpg is 200x100",
        ),
        (
            {"images": [COCO["images"][0], {**COCO["images"][0], "id": 71, "file_name": "a.jpg"}]},
            r"image 70 .* and .*image 71 .* are annotations of the same image a\.jpg",
        ),
    ],
)
def test_a_fault_is_named(change, message, write, images):
    with pytest.raises(InputError, match=message):
        read_annotations(write({**COCO, **change}), images)


def test_what_is_known_of_images_is_read_and_written(write, images, tmp_path):
    coco = json.loads(json.dumps(COCO))
    coco["info"]["exhaustive_category_ids"] = [9]
    coco["images"][0].update(neg_category_ids=[], not_exhaustive_category_ids=[9])
    region = {"id": 50, "image_id": 5, "category_id": None, "bbox": [1, 2, 9, 9], "ignore": 1}
    coco["annotations"].append(region)
    source = read_annotations(write(coco), images)
    known = known_of(source.dataset)
    # The third image isn't listed, so the default is not about it.
    assert known.exhaustive == {70: set(), 5: {9}, 1: set()}
    assert Region([1, 2, 9, 9], None) in known.regions[5]

    first, *others = source.dataset["images"]
    finished = {**first, "finished": True, "exhaustive_category_ids": [3, 9]}
    del finished["not_exhaustive_category_ids"]
    written = write_annotations(source, {**source.dataset, "images": [finished, *others]}, tmp_path)
    result = json.loads(written.read_text())
    assert result["images"][0] == {
        **COCO["images"][0], "neg_category_ids": [], "exhaustive_category_ids": [3, 9],
        "finished": True,
    }  # fmt: skip
    assert region in result["annotations"]
