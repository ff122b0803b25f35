"""To annotation tools and back."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from comining.annotations.review import (
    ReviewedBox,
    apply_review,
    cvat_dataset,
    label_studio_config,
    label_studio_tasks,
    read_cvat,
    read_label_studio,
)
from comining.errors import InputError


@pytest.fixture
def dataset():
    """Two images: the first has an annotated box, one mined of either category."""
    return {
        "info": {"mined": {"weights": "model.pth"}},
        "images": [
            {"id": 4, "file_name": "a/cat 1.jpg", "width": 200, "height": 100},
            {"id": 2, "file_name": "b.jpg", "width": 30, "height": 30},
        ],
        "annotations": [
            {"id": 9, "image_id": 4, "category_id": 3, "bbox": [20, 10, 30, 40], "area": 900,
             "segmentation": [[20, 10, 50, 10, 20, 50]], "iscrowd": 0, "note": "kept"},
            {"id": 10, "image_id": 4, "category_id": 3, "bbox": [100.5, 0, 50, 25.25],
             "area": 1262.5, "iscrowd": 0, "score": 0.9, "origin": "mined"},
            {"id": 11, "image_id": 4, "category_id": 1, "bbox": [0, 0, 10, 10], "area": 100,
             "iscrowd": 0, "score": 0.6, "origin": "mined"},
            {"id": 12, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"id": 13, "image_id": 2, "category_id": 1, "bbox": [9, 9, 3, 4], "area": 12,
             "iscrowd": 0, "score": 0.7, "origin": "mined"},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": 'a "dog"'}],
    }  # fmt: skip


def test_label_studio_tasks(dataset):
    first, second = label_studio_tasks(dataset, "/data/local-files/?d=images/")
    assert first["data"] == {
        "image": "/data/local-files/?d=images/a/cat%201.jpg", "image_id": 4,
    }  # fmt: skip
    (prediction,) = first["predictions"]
    assert prediction["model_version"] == "model.pth"
    assert prediction["score"] == 0.6
    annotated, mined, _ = prediction["result"]
    assert annotated == {
        "id": "9", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
        "original_width": 200, "original_height": 100, "image_rotation": 0,
        "value": {"x": 10, "y": 10, "width": 15, "height": 40, "rotation": 0,
                  "rectanglelabels": ["cat"]},
    }  # fmt: skip
    assert mined["score"] == 0.9
    assert mined["value"]["x"] == 50.25
    assert second["predictions"][0]["score"] == 0.7
    # An annotation would keep Label Studio from showing the prediction.
    assert "annotations" not in first


def test_label_studio_tasks_of_images_without_mined_boxes(dataset):
    dataset["annotations"] = dataset["annotations"][3:4]
    first, second = (task["predictions"] for task in label_studio_tasks(dataset, "x"))
    assert first == [{"model_version": "model.pth", "score": 1.0, "result": []}]
    assert second[0]["score"] == 1.0
    assert [x["id"] for x in second[0]["result"]] == ["12"]


@pytest.mark.parametrize("info", [{}, {"info": None}])
def test_data_set_without_info(dataset, info):
    del dataset["info"]
    dataset |= info
    tasks = label_studio_tasks(dataset, "x")
    assert tasks[0]["predictions"][0]["model_version"] == "annotated"
    result, counts = apply_review(dataset, read_label_studio([exported(tasks, 0)], dataset))
    assert result["info"] == {"reviewed": counts}


def test_label_studio_interface_fits_the_tasks(dataset):
    root = ET.fromstring(label_studio_config(dataset))
    image, labels = root.find("Image"), root.find("RectangleLabels")
    region = label_studio_tasks(dataset, "x")[0]["predictions"][0]["result"][0]
    assert (labels.get("name"), labels.get("toName")) == (region["from_name"], region["to_name"])
    assert image.get("name") == region["to_name"]
    assert image.get("value") == "$image"
    assert [x.get("value") for x in labels] == ["cat", 'a "dog"']


def exported(tasks, *numbers, **annotation):
    """What Label Studio exports if those regions of the first task are left."""
    regions = tasks[0]["predictions"][0]["result"]
    kept = [{**regions[i], "origin": "prediction"} for i in numbers]
    submitted = {"result": kept, "was_cancelled": False, "updated_at": "2024-05-02", **annotation}
    return {"id": 1, **tasks[0], "annotations": [submitted]}


def test_label_studio_and_back(dataset):
    task = exported(label_studio_tasks(dataset, "x"), 0, 1)
    result, counts = apply_review(dataset, read_label_studio([task], dataset))
    kept, accepted, unseen = result["annotations"]
    assert kept == dataset["annotations"][0]
    # The mined box is an annotation like the others.
    assert accepted == {"id": 10, "image_id": 4, "category_id": 3, "bbox": [100.5, 0, 50, 25.25],
                        "area": 1262.5, "iscrowd": 0}  # fmt: skip
    assert unseen == dataset["annotations"][3]
    assert counts == {
        "images reviewed": 1, "mined, accepted": 1, "mined, rejected": 1,
        "mined, image not reviewed: left out": 1, "annotated, deleted": 0, "drawn or changed": 0,
    }  # fmt: skip
    assert result["info"]["reviewed"] == counts
    assert dataset["annotations"][1]["origin"] == "mined"


def test_changed_and_drawn_boxes_have_new_ids(dataset):
    reviewed = {
        4: [
            ReviewedBox("cat", (20.04, 9.96, 30, 40)),  # the annotated one, rounded
            ReviewedBox("cat", (100.5, 0, 50, 25.4)),  # moved
            ReviewedBox("cat", (0, 0, 10, 10)),  # was a dog
        ],
        2: [ReviewedBox('a "dog"', (1, 2, 3, 4)), ReviewedBox('a "dog"', (1, 2, 3, 4))],
    }
    result, counts = apply_review(dataset, reviewed)
    new = [x for x in result["annotations"] if x["id"] > 13]
    assert [x["id"] for x in result["annotations"]] == [9, 12, 14, 15, 16]
    assert [(x["image_id"], x["category_id"], x["bbox"]) for x in new] == [
        (4, 3, [100.5, 0, 50, 25.4]), (4, 3, [0, 0, 10, 10]), (2, 1, [1, 2, 3, 4]),
    ]  # fmt: skip
    assert new[0]["area"] == 1270
    assert counts["mined, rejected"] == 3
    assert counts["drawn or changed"] == 3


def test_skipped_and_repeated_submissions(dataset):
    tasks = label_studio_tasks(dataset, "x")
    skipped = exported(tasks, 0, was_cancelled=True)
    assert read_label_studio([skipped], dataset) == {}
    twice = exported(tasks, 0, 1)
    twice["annotations"].insert(0, exported(tasks, 2, updated_at="2024-05-03")["annotations"][0])
    assert [x.category for x in read_label_studio([twice], dataset)[4]] == ['a "dog"']
    empty = exported(tasks)
    assert read_label_studio([empty], dataset) == {4: []}


def test_only_one_task_of_an_image_may_have_annotations(dataset):
    """Else the boxes of the other one were lost."""
    first, *_ = tasks = label_studio_tasks(dataset, "x")
    submitted, open_, skipped = (
        exported(tasks, 0),
        {"id": 2, **first, "annotations": []},
        {**exported(tasks, 1, was_cancelled=True), "id": 3},
    )
    assert list(read_label_studio([submitted, open_, skipped], dataset)) == [4]
    with pytest.raises(InputError, match=r"task 4 .* second one with annotations of the image 4"):
        read_label_studio([submitted, {**submitted, "id": 4}], dataset)


def test_submission_without_a_date_is_older_than_one_with(dataset):
    tasks = label_studio_tasks(dataset, "x")
    task = exported(tasks, 0, 1)
    task["annotations"].insert(0, exported(tasks, 2, updated_at=None)["annotations"][0])
    assert len(read_label_studio([task], dataset)[4]) == 2


def test_rotated_rectangle(dataset):
    """20 x 10 pixels, turned by a quarter about the corner (100, 50): it lies to the left."""
    task = exported(label_studio_tasks(dataset, "x"), 0)
    task["annotations"][0]["result"][0]["value"].update(
        x=50, y=50, width=10, height=10, rotation=90
    )
    (box,) = read_label_studio([task], dataset)[4]
    assert box.bbox == pytest.approx((90, 50, 10, 20))


def test_label_studio_exports_that_can_not_come_back(dataset):
    task = exported(label_studio_tasks(dataset, "x"), 0)
    with pytest.raises(InputError, match="JSON-MIN"):
        read_label_studio([{"id": 1, "image": "x", "label": []}], dataset)
    with pytest.raises(InputError, match=r"task 1 .* no annotations or data"):
        read_label_studio([{**task, "data": None}], dataset)
    with pytest.raises(InputError, match="image_id 5"):
        read_label_studio([{**task, "data": {"image_id": 5}}], dataset)
    task["annotations"][0]["result"][0]["value"]["rectanglelabels"] = []
    with pytest.raises(InputError, match=r"task 1 .* has a rectangle without a label"):
        read_label_studio([task], dataset)
    task["annotations"][0]["result"][0]["type"] = "polygonlabels"
    with pytest.raises(InputError, match=r"task 1 .*polygonlabels"):
        read_label_studio([task], dataset)
    with pytest.raises(InputError, match=r"b\.jpg has a box of 'cow'"):
        apply_review(dataset, {2: [ReviewedBox("cow", (0, 0, 1, 1))]})


def test_cvat_dataset(dataset):
    annotated, mined, *_, bare, _ = cvat_dataset(dataset)["annotations"]
    # As boxes, not as polygons.
    assert annotated["segmentation"] == []
    assert annotated["attributes"] == {"origin": "annotated"}
    assert "score" not in annotated
    assert mined == {
        "id": 10, "image_id": 4, "category_id": 3, "bbox": [100.5, 0, 50, 25.25], "area": 1262.5,
        "segmentation": [], "iscrowd": 0, "attributes": {"origin": "mined"}, "score": 0.9,
    }  # fmt: skip
    assert (bare["iscrowd"], bare["area"]) == (0, 12)


def test_crowds_stay_crowds_in_cvat(dataset):
    dataset["annotations"][3]["iscrowd"] = 1
    assert [x["iscrowd"] for x in cvat_dataset(dataset)["annotations"]] == [0, 0, 0, 1, 0]


def test_annotations_without_ids_get_free_ones(dataset):
    del dataset["annotations"][0]["id"], dataset["annotations"][4]["id"]
    dataset["annotations"][1]["id"] = 0  # what the first one would be by its place
    assert [x["id"] for x in cvat_dataset(dataset)["annotations"]] == [13, 0, 11, 12, 14]
    tasks = label_studio_tasks(dataset, "x")
    ids = [[x["id"] for x in task["predictions"][0]["result"]] for task in tasks]
    assert ids == [["13", "0", "11"], ["12", "14"]]
    result, _ = apply_review(dataset, read_label_studio([exported(tasks, 0, 1)], dataset))
    assert result["annotations"][:1] == dataset["annotations"][:1]


def test_cvat_and_back(dataset):
    """CVAT numbers images and labels anew and rounds; one of the images has lost its folder."""
    export = {
        "images": [{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "cat 1.jpg"}],
        "categories": [{"id": 1, "name": 'a "dog"'}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 2, "bbox": [20.0, 10.0, 30.0, 40.0]},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [0.0, 0.01, 10.0, 9.99]},
        ],
    }
    result, counts = apply_review(dataset, read_cvat(export, dataset))
    assert [x["id"] for x in result["annotations"]] == [9, 11]
    assert result["annotations"][0] == dataset["annotations"][0]
    assert counts["mined, accepted"] == 1
    assert counts["mined, rejected"] == 2
    assert counts["annotated, deleted"] == 1


def test_image_that_cvat_made_up(dataset):
    export = {"images": [{"id": 1, "file_name": "c.jpg"}], "categories": [], "annotations": []}
    with pytest.raises(InputError, match=r"c\.jpg, which is missing"):
        read_cvat(export, dataset)


def test_images_of_one_name_in_two_folders(dataset):
    """Without the folder, CVAT's boxes could be those of either."""
    dataset["images"][1]["file_name"] = "c/cat 1.jpg"
    export = {
        "images": [{"id": 1, "file_name": "c/cat 1.jpg"}, {"id": 2, "file_name": "a/cat 1.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    assert read_cvat(export, dataset) == {2: [ReviewedBox("cat", (1, 2, 3, 4))], 4: []}
    export["images"][0]["file_name"] = "cat 1.jpg"
    with pytest.raises(InputError, match=r"cat 1\.jpg, which is ambiguous"):
        read_cvat(export, dataset)


def test_two_images_of_cvat_that_are_the_same_one(dataset):
    images = [{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "other/b.jpg"}]
    with pytest.raises(InputError, match=r"b\.jpg and other/b\.jpg, which are the same image"):
        read_cvat({"images": images, "categories": [], "annotations": []}, dataset)


class TestRealExports:
    """What the tools themselves made of ``completed.json``, in `EXPORTS`.

    ``label_studio.json`` is the export of Label Studio 1.23.2: of the first image, annotation 100
    was moved, 107 rejected and a box drawn, the second image was submitted as it came, the third
    skipped. ``datumaro.json`` is what Datumaro 1.13.12 exports after an import (CVAT reads and
    writes COCO with a version of its own): of the first image, 100 was moved and 107 removed.
    """

    EXPORTS = Path(__file__).with_name("exports")

    def read(self, name):
        return json.loads((self.EXPORTS / name).read_text())

    def back(self, reader, name):
        """The data set before and after the review, and its counts."""
        before = self.read("completed.json")
        after, counts = apply_review(before, reader(self.read(name), before))
        assert not any("origin" in x or "score" in x for x in after["annotations"])
        return before, after, counts

    def test_label_studio(self):
        before, after, counts = self.back(read_label_studio, "label_studio.json")
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

    def test_datumaro(self):
        before, after, counts = self.back(read_cvat, "datumaro.json")
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
