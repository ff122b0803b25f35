"""To Label Studio and back."""

import xml.etree.ElementTree as ET

import pytest

from comining.annotations.coco_file import Report
from comining.annotations.review import apply_review
from comining.annotations.review_label_studio import label_studio_config, label_studio_tasks
from comining.annotations.review_label_studio_export import read_label_studio
from comining.errors import InputError


def read(export, dataset):
    """The boxes of a sound export, and what is told of it."""
    report = Report("exported.json")
    boxes = read_label_studio(export, dataset, report)
    assert not report.is_fatal, report
    return boxes, [str(x) for x in report.findings]


def errors(export, dataset):
    report = Report("exported.json")
    read_label_studio(export, dataset, report)
    return [str(x) for x in report.findings if x.severity == "error"]


def test_label_studio_tasks(completed):
    first, second = label_studio_tasks(completed, "/data/local-files/?d=images/")
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


def test_label_studio_tasks_of_images_without_mined_boxes(completed):
    completed["annotations"] = completed["annotations"][3:4]
    first, second = (task["predictions"] for task in label_studio_tasks(completed, "x"))
    assert first == [{"model_version": "model.pth", "score": 1.0, "result": []}]
    assert second[0]["score"] == 1.0
    assert [x["id"] for x in second[0]["result"]] == ["12"]


@pytest.mark.parametrize("info", [{}, {"info": None}])
def test_data_set_without_info(completed, info):
    del completed["info"]
    completed |= info
    tasks = label_studio_tasks(completed, "x")
    assert tasks[0]["predictions"][0]["model_version"] == "annotated"
    result, counts = apply_review(completed, read([exported(tasks, 0)], completed)[0])
    assert result["info"] == {"reviewed": counts}


def test_label_studio_interface_fits_the_tasks(completed):
    root = ET.fromstring(label_studio_config(completed))
    image, labels = root.find("Image"), root.find("RectangleLabels")
    region = label_studio_tasks(completed, "x")[0]["predictions"][0]["result"][0]
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


def test_label_studio_and_back(completed):
    task = exported(label_studio_tasks(completed, "x"), 0, 1)
    result, counts = apply_review(completed, read([task], completed)[0])
    kept, accepted, unseen = result["annotations"]
    assert kept == completed["annotations"][0]
    # The mined box is an annotation like the others.
    assert accepted == {"id": 10, "image_id": 4, "category_id": 3, "bbox": [100.5, 0, 50, 25.25],
                        "area": 1262.5, "iscrowd": 0}  # fmt: skip
    assert unseen == completed["annotations"][3]
    assert counts == {
        "images reviewed": 1, "mined, accepted": 1, "mined, rejected": 1,
        "mined, image not reviewed: left out": 1, "annotated, deleted": 0, "drawn or changed": 0,
    }  # fmt: skip
    assert result["info"]["reviewed"] == counts
    assert completed["annotations"][1]["origin"] == "mined"


def test_skipped_and_repeated_submissions(completed):
    tasks = label_studio_tasks(completed, "x")
    skipped = exported(tasks, 0, was_cancelled=True)
    assert read([skipped], completed)[0] == {}
    twice = exported(tasks, 0, 1)
    twice["annotations"].insert(0, exported(tasks, 2, updated_at="2024-05-03")["annotations"][0])
    assert [x.category for x in read([twice], completed)[0][4]] == ['a "dog"']
    empty = exported(tasks)
    assert read([empty], completed)[0] == {4: []}


def test_only_one_task_of_an_image_may_have_annotations(completed):
    """Else the boxes of the other one were lost."""
    first, *_ = tasks = label_studio_tasks(completed, "x")
    submitted, open_, skipped = (
        exported(tasks, 0),
        {"id": 2, **first, "annotations": []},
        {**exported(tasks, 1, was_cancelled=True), "id": 3},
    )
    assert list(read([submitted, open_, skipped], completed)[0]) == [4]
    told = errors([submitted, {**submitted, "id": 4}], completed)
    assert len(told) == 1
    assert "1 task is the second one with annotations of its image" in told[0]
    assert "(task 4: image 4, as task 1)" in told[0]


def test_submission_without_a_date_is_older_than_one_with(completed):
    tasks = label_studio_tasks(completed, "x")
    task = exported(tasks, 0, 1)
    task["annotations"].insert(0, exported(tasks, 2, updated_at=None)["annotations"][0])
    assert len(read([task], completed)[0][4]) == 2


def test_rotated_rectangle(completed):
    """20 x 10 pixels, turned by a quarter about the corner (100, 50): it lies to the left."""
    task = exported(label_studio_tasks(completed, "x"), 0)
    task["annotations"][0]["result"][0]["value"].update(
        x=50, y=50, width=10, height=10, rotation=90
    )
    (box,) = read([task], completed)[0][4]
    assert box.bbox == pytest.approx((90, 50, 10, 20))


def test_exports_of_another_form(completed):
    with pytest.raises(InputError, match=r"exported\.json has no tasks"):
        read([], completed)
    with pytest.raises(InputError, match="JSON-MIN"):
        read([{"id": 1, "image": "x", "label": []}], completed)
    task = exported(label_studio_tasks(completed, "x"), 0)
    with pytest.raises(InputError, match=r"task 1 .* no annotations or data"):
        read([{**task, "data": None}], completed)
    with pytest.raises(InputError, match=r"task 1 .* no annotations or data"):
        read([{**task, "annotations": None}], completed)
    with pytest.raises(InputError, match=r"entry 1 .* no annotations or data"):
        read([task, {"data": {}}], completed)


def changed(completed, fields=(), value=(), missing=()):
    """The export of one rectangle, 30 x 40 pixels at (20, 10), with some fields changed."""
    task = exported(label_studio_tasks(completed, "x"), 0)
    region = task["annotations"][0]["result"][0]
    region.update(fields)
    region["value"].update(value)
    for key in missing:
        del region["value"][key]
    return task


@pytest.mark.parametrize(
    ("value", "missing"),
    [
        ({"height": None}, ()),
        ({}, ("x",)),
        ({"width": float("nan")}, ()),
        ({"y": float("-inf")}, ()),
        ({"x": "left"}, ()),
        ({"x": True}, ()),
        ({"width": [3]}, ()),
        ({"rotation": "a little"}, ()),
    ],
)
def test_rectangles_without_a_number(completed, value, missing):
    assert errors([changed(completed, (), value, missing)], completed) == [
        "error: 1 box has no number as x, y, width, height or rotation: draw it again or "
        "remove it (task 1, region 9)"
    ]


@pytest.mark.parametrize(
    ("value", "missing"),
    [({"rotation": None}, ()), ({}, ("rotation",)), ({"rotation": "0"}, ()), ({"width": "15"}, ()),
     ({"rotation": 360}, ()), ({"rectanglelabels": "cat"}, ()),
     ({"rectanglelabels": [" cat "]}, ()), ({"rectanglelabels": ["cat", "cat"]}, ())],
)  # fmt: skip
def test_values_that_mean_the_same(completed, value, missing):
    boxes, told = read([changed(completed, (), value, missing)], completed)
    assert boxes == {4: [("cat", (20, 10, 30, 40))]}
    assert told == []


def test_mirrored_rectangle(completed):
    """Drawn from its lower right corner."""
    task = changed(completed, value={"x": 25, "y": 50, "width": -15, "height": -40})
    boxes, told = read([task], completed)
    assert boxes[4] == [("cat", (20, 10, 30, 40))]
    assert told == [
        "repaired: 1 box has a negative width or height: turned over (task 1, region 9)"
    ]


def test_rectangle_beyond_the_image_is_clipped(completed):
    boxes, told = read([changed(completed, value={"x": 90, "y": -20})], completed)
    assert boxes[4] == [("cat", (180, 0, 20, 20))]
    assert told == ["repaired: 1 box reaches beyond its image: clipped (task 1, region 9)"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"width": 0}, "box has no area"),
        ({"x": 150}, "box lies outside its image"),  # pixels rather than per cent
        ({"rectanglelabels": []}, "box has no label"),
        ({"rectanglelabels": None}, "box has no label"),
        ({"rectanglelabels": [""]}, "box has no label"),
        ({"rectanglelabels": ["cat", 'a "dog"']}, "box has several labels"),
        ({"rectanglelabels": ["kitten"]}, 'none of the data set\'s (cat, a "dog")'),
    ],
)
def test_rectangles_that_can_not_be_used(completed, value, text):
    (told,) = errors([changed(completed, value=value)], completed)
    assert text in told
    assert "task 1, region 9" in told


def test_all_that_can_not_be_used_is_told_at_once(completed):
    unknown = {**changed(completed), "data": {"image_id": 5}}
    empty = {**changed(completed, value={"width": 0}), "id": 2}
    square = {"original_width": 30, "original_height": 30}
    incomplete = {**changed(completed, square, {"x": None}), "id": 3, "data": {"image_id": 2}}
    told = errors([unknown, empty, incomplete], completed)
    assert [x[x.index("(task") :] for x in told] == [
        "(task 1: image_id 5)", "(task 2, region 9)", "(task 3, region 9)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["polygonlabels", "ellipselabels", "brushlabels", "keypointlabels", "polygon", "ellipse",
     "brush", "keypoint", "videorectangle", "hypertextlabels"],
)  # fmt: skip
def test_other_shapes_can_not_come_back(completed, kind):
    (told,) = errors([changed(completed, {"type": kind})], completed)
    assert "1 region is of another kind: only rectangles can come back, remove it" in told
    assert f"(task 1, region 9: {kind})" in told


def test_rectangle_without_a_type(completed):
    task = changed(completed)
    del task["annotations"][0]["result"][0]["type"]
    assert read([task], completed)[0] == {4: [("cat", (20, 10, 30, 40))]}


def test_answers_are_no_boxes(completed):
    task = exported(label_studio_tasks(completed, "x"), 0)
    task["annotations"][0]["result"] += [
        {"type": "choices", "value": {"choices": ["blurred"]}},
        {"type": "relation", "from_id": "9", "to_id": "9", "direction": "right"},
    ]
    boxes, told = read([task], completed)
    assert boxes == {4: [("cat", (20, 10, 30, 40))]}
    assert told == [
        "note: 2 answers are not about boxes: left out (task 1: choices, task 1: relation)"
    ]


def test_rectangle_and_its_labels_are_one_region(completed):
    """An interface of the elements Rectangle and Labels exports two results for each."""
    task = exported(label_studio_tasks(completed, "x"), 0)
    (region,) = task["annotations"][0]["result"]
    place = {k: v for k, v in region["value"].items() if k != "rectanglelabels"}
    task["annotations"][0]["result"] = [
        {**region, "type": "rectangle", "value": place},
        {**region, "type": "labels", "value": {**place, "labels": ["cat"]}},
    ]
    assert read([task], completed)[0] == {4: [("cat", (20, 10, 30, 40))]}
    del task["annotations"][0]["result"][1]
    assert "1 box has no label" in errors([task], completed)[0]


@pytest.mark.parametrize("result", [None, "", 7, [None], {}])
def test_annotations_without_results(completed, result):
    task = exported(label_studio_tasks(completed, "x"), 0, result=result)
    assert errors([task], completed) == [
        "error: 1 task has an annotation without a list of results: export again (task 1)"
    ]


def test_annotations_that_are_ids_only(completed):
    task = {**exported(label_studio_tasks(completed, "x"), 0), "annotations": [5]}
    (told,) = errors([task], completed)
    assert "export as JSON (task 1)" in told


def test_drafts_and_predictions_are_no_review(completed):
    (first, _) = label_studio_tasks(completed, "x")
    task = {"id": 1, **first, "annotations": [], "drafts": [{"result": []}]}
    assert read([task], completed)[0] == {}


@pytest.mark.parametrize("field", [{"was_cancelled": "true"}, {"was_cancelled": 1}])
def test_skipped_as_text_or_number(completed, field):
    assert read([exported(label_studio_tasks(completed, "x"), 0, **field)], completed)[0] == {}


def test_export_of_old_versions(completed):
    """The annotations of a task were its completions, and skipped ones said so."""
    tasks = label_studio_tasks(completed, "x")
    task = exported(tasks, 0)
    task["completions"] = task.pop("annotations")
    task["completions"].append({"skipped": True, "result": [], "created_at": 9e9})
    assert read([task], completed)[0] == {4: [("cat", (20, 10, 30, 40))]}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("2024-05-02T10:00:00Z", "2024-05-02T10:00:00.000001Z"),
        ("2024-05-02T11:30:00+02:00", "2024-05-02T10:00:00Z"),  # 9:30 and 10:00
        (1714600000, 1714600001),
        ("not a date", "2024-05-02T10:00:00Z"),
    ],
)
def test_of_several_submissions_the_latest_counts(completed, older, newer):
    tasks = label_studio_tasks(completed, "x")
    for times in ((older, newer), (newer, older)):
        task = exported(tasks, 0, 1)
        task["annotations"] = [
            exported(tasks, *([0, 1] if time == newer else [2]), updated_at=time)["annotations"][0]
            for time in times
        ]
        assert len(read([task], completed)[0][4]) == 2


def test_of_submissions_without_a_date_the_one_with_the_highest_id_counts(completed):
    tasks = label_studio_tasks(completed, "x")
    task = exported(tasks, 0, 1, id=12, updated_at=None)
    task["annotations"] += exported(tasks, 2, id=7, updated_at=None)["annotations"]
    assert len(read([task], completed)[0][4]) == 2


@pytest.mark.parametrize("image_id", ["4", 4.0])
def test_image_id_as_text(completed, image_id):
    task = changed(completed)
    task["data"]["image_id"] = image_id
    assert list(read([task], completed)[0]) == [4]


@pytest.mark.parametrize(
    "url",
    ["/data/local-files/?d=images/a/cat%201.jpg", "http://x/data/local-files/?d=a/cat%201.jpg",
     "https://x/a/cat%201.jpg?Expires=1&Signature=a/b", "s3://bucket/cat 1.jpg",
     "/data/upload/3/0a1b2c3d-cat%201.jpg"],
)  # fmt: skip
def test_task_without_image_id_is_known_by_its_image(completed, url):
    task = changed(completed)
    task["data"] = {"image": url}
    assert list(read([task], completed)[0]) == [4]


def test_task_of_another_numbering(completed):
    """The ids are those of a data set that counts its images otherwise."""
    task = changed(completed)
    task["data"]["image_id"] = 2
    (told,) = errors([task], completed)
    assert "1 task has another image" in told
    assert "(task 1: x/a/cat%201.jpg, not b.jpg)" in told


def test_images_below_a_folder_that_is_named_like_theirs(completed):
    """Of b.jpg in the folder a, the URL is the one that a/b.jpg would have elsewhere."""
    completed["images"].append({"id": 5, "file_name": "a/b.jpg", "width": 30, "height": 30})
    task = {"id": 1, **label_studio_tasks(completed, "http://x/a")[1]}
    assert task["data"]["image"] == "http://x/a/b.jpg"
    task["annotations"] = [{"result": []}]
    assert read([task], completed)[0] == {2: []}


def test_image_that_was_shown_turned(completed):
    """A photo whose EXIF data turn it: 100 x 200 there, 200 x 100 here."""
    task = changed(completed, {"original_width": 100, "original_height": 200})
    (told,) = errors([task], completed)
    assert "another shape" in told
    assert "(task 1, region 9: 100x200, not 200x100)" in told


def test_image_that_the_reviewer_turned(completed):
    """Label Studio turns the view alone; regions are told of the image as it is."""
    task = changed(completed, {"image_rotation": 90})
    assert read([task], completed)[0] == {4: [("cat", (20, 10, 30, 40))]}


@pytest.mark.parametrize("size", [(1000, 500), (67, 33), (None, None), (0, 0)])
def test_image_that_was_shown_larger_or_smaller(completed, size):
    task = changed(completed, {"original_width": size[0], "original_height": size[1]})
    assert read([task], completed)[0] == {4: [("cat", (20, 10, 30, 40))]}


def test_windows_paths_become_urls(completed):
    completed["images"][0]["file_name"] = ".\\a\\cat 1.jpg"
    first, _ = label_studio_tasks(completed, "http://x")
    assert first["data"]["image"] == "http://x/a/cat%201.jpg"


def test_regions_have_ids_of_their_own(completed):
    """Label Studio's editor does not open a task in which two share one."""
    completed["annotations"][1]["id"] = 9
    completed["annotations"][2]["id"] = None
    first, _ = label_studio_tasks(completed, "x")
    assert [x["id"] for x in first["predictions"][0]["result"]] == ["9", "14", "15"]
