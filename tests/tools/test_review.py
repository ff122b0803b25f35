"""The command line of the review."""

import json

import pytest
import review
from detectron2.data import DatasetCatalog

from comining.annotations.completion import complete
from comining.data import register_coco


@pytest.fixture
def completed(tmp_path):
    dataset = {
        "images": [{"id": 1, "file_name": "1.png", "width": 40, "height": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5]}],
        "categories": [{"id": 2, "name": "cat"}],
    }
    mined = [{"category_id": 2, "score": score, "box": [20, y, 30, y + 9.5]}
             for score, y in ((0.9, 10), (0.8, 30))]  # fmt: skip
    path = tmp_path / "completed.json"
    path.write_text(json.dumps(complete(dataset, {1: mined}, {"weights": "w"})))
    return path


def run(*args):
    review.main([str(x) for x in args])
    return json.loads(args[args.index("--output") + 1].read_text())


def test_through_label_studio(completed, tmp_path, capsys):
    tasks = run("to-label-studio", completed, "--image-url", "http://x", "--output",
                tmp_path / "tasks.json")  # fmt: skip
    assert '<Label value="cat"/>' in capsys.readouterr().out
    result = tasks[0]["predictions"][0]["result"][:2]
    exported = tmp_path / "exported.json"
    exported.write_text(json.dumps([{**tasks[0], "id": 3, "annotations": [{"result": result}]}]))
    back = run("back", completed, exported, "--output", tmp_path / "reviewed.json")
    assert [x["id"] for x in back["annotations"]] == [1, 2]
    assert not any("origin" in x or "score" in x for x in back["annotations"])
    out = capsys.readouterr().out
    assert "mined, accepted                              1" in out
    assert "mined, rejected                              1" in out


def test_through_cvat_to_a_data_set_to_train_on(completed, tmp_path):
    instances = run("to-cvat", completed, "--output", tmp_path / "instances.json")
    instances["annotations"] = [x for x in instances["annotations"] if x["id"] != 2]
    for annotation in instances["annotations"]:
        annotation["id"] += 50
    exported = tmp_path / "exported.json"
    exported.write_text(json.dumps(instances))
    run("back", completed, exported, "--output", tmp_path / "reviewed.json")
    (tmp_path / "1.png").touch()
    register_coco("reviewed", tmp_path / "reviewed.json", tmp_path)
    (record,) = DatasetCatalog.get("reviewed")
    assert [x["bbox"] for x in record["annotations"]] == [[0, 0, 5, 5], [20, 30, 10, 9.5]]


@pytest.mark.parametrize(
    ("command", "name"),
    [("to-cvat", "completed.json"), ("back", "completed.json"), ("back", "exported.json")],
)
def test_inputs_are_not_overwritten(completed, tmp_path, command, name):
    inputs = [completed]
    if command == "back":
        inputs.append(tmp_path / "exported.json")
        inputs[1].write_text("[]")
    before = (tmp_path / name).read_text()
    with pytest.raises(SystemExit, match=f"--output .*{name} is the input file"):
        run(command, *inputs, "--output", tmp_path / name)
    assert (tmp_path / name).read_text() == before


def test_categories_of_one_name_can_not_be_told_apart(completed, tmp_path):
    dataset = json.loads(completed.read_text())
    dataset["categories"].append({"id": 7, "name": "cat"})
    completed.write_text(json.dumps(dataset))
    with pytest.raises(
        SystemExit, match=r"(?s)completed\.json .*names occur twice.*'cat': ids 2, 7"
    ):
        run("to-cvat", completed, "--output", tmp_path / "instances.json")


def test_mined_box_without_score(completed, tmp_path):
    dataset = json.loads(completed.read_text())
    del dataset["annotations"][1]["score"]
    completed.write_text(json.dumps(dataset))
    with pytest.raises(SystemExit, match=r"mined annotations have no 'score' from 0 to 1 \(2\)"):
        run("to-label-studio", completed, "--image-url", "x", "--output", tmp_path / "tasks.json")


def test_boxes_that_are_left_out_are_told(completed, tmp_path, capsys):
    dataset = json.loads(completed.read_text())
    dataset["annotations"][0]["bbox"][2] = 0
    completed.write_text(json.dumps(dataset))
    run("to-cvat", completed, "--output", tmp_path / "instances.json")
    assert f"{completed}: 1 image, 3 annotations" in (told := capsys.readouterr().err)
    assert "1 box has no area: dropped (1)" in told


def test_export_that_has_no_tasks(completed, tmp_path):
    exported = tmp_path / "exported.json"
    exported.write_text("[7]")
    with pytest.raises(SystemExit, match=r"^error: .*exported\.json: entry 0 .* is 7, no task"):
        run("back", completed, exported, "--output", tmp_path / "reviewed.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"images": [{"id": 1}], "annotations": [], "categories": []}',
            r"image has no id or no file name.* \(1: None",
        ),
        ('{"images": [], "categories": []}', r"exported\.json .* needs a list 'annotations'"),
        ('"text"', r"exported\.json is neither Label Studio's JSON nor CVAT's COCO 1.0"),
    ],
)
def test_export_without_its_parts(completed, tmp_path, text, message):
    exported = tmp_path / "exported.json"
    exported.write_text(text)
    with pytest.raises(SystemExit, match=rf"(?s)^error: .*{message}"):
        run("back", completed, exported, "--output", tmp_path / "reviewed.json")
    assert not (tmp_path / "reviewed.json").exists()


def test_turned_box_of_cvat_is_told(completed, tmp_path, capsys):
    """A mined box that the reviewer turned by a quarter is a new one."""
    instances = run("to-cvat", completed, "--output", tmp_path / "instances.json")
    instances["annotations"][1]["attributes"]["rotation"] = 90.0
    instances["annotations"][1]["bbox"] = [20, 10, 10, 4]
    exported = tmp_path / "exported.json"
    exported.write_text(json.dumps(instances))
    back = run("back", completed, exported, "--output", tmp_path / "reviewed.json")
    assert [(x["id"], x["bbox"]) for x in back["annotations"]] == [
        (1, [0, 0, 5, 5]), (3, [20, 30, 10, 9.5]), (4, [23, 7, 4, 10]),
    ]  # fmt: skip
    assert "1 box is turned" in capsys.readouterr().err


def test_single_task_of_label_studio(completed, tmp_path):
    tasks = run("to-label-studio", completed, "--image-url", "x", "--output",
                tmp_path / "tasks.json")  # fmt: skip
    exported = tmp_path / "exported.json"
    exported.write_text(json.dumps({**tasks[0], "id": 3, "annotations": [{"result": []}]}))
    back = run("back", completed, exported, "--output", tmp_path / "reviewed.json")
    assert back["annotations"] == []


def test_broken_export(completed, tmp_path):
    exported = tmp_path / "exported.json"
    exported.write_text("{")
    with pytest.raises(SystemExit, match=r"exported\.json is not a JSON file"):
        run("back", completed, exported, "--output", tmp_path / "reviewed.json")
