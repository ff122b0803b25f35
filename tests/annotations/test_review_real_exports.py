"""What the tools themselves wrote, in ``exports``, comes back right.

Of ``completed.json``: ``label_studio.json`` is the export of Label Studio 1.23.2: of the first
image, annotation 100 was moved, 107 rejected and a box drawn, the second image was submitted as it
came, the third skipped. ``datumaro.json`` is what Datumaro 1.13.12 exports after an import (CVAT
reads and writes COCO with a version of its own): of the first image, 100 was moved and 107 removed.

The other files of Datumaro and those of label-studio-sdk have the version in their names.
"""

import json
from pathlib import Path

import pytest

from comining.annotations.coco_file import Report
from comining.annotations.review import apply_review
from comining.annotations.review_cvat import cvat_dataset, read_cvat
from comining.annotations.review_label_studio_export import read_label_studio
from comining.errors import InputError


def load(name):
    return json.loads(Path(__file__).with_name("exports").joinpath(name).read_text())


def read(reader, name, dataset):
    """The boxes by image id, and what is told."""
    report = Report(name)
    boxes = reader(load(name), dataset, report)
    assert not report.is_fatal, report
    return boxes, [x.text for x in report.findings]


def back(reader, name):
    """The data set before and after the review, and its counts."""
    before = load("completed.json")
    boxes, told = read(reader, name, before)
    assert told == []
    after, counts = apply_review(before, boxes)
    assert not any("origin" in x or "score" in x for x in after["annotations"])
    return before, after, counts


def test_label_studio():
    before, after, counts = back(read_label_studio, "label_studio.json")
    old = {x["id"]: x for x in before["annotations"]}
    assert counts == {
        "images reviewed": 2, "mined, accepted": 3, "mined, rejected": 1,
        "mined, image not reviewed: left out": 2, "annotated, deleted": 1,
        "drawn or changed": 2,
    }  # fmt: skip
    # 100 was moved, 107 rejected; of the skipped image 104 and 105 are what was annotated.
    assert [x["id"] for x in after["annotations"]] == [
        101, 106, 102, 103, 108, 109, 104, 105, 112, 113,
    ]  # fmt: skip
    assert after["annotations"][4]["bbox"] == old[108]["bbox"]
    moved, drawn = after["annotations"][-2:]
    x, y, width, height = old[100]["bbox"]
    # By 5 % of the image's 161 pixels.
    assert moved["bbox"] == pytest.approx([x + 8.05, y, width, height], abs=0.02)
    # 10, 10, 20 and 25 % of 161 x 107 pixels.
    assert drawn["bbox"] == pytest.approx([16.1, 10.7, 32.2, 26.75], abs=0.01)
    assert (moved["category_id"], drawn["category_id"]) == (3, 8)


def test_datumaro():
    before, after, counts = back(read_cvat, "datumaro.json")
    old = {x["id"]: x for x in before["annotations"]}
    assert counts == {
        "images reviewed": 3, "mined, accepted": 5, "mined, rejected": 1,
        "mined, image not reviewed: left out": 0, "annotated, deleted": 1,
        "drawn or changed": 1,
    }  # fmt: skip
    assert [x["id"] for x in after["annotations"]] == [
        101, 106, 102, 103, 108, 109, 104, 105, 110, 111, 112,
    ]  # fmt: skip
    x, y, width, height = old[100]["bbox"]
    moved = after["annotations"][-1]
    assert moved["bbox"] == pytest.approx([x + 4, y, width, height], abs=0.02)
    assert moved["category_id"] == 3


def test_categories_counted_from_zero_through_datumaro():
    """Its export is of what `cvat_dataset` makes of ``zero_based.json``, where names are written in
    two ways and an id stands for two boxes."""
    before = load("zero_based.json")
    export = load("datumaro-1.13.12_of_zero_based.json")
    sent = cvat_dataset(before)["annotations"]
    boxes = {(x["image_id"], x["category_id"], tuple(x["bbox"])) for x in export["annotations"]}
    assert boxes == {(x["image_id"], x["category_id"], tuple(x["bbox"])) for x in sent}
    reviewed, _ = read(read_cvat, "datumaro-1.13.12_of_zero_based.json", before)
    after, counts = apply_review(before, reviewed)
    assert after["annotations"][:3] == before["annotations"][:3]
    assert (counts["mined, accepted"], counts["drawn or changed"]) == (1, 0)


def test_shapes_of_datumaro():
    """Two rectangles, one turned by a quarter; as an outline, another one turned by 45 degrees; a
    mask that was made of a turned ellipse, whose angle it still has."""
    images = [{"id": 8, "file_name": "a.jpg", "width": 400, "height": 200}]
    dataset = {"images": images, "annotations": [],
               "categories": [{"id": 2, "name": "cat"}, {"id": 3, "name": "dog"}]}  # fmt: skip
    boxes, told = read(read_cvat, "datumaro-1.13.12_turned_boxes.json", dataset)
    assert [x.category for x in boxes[8]] == ["cat", "cat", "dog", "dog"]
    turned, straight, outline, mask = (x.bbox for x in boxes[8])
    assert turned == pytest.approx((220, 30, 40, 80))
    assert straight == (100, 50, 80, 40)
    assert outline == (107.57, 17.57, 84.86, 84.86)
    assert mask == (300, 20, 40, 40)
    assert len(told) == 2


def test_turned_rectangles_as_the_converter_of_label_studio_sees_them():
    """Of a square image, where its angles in per cent are those in pixels."""
    dataset = {"images": [{"id": 5, "file_name": "s.png", "width": 200, "height": 200}],
               "annotations": [], "categories": [{"id": 1, "name": "cat"}]}  # fmt: skip
    boxes, told = read(read_label_studio, "turned_tasks.json", dataset)
    converted = load("label_studio_sdk-2.1.2_coco_of_turned_tasks.json")["annotations"]
    assert len(boxes[5]) == len(converted) == 5
    for ours, theirs in zip(boxes[5], converted, strict=True):
        assert ours.bbox == pytest.approx(theirs["bbox"])
    assert told == ["boxes are turned: made upright, large enough to hold them"]


def test_tasks_that_the_converter_of_label_studio_made_of_coco():
    """They have no image_id and no ids of annotations."""
    before = load("completed.json")
    boxes, told = read(read_label_studio, "label_studio_sdk-2.1.2_tasks_of_coco.json", before)
    after, counts = apply_review(before, boxes)
    assert told == []
    assert counts["images reviewed"] == 3
    assert counts["mined, accepted"] == 6
    assert len(after["annotations"]) == 12
    assert counts["drawn or changed"] == 0


def test_coco_of_label_studio_is_refused():
    """It lists a task without annotations as an image without boxes."""
    with pytest.raises(InputError, match="export as JSON"):
        read(read_cvat, "label_studio_sdk-2.1.2_coco.json", load("completed.json"))


def test_json_min_of_label_studio_is_refused():
    with pytest.raises(InputError, match=r"task 1 .* export as JSON, not as JSON-MIN"):
        read(read_label_studio, "label_studio_sdk-2.1.2_json_min.json", load("completed.json"))
