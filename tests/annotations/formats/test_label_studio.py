"""Label Studio's exports as JSON and as JSON-MIN."""

import copy
import json

import pytest

from comining.annotations.formats import read_annotations, write_annotations
from comining.errors import InputError


def rectangle(x, y, width, height, label, rotation=0):
    place = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return {**place, "rectanglelabels": [label]}


def region(id_, value, kind="rectanglelabels", size=(200, 100)):
    return {
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": value,
        "id": id_,
        "from_name": "tag",
        "to_name": "img",
        "type": kind,
        "origin": "manual",
    }


POLYGON = {"points": [[0.5, 2], [15.5, 2], [8, 42]], "closed": True, "polygonlabels": ["ant"]}
ELLIPSE = {"x": 25, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 0, "ellipselabels": ["ant"]}
BRUSH = {"format": "rle", "rle": [0, 0], "brushlabels": ["ant"]}
TASKS = [
    {
        "id": 11,
        "annotations": [
            {
                "id": 1,
                "was_cancelled": False,
                "updated_at": "2024-01-01T00:00:00Z",
                "result": [region("old", rectangle(0, 0, 1, 1, "ant"))],
            },
            {
                "id": 2,
                "was_cancelled": False,
                "updated_at": "2024-02-01T00:00:00Z",
                "result": [
                    region("r1", rectangle(5, 20, 25, 70, "cat")),
                    {"id": "r1", "from_name": "age", "type": "choices", "value": {"choices": []}},
                    region("r2", rectangle(50, 40, 20, 20, "ant", rotation=90)),
                    region("r3", POLYGON, "polygonlabels"),
                    region("r4", ELLIPSE, "ellipselabels"),
                    region("r5", BRUSH, "brushlabels"),
                ],
            },
            {"id": 3, "was_cancelled": True, "updated_at": "2025-01-01T00:00:00Z", "result": []},
        ],
        "predictions": [{"model_version": "other", "score": 0.3, "result": []}],
        "data": {"image": "/data/upload/1/ab12cd34-a.jpg", "source": "camera"},
        "meta": {},
    },
    {
        "id": 12,
        "annotations": [{"id": 4, "was_cancelled": True, "result": []}],
        "data": {"image": "/data/local-files/?d=images/sub%20dir/b%20%C3%BC.png"},
    },
]
BOXES = {
    "a.jpg": [
        ("cat", [10, 20, 50, 70]),
        ("ant", [80, 40, 20, 40]),  # 40 x 20, turned about its corner (100, 40)
        ("ant", [1, 2, 30, 40]),
        ("ant", [30, 40, 40, 20]),
    ],
    "sub dir/b ü.png": [],
    "c.jpg": [],
}


@pytest.fixture
def write(tmp_path):
    def write_json(content):
        path = tmp_path / "tasks.json"
        path.write_text(json.dumps(content))
        return path

    return write_json


def test_the_latest_annotations_of_tasks_are_read(write, images, helpers):
    source = read_annotations(write(TASKS), images)
    assert source.format == "label_studio"
    assert helpers.boxes(source) == BOXES
    assert source.notes == [
        "1 task has several annotations: the latest taken",
        "1 prediction: left out",
        "1 region is rotated: taken upright, large enough to hold it",
        "1 region of the kind 'polygonlabels': taken by its box",
        "1 region of the kind 'ellipselabels': taken by its box",
        "1 region of the kind 'brushlabels': left out",
        "1 task has no annotation that was submitted: without boxes",
        f"1 image is not listed: added from {images}, with no box yet",
    ]


def test_ground_truth_comes_before_later_annotations(write, images, helpers):
    tasks = copy.deepcopy(TASKS)
    tasks[0]["annotations"][0]["ground_truth"] = True
    assert helpers.boxes(read_annotations(write(tasks), images))["a.jpg"] == [("ant", [0, 0, 2, 1])]


@pytest.mark.parametrize(
    "url",
    [
        "/data/upload/1/0123abcd-a.jpg",
        "https://example.org/photos/a.jpg?token=1",
        "s3://bucket/x/a.jpg",
        "/data/local-files/?d=C%3A%5Cphotos%5Ca.jpg",
        "images/a.jpg",
    ],
)
def test_images_are_found_by_their_urls(url, write, images, helpers):
    tasks = [{**TASKS[0], "data": {"photo": url, "note": "a.b"}}]
    assert helpers.boxes(read_annotations(write(tasks), images)) == BOXES


def test_the_spelling_of_uploads_is_known(write, images, helpers):
    tasks = copy.deepcopy(TASKS)
    tasks[1]["data"]["image"] = "/data/upload/1/0123abcd-b_%C3%BC.png"
    assert helpers.boxes(read_annotations(write(tasks), images)) == BOXES


def test_mined_boxes_are_a_prediction_and_all_else_is_as_it_was(write, images, tmp_path, helpers):
    source = read_annotations(write(TASKS), images)
    dataset = helpers.changed(
        source,
        add=[
            ("a.jpg", "cat", [150, 50, 20, 10], 0.87),
            ("a.jpg", "cat", [50, 50, 20, 10], 0.5),
            ("c.jpg", "ant", [0, 0, 25, 40], 0.25),
        ],
    )
    written = write_annotations(source, dataset, tmp_path / "out")
    assert written.name == "completed.label_studio.json"
    tasks = json.loads(written.read_text())
    other, own = tasks[0].pop("predictions")
    assert tasks[0] == {k: v for k, v in TASKS[0].items() if k != "predictions"}
    assert other == TASKS[0]["predictions"][0]
    assert (own["model_version"], own["score"]) == ("comining", 0.5)
    first = own["result"][0]
    assert (first["from_name"], first["to_name"], first["type"]) == (
        *("tag", "img", "rectanglelabels"),
    )
    assert first["score"] == 0.87
    assert first["value"] == rectangle(75, 50, 10, 10, "cat")
    assert tasks[1] == TASKS[1]
    assert tasks[2]["data"] == {"image": "c.jpg"}
    again = read_annotations(written, images)
    assert helpers.boxes(again) == helpers.boxes(dataset)
    assert sorted(x for x in helpers.marks(again) if x[0]) == [
        *(("mined", 0.25), ("mined", 0.5), ("mined", 0.87)),
    ]


def test_decisions_of_a_review_change_the_annotation_and_the_prediction(
    write, images, tmp_path, helpers
):
    source = read_annotations(write(TASKS), images)
    dataset = helpers.changed(
        source,
        add=[("a.jpg", "cat", [150, 50, 20, 10], 0.87), ("a.jpg", "cat", [50, 50, 20, 10], 0.5)],
    )
    completed = read_annotations(write_annotations(source, dataset, tmp_path / "1"), images)
    ids = {tuple(round(v, 2) for v in x["bbox"]): x["id"] for x in completed.dataset["annotations"]}
    reviewed = helpers.changed(
        completed,
        remove=[ids[50, 50, 20, 10], ids[10, 20, 50, 70]],
        move={ids[80, 40, 20, 40]: [0, 0, 20, 10], ids[1, 2, 30, 40]: [2, 2, 30, 40]},
    )
    for annotation in reviewed["annotations"]:
        annotation.pop("origin", None)
        annotation.pop("score", None)
    written = write_annotations(completed, reviewed, tmp_path / "2")
    task = json.loads(written.read_text())[0]
    assert task["predictions"] == TASKS[0]["predictions"]
    result = task["annotations"][1]["result"]
    assert [(x["id"], x["type"]) for x in result[:4]] == [
        ("r2", "rectanglelabels"),
        ("r3", "rectanglelabels"),
        ("r4", "ellipselabels"),
        ("r5", "brushlabels"),
    ]
    assert result[0]["value"] == rectangle(0, 0, 10, 10, "ant")
    again = read_annotations(written, images)
    assert sorted(helpers.boxes(again)["a.jpg"]) == sorted(helpers.boxes(reviewed)["a.jpg"])
    assert set(helpers.marks(again)) == {(None, None)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"text": "hello"}}, r"task 11 names no image"),
        ({"annotations": [{"result": None}]}, r"task 11: 'annotations' must hold objects"),
        (
            {"annotations": [{"result": [region("r1", {**ELLIPSE, "x": "?"})]}]},
            r"task 11: region r1: x is '\?', not a number",
        ),
        (
            {"annotations": [{"result": [region("r1", ELLIPSE, size=(100, 100))]}]},
            r"task 11: .* is said to be 100x100, but .*a\.jpg is 200x100",
        ),
    ],
)
def test_a_fault_is_named(change, message, write, images):
    with pytest.raises(InputError, match=message):
        read_annotations(write([{**TASKS[0], **change}]), images)


def flat(value):
    return {**value, "original_width": 200, "original_height": 100}


MIN = [
    {
        "image": "/data/upload/1/ab12cd34-a.jpg",
        "id": 11,
        "tag": [flat(rectangle(5, 20, 25, 70, "cat")), flat(rectangle(50, 40, 20, 20, "ant", 90))],
        "shapes": [flat(POLYGON), flat(ELLIPSE), flat(BRUSH)],
        "weather": "rain",
        "annotator": 1,
        "annotation_id": 2,
        "updated_at": "2024-02-01T00:00:00Z",
    },
    {"image": "b ü.png", "id": 12, "annotator": 1, "annotation_id": 4},
    {
        "image": "/data/upload/1/ab12cd34-a.jpg",
        "id": 11,
        "tag": [flat(rectangle(0, 0, 1, 1, "ant"))],
        "annotation_id": 1,
        "updated_at": "2024-01-01T00:00:00Z",
    },
]


def test_json_min_is_read(write, images, helpers):
    source = read_annotations(write(MIN), images)
    assert source.format == "label_studio"
    assert helpers.boxes(source) == BOXES
    assert "1 annotation of a task that has a later one: left out" in source.notes


def test_json_min_is_edited_in_its_lists(write, images, tmp_path, helpers):
    source = read_annotations(write(MIN), images)
    dataset = helpers.changed(
        source,
        add=[
            ("a.jpg", "cat", [150, 50, 20, 10], 0.87),
            ("sub dir/b ü.png", "ant", [0, 0, 50, 40], 0.5),
            ("c.jpg", "ant", [0, 0, 25, 40], None),
        ],
        remove=[2],
        move={3: [2, 2, 30, 40]},
    )
    written = write_annotations(source, dataset, tmp_path / "out")
    items = json.loads(written.read_text())
    assert items[0]["tag"] == [
        MIN[0]["tag"][0],
        {**flat(rectangle(75, 50, 10, 10, "cat")), "origin": "mined", "score": 0.87},
    ]
    assert items[0]["shapes"] == [flat(rectangle(1, 2, 15, 40, "ant")), *MIN[0]["shapes"][1:]]
    assert items[2] == MIN[2]
    again = read_annotations(written, images)
    assert {k: sorted(v) for k, v in helpers.boxes(again).items()} == {
        k: sorted(v) for k, v in helpers.boxes(dataset).items()
    }
    assert sorted(x for x in helpers.marks(again) if x[0]) == [("mined", 0.5), ("mined", 0.87)]


def test_what_else_is_said_of_a_polygon_stays_when_it_is_moved(write, images, tmp_path, helpers):
    tasks = copy.deepcopy(TASKS)
    outline = {k: POLYGON[k] for k in ("points", "closed")}
    asked = region("r3", {**outline, "choices": ["young"]}, "choices")
    tasks[0]["annotations"][1]["result"].append(asked)
    source = read_annotations(write(tasks), images)
    (moved,) = (x["id"] for x in source.dataset["annotations"] if x["bbox"] == [1, 2, 30, 40])
    written = write_annotations(
        source, helpers.changed(source, move={moved: [2, 2, 30, 40]}), tmp_path / "out"
    )
    results = json.loads(written.read_text())[0]["annotations"][1]["result"]
    box, choice = (x["value"] for x in results if x["id"] == "r3")
    assert box == rectangle(1, 2, 15, 40, "ant")
    place = {k: box[k] for k in ("x", "y", "width", "height", "rotation")}
    assert choice == {**place, "choices": ["young"]}


def test_any_text_may_stand_among_the_fields_of_a_task(write, images, helpers):
    tasks = copy.deepcopy(TASKS)
    tasks[0]["data"]["note"] = "see http://[here"
    assert helpers.boxes(read_annotations(write(tasks), images))


def test_new_regions_have_ids_of_their_own(write, images, helpers, tmp_path):
    """Boxes are numbered anew in each reading, while their regions keep the ids that they got."""
    tasks = copy.deepcopy(TASKS)
    tasks[0]["annotations"][1]["result"][0]["id"] = "comining-9"
    source = read_annotations(write(tasks), images)
    box = ("a.jpg", "cat", [100, 10, 20, 20], None)
    added = helpers.changed(source, add=[box, box])
    added["annotations"][-2]["id"] = 9
    written = json.loads(write_annotations(source, added, tmp_path / "out").read_text())
    last = added["annotations"][-1]["id"]
    result = written[0]["annotations"][1]["result"]
    assert [x["id"] for x in result[-2:]] == ["comining-9-2", f"comining-{last}"]
