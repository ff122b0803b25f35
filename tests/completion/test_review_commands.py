import json
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

from comining.annotations.known import known_of
from comining.cli import main
from comining.completion.server import Running
from tests.completion.planned import begin, end
from tests.completion.served import write_folder

BOX = {"bbox": [10, 10, 20, 20], "category_id": 3, "area": 400, "iscrowd": 0}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (100, 80)).save(tmp_path / "images" / "1.png")
    dataset = {
        "images": [{"id": 1, "file_name": "1.png", "width": 100, "height": 80}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, **BOX},
            {"id": 2, "image_id": 1, **BOX, "origin": "mined", "score": 0.9},
            {"id": 3, "image_id": 1, **BOX, "origin": "mined", "score": 0.8},
        ],
    }
    write_folder(tmp_path / "done", dataset, tmp_path / "images")
    shutil.copy(tmp_path / "done" / "annotations.json", tmp_path / "input.json")
    source = json.loads((tmp_path / "done" / "source.json").read_text())
    source["annotations"] = str(tmp_path / "input.json")
    (tmp_path / "done" / "source.json").write_text(json.dumps(source))
    return tmp_path / "done"


@pytest.fixture
def of_labels(folder, tmp_path):
    """The same, completed from a folder in YOLO's format that has a data.yaml."""
    labels = tmp_path / "yolo" / "labels"
    labels.mkdir(parents=True)
    (labels / "1.txt").write_text("2 0.2 0.25 0.2 0.25\n")
    names = tmp_path / "yolo" / "data.yaml"
    names.write_text("names: [ant, bee, cat]\n")
    for file in (folder / "annotations.json", folder / "completed.json"):
        dataset = json.loads(file.read_text())
        categories = enumerate(("ant", "bee", "cat"), 1)
        dataset["categories"] = [{"id": id_, "name": name} for id_, name in categories]
        file.write_text(json.dumps(dataset))
    source = json.loads((folder / "source.json").read_text())
    source["annotations"] = str(names)
    (folder / "source.json").write_text(json.dumps(source))
    return folder


def write_image(path):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (100, 80)).save(path)


def comining(*arguments):
    return CliRunner().invoke(main, [str(x) for x in arguments])


def decide(path, *pairs):
    lines = [
        {"key": f"k{id_}", "action": action, "image_id": 1, "id": id_, "was": BOX["bbox"],
         "time": "2026-03-01T12:00:00Z"}
        for id_, action in pairs
    ]  # fmt: skip
    path.write_text("".join(f"{json.dumps(x)}\n" for x in lines))


def ids(path):
    return [x["id"] for x in json.loads(path.read_text())["annotations"]]


def test_accept_writes_what_the_review_leaves(folder):
    decide(folder / "decisions.jsonl", (2, "accept"))
    result = comining("accept", folder)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[:-1] == [
        "mined, accepted                              1",
        "mined, not reviewed: left out                1",
        "boxes in the result                          2",
        str(folder / "accepted.json"),
    ]
    assert result.output.endswith("--unreviewed keep keeps boxes that nobody decided about\n")
    assert ids(folder / "accepted.json") == [1, 2]


def test_accept_keeps_what_nobody_decided_about_if_asked(folder):
    decide(folder / "decisions.jsonl", (2, "reject"))
    assert comining("accept", folder, "--unreviewed", "keep").exit_code == 0
    annotations = json.loads((folder / "accepted.json").read_text())["annotations"]
    assert [(x["id"], x.get("origin")) for x in annotations] == [(1, None), (3, "mined")]


def test_accept_needs_no_decisions_to_keep_all(folder):
    result = comining("accept", folder, "--unreviewed", "keep")
    assert result.exit_code == 0, result.output
    assert "mined, not reviewed: kept as mined           2\n" in result.output
    assert "--unreviewed" not in result.output
    annotations = json.loads((folder / "accepted.json").read_text())["annotations"]
    assert [x.get("origin") for x in annotations] == [None, "mined", "mined"]
    words = ("--unreviewed", "keep", "--decisions", folder / "gone.jsonl")
    assert f"--decisions {folder / 'gone.jsonl'} is not there" in failing("accept", folder, *words)


def test_bare_file_has_its_decisions_beside_it(folder, tmp_path):
    (folder / "completed.json").rename(tmp_path / "mine.json")
    decide(tmp_path / "mine.decisions.jsonl", (1, "reject"), (2, "accept"))
    result = comining("accept", tmp_path / "mine.json", "--images", tmp_path / "images")
    assert result.exit_code == 0, result.output
    assert ids(tmp_path / "mine.accepted.json") == [2]


def test_torn_line_does_not_keep_from_accepting(folder):
    path = folder / "decisions.jsonl"
    decide(path, (2, "accept"))
    path.write_text(path.read_text() + '{"key":"k3","acti')
    assert comining("accept", folder).exit_code == 0
    assert ids(folder / "accepted.json") == [1, 2]


def failing(*arguments):
    result = comining(*arguments)
    assert result.exit_code == 2, result.output
    return result.output


def test_what_is_missing_is_named(folder, tmp_path):
    refused = failing("accept", folder)
    assert "make them with `comining review` first" in refused
    assert "or keep all that was mined with --unreviewed keep" in refused
    refused = failing("accept", shutil.copy(folder / "completed.json", folder / "other.json"))
    assert f"lies in the folder of a completion: name that, {folder}" in refused
    alone = shutil.copy(folder / "completed.json", tmp_path)
    assert "name the folder of its images: --images" in failing("review", alone)
    refused = failing("review", tmp_path / "images")
    assert "has no source.json. Name the folder that was its --output" in refused
    (tmp_path / "images").rename(tmp_path / "moved")
    assert "name it with --images" in failing("accept", folder)
    decide(folder / "decisions.jsonl", (2, "accept"))
    assert comining("accept", folder, "--images", tmp_path / "moved").exit_code == 0
    (folder / "completed.json").unlink()
    command = f"comining complete {tmp_path / 'images'} {tmp_path / 'input.json'}"
    for name in ("review", "accept"):
        refused = failing(name, folder, "--images", tmp_path / "moved")
        assert f"{folder} hasn't finished: wait, if it is running, or give its" in refused
        assert f"{command} --output {folder} --listed-only" in refused


def test_output_may_not_replace_what_was_reviewed(folder):
    decide(folder / "decisions.jsonl", (2, "accept"))
    before = (folder / "completed.json").read_bytes()
    output = folder / "completed.json"
    assert "is the input file" in failing("accept", folder, "--output", output)
    assert (folder / "completed.json").read_bytes() == before


def test_accepting_again_gives_the_newer_folder(of_labels, tmp_path):
    decide(of_labels / "decisions.jsonl", (2, "accept"))
    for place in (of_labels / "accepted", tmp_path / "elsewhere"):
        words = ["accept", of_labels, *(["--output", place] if place.parent == tmp_path else [])]
        decide(of_labels / "decisions.jsonl", (2, "accept"))
        result = comining(*words)
        assert result.exit_code == 0, result.output
        labels = place / "labels" / "1.txt"
        assert labels.read_text().count("\n") == 2
        labels.unlink()  # what is missing comes back
        decide(of_labels / "decisions.jsonl", (1, "reject"), (2, "accept"), (3, "reject"))
        assert comining(*words).exit_code == 0
        assert labels.read_text() == "2 0.2 0.25 0.2 0.25\n"
    assert [x.name for x in tmp_path.iterdir() if x.name.startswith(".")] == []
    assert [x.name for x in of_labels.iterdir() if x.name.startswith(".")] == []


def test_finished_images_without_a_box_have_a_file_in_an_accepted_folder(of_labels, tmp_path):
    mined = {**BOX, "id": 4, "image_id": 2, "origin": "mined", "score": 0.7}
    for name in ("annotations", "completed"):
        dataset = json.loads((of_labels / f"{name}.json").read_text())
        for number in (2, 3):
            Image.new("RGB", (100, 80)).save(tmp_path / "images" / f"{number}.png")
            more = {"id": number, "file_name": f"{number}.png", "width": 100, "height": 80}
            dataset["images"].append(more)
        dataset["annotations"] += [mined] * (name == "completed")
        (of_labels / f"{name}.json").write_text(json.dumps(dataset))
    (of_labels / "proposals.json").write_text(json.dumps([mined]))
    source = json.loads((of_labels / "source.json").read_text())
    (of_labels / "source.json").write_text(json.dumps({**source, "listed_only": False}))
    lines = [
        {"key": "k1", "action": "reject", "image_id": 2, "id": 4, "was": BOX["bbox"]},
        {"key": "k2", "action": "finish", "image_id": 2},
    ]
    text = "".join(json.dumps({**x, "time": "2026-03-01T12:00:00Z"}) + "\n" for x in lines)
    (of_labels / "decisions.jsonl").write_text(text)
    result = comining("accept", of_labels)
    assert result.exit_code == 0, result.output
    labels = of_labels / "accepted" / "labels"
    assert sorted(x.name for x in labels.iterdir()) == ["1.txt", "2.txt"]
    assert (labels / "2.txt").read_text() == ""
    coco = of_labels / "accepted.json"
    alone = "the same as a COCO file, which alone tells which images are finished"
    assert f"{of_labels / 'accepted'}\n{alone}: {coco}\n" in result.output
    images = json.loads(coco.read_text())["images"]
    assert [x["id"] for x in images if x.get("finished")] == [2]
    known = tmp_path / "known.json"
    comining("annotate-known", coco, "--output", known, "--absent", "ant", "--images-glob", "3.*")
    assert known_of(json.loads(known.read_text())).finished([1, 2, 3]) == {2}
    elsewhere = comining("accept", of_labels, "--output", tmp_path / "elsewhere").output
    assert "finished is kept in a COCO file alone: without --output, `comining" in elsewhere
    assert f"writes it, too, as {coco}\n" in elsewhere


def test_where_accepted_files_belong_is_told(of_labels, tmp_path):
    """Copied over those that were completed, they take their place, whatever lies beside."""
    decide(of_labels / "decisions.jsonl", (2, "accept"))
    (tmp_path / "yolo" / "data.yaml").write_text("path: .\nnames: [ant, bee, cat]\n")
    (tmp_path / "yolo" / "images").mkdir()
    result = comining("accept", of_labels)
    assert result.output.splitlines()[-2] == (
        f"it is laid out as {tmp_path / 'yolo'}, without images: to use it, copy its files over "
        "those there, of which you may want to keep a copy"
    )
    shutil.copytree(of_labels / "accepted", tmp_path / "yolo", dirs_exist_ok=True)
    assert (tmp_path / "yolo" / "labels" / "1.txt").read_text().count("\n") == 2
    assert (tmp_path / "yolo" / "data.yaml").read_text() == "names: [ant, bee, cat]\n"
    names = sorted(x.name for x in (tmp_path / "yolo").iterdir())
    assert names == ["data.yaml", "images", "labels"]


def test_a_coco_file_that_was_edited_keeps_from_accepting(of_labels):
    decide(of_labels / "decisions.jsonl", (2, "accept"))
    (of_labels / "accepted.json").write_text("theirs")
    assert "accepted.json is there already, and not as" in failing("accept", of_labels)
    assert (of_labels / "accepted.json").read_text() == "theirs"
    assert not (of_labels / "accepted").exists()


def test_annotations_may_have_been_replaced_but_no_new_ones_are_lost(of_labels, tmp_path):
    """As where what was accepted takes the place of what was completed."""
    labels = tmp_path / "yolo" / "labels"
    accepted = of_labels / "accepted" / "labels" / "1.txt"
    decide(of_labels / "decisions.jsonl", (1, "reject"), (2, "accept"))
    assert comining("accept", of_labels).exit_code == 0
    before = accepted.read_text()
    (labels / "1.txt").write_text(before)
    assert comining("accept", of_labels).exit_code == 0
    assert accepted.read_text() == before
    (labels / "1.txt").write_text(before + "0 0.5 0.5 0.1 0.1\n")
    told = failing("accept", of_labels)
    assert "1 box, new or changed since the completion, which would be lost: in 1.png" in told
    (labels / "1.txt").write_text(before)
    Image.new("RGB", (100, 80)).save(tmp_path / "images" / "0.png")
    (labels / "0.txt").write_text("2 0.2 0.25 0.2 0.25\n")
    source = json.loads((of_labels / "source.json").read_text())
    (of_labels / "source.json").write_text(json.dumps({**source, "listed_only": False}))
    assert "1 box, new or changed since the completion" in failing("accept", of_labels)
    assert accepted.read_text() == before
    (labels / "0.txt").unlink()
    assert comining("accept", of_labels).exit_code == 0
    (tmp_path / "images" / "1.png").unlink()
    assert "1.png" in failing("accept", of_labels)
    assert accepted.read_text() == before


def test_accepted_files_of_images_that_had_none_may_be_copied_over(tmp_path):
    """Which images have a file changes the order of the others."""
    for name in "abc":
        write_image(tmp_path / "images" / f"{name}.png")
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "c.txt").write_text("0 0.2 0.25 0.2 0.25\n")
    (labels / "classes.txt").write_text("cat\n")
    folder, source = begin(tmp_path, labels)
    assert [x["file_name"] for x in source.dataset["images"]] == ["c.png", "a.png", "b.png"]
    new = {"id": 2, "image_id": 3, "category_id": 1, "bbox": [50, 10, 20, 20],
           "area": 1, "iscrowd": 0, "score": 0.9, "origin": "mined"}  # fmt: skip
    end(folder, source, [new])
    decision = {"key": "k", "action": "accept", "image_id": 3, "id": 2, "was": new["bbox"],
                "time": "2026-03-01T12:00:00Z"}  # fmt: skip
    folder.decisions.write_text(f"{json.dumps(decision)}\n")
    for _ in range(2):
        result = comining("accept", folder.path)
        assert result.exit_code == 0, result.output
        files = {x.name: x.read_text() for x in (folder.path / "accepted").glob("?.txt")}
        assert files == {
            "b.txt": "0 0.600000 0.250000 0.200000 0.250000\n",
            "c.txt": "0 0.2 0.25 0.2 0.25\n",
        }
        shutil.copytree(folder.path / "accepted", labels, dirs_exist_ok=True)
    copied = json.loads((folder.path / "accepted.json").read_text())
    assert [x["image_id"] for x in copied["annotations"]] == [1, 3]


def test_an_accepted_file_is_replaced_until_someone_edits_it(folder):
    accepted = folder / "accepted.json"
    for pair in ((2, "accept"), (2, "reject")):
        decide(folder / "decisions.jsonl", pair)
        assert comining("accept", folder).exit_code == 0
    assert ids(accepted) == [1]
    edited = accepted.read_text() + "\n"
    accepted.write_text(edited)
    refused = failing("accept", folder)
    assert f"{accepted} is there already, and not as `comining accept` wrote it: move it" in refused
    assert accepted.read_text() == edited
    accepted.unlink()
    assert comining("accept", folder).exit_code == 0


@pytest.mark.parametrize("change", ["a file changed", "a file added", "a link added", "not ours"])
def test_accepting_again_spares_the_files_of_others(of_labels, change):
    decide(of_labels / "decisions.jsonl", (2, "accept"))
    labels = of_labels / "accepted" / "labels"
    if change == "not ours":
        labels.mkdir(parents=True)
    else:
        assert comining("accept", of_labels).exit_code == 0
    theirs = labels / ("1.txt" if change == "a file changed" else "notes")
    if change == "a link added":
        theirs.symlink_to(labels / "1.txt")
    else:
        theirs.write_text("theirs")
    before = {x: x.read_bytes() for x in labels.iterdir()}
    name = theirs.relative_to(of_labels / "accepted")
    refused = failing("accept", of_labels)
    assert f"{name} in it is not as `comining accept` wrote it: move the folder away" in refused
    assert {x: x.read_bytes() for x in labels.iterdir()} == before


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("yolo/labels/accepted", "yolo, which would then hold two versions"),
        ("gone/accepted", "doesn't exist: create it first"),
        ("yolo.json", "name one, or leave --output out, and a COCO file is written"),
        ("notes", "is a file: name a folder"),
        ("images", "1.png in it is not as `comining accept` wrote it"),
    ],
)
def test_folder_that_accepted_annotations_cannot_go_to(of_labels, tmp_path, output, message):
    decide(of_labels / "decisions.jsonl", (2, "accept"))
    (tmp_path / "notes").touch()
    assert message in failing("accept", of_labels, "--output", tmp_path / output)
    assert (tmp_path / "images" / "1.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--html", "page.html", "--to", "cvat"], "exclude each other"),
        (["--output", "file.json"], "--output goes with --to or --from"),
        (["--to", "cvat"], "--to needs --output"),
        (["--to", "label-studio", "--output", "f.json"], "--image-url go together"),
        (["--sample", "0"], "is not in the range"),
    ],
)
def test_options_that_do_not_go_together(folder, arguments, message):
    assert message in failing("review", folder, *arguments)


def test_review_prints_its_address_and_ends_by_an_interrupt(folder, monkeypatch):
    def interrupted(self):
        self.socket.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(Running, "run", interrupted)
    decide(folder / "decisions.jsonl", (2, "accept"), (3, "accept"))
    undo = {"key": "u", "action": "undo", "image_id": 1, "of": "k3", "time": "2026-03-01T12:00:01Z"}
    with (folder / "decisions.jsonl").open("a") as file:
        file.write(f"{json.dumps(undo)}\n")
    result = comining("review", folder, "--no-browser")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Review at http://127.0.0.1:")
    assert f"decisions in {folder / 'decisions.jsonl'}: 1;" in result.output


def test_review_in_cvat_and_back(folder):
    output = folder / "cvat.json"
    result = comining("review", folder, "--to", "cvat", "--output", output)
    assert "import it as COCO 1.0 into a task with the labels cat" in result.output
    export = json.loads(output.read_text())
    export["annotations"] = [x for x in export["annotations"] if x["id"] != 3]
    output.write_text(json.dumps(export))
    result = comining("review", folder, "--from", output, "--output", folder / "back.json")
    assert result.exit_code == 0, result.output
    # Boxes that lie on one another are told apart by their order alone.
    assert ids(folder / "back.json") == [1, 2]
    assert "nothing was changed" not in result.output


def test_that_nothing_was_changed_elsewhere_is_told(folder):
    output = folder / "cvat.json"
    comining("review", folder, "--to", "cvat", "--output", output)
    result = comining("review", folder, "--from", output)
    assert "mined, accepted                              2\n" in result.output
    told = f"nothing was changed in {output}: all of its boxes are accepted"
    assert result.output.splitlines()[-1] == told


def test_an_export_of_something_else_is_told(folder):
    output = folder / "cvat.json"
    comining("review", folder, "--to", "cvat", "--output", output)
    export = json.loads(output.read_text())
    for x in export["annotations"]:
        x["bbox"] = [50, 50, 20, 20]
    output.write_text(json.dumps(export))
    result = comining("review", folder, "--from", output)
    assert "annotated, deleted                           1\n" in result.output
    assert f"are not in {output}: make sure that it is the export of a review of" in result.output


def test_an_accepted_file_needs_an_ending(folder, tmp_path):
    decide(folder / "decisions.jsonl", (2, "accept"))
    refused = failing("accept", folder, "--output", tmp_path / "final")
    assert f"final has no ending: name a file such as {tmp_path / 'final'}.json" in refused


def test_tasks_for_label_studio(folder):
    output = folder / "tasks.json"
    arguments = ["--to", "label-studio", "--image-url", "/data/", "--output", output]
    result = comining("review", folder, *arguments)
    assert '<Label value="cat"/>' in result.output
    (task,) = json.loads(output.read_text())
    assert task["data"]["image"] == "/data/1.png"


def test_decisions_that_are_not_in_the_named_file_are_told(folder, tmp_path):
    decide(folder / "decisions.jsonl", (2, "accept"), (3, "accept"))
    decide(tmp_path / "page.jsonl", (2, "accept"))
    result = comining("accept", folder, "--decisions", tmp_path / "page.jsonl")
    own = folder / "decisions.jsonl"
    assert f"\n1 decision is in {own} alone, not in the named file: left out\n" in result.output
    assert ids(folder / "accepted.json") == [1, 2]
    decide(tmp_path / "page.jsonl", (2, "accept"), (3, "reject"))  # keys are the decisions' own
    assert "alone" not in comining("accept", folder, "--decisions", tmp_path / "page.jsonl").output


def test_mined_boxes_that_a_format_cannot_mark_are_told(of_labels):
    mark = "its format has no mark for mined boxes: there they look like all others"
    assert mark in comining("accept", of_labels, "--unreviewed", "keep").output
    decide(of_labels / "decisions.jsonl", (2, "accept"), (3, "accept"))
    assert mark not in comining("accept", of_labels).output
