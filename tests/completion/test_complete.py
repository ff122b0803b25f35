"""Completing half-finished annotations, from the command to its files."""

import json
import re

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import comining
from comining.annotations.sparse import make_sparse
from comining.completion import machine, work
from comining.completion.complete import Completion, complete
from comining.completion.pace import Pace
from comining.completion.thresholds import Chosen
from comining.completion.training import Timing
from comining.completion.withholding import withhold
from comining.engine.miner import Mined
from comining.errors import InputError

from .planned import found_on_every_image, shrink, write_dataset


def test_plan_is_explained_and_nothing_is_trained(tmp_path):
    write_dataset(tmp_path)
    complete(tmp_path / "photos", tmp_path / "half.json", tmp_path / "out", device="cpu",
             dry_run=True)  # fmt: skip
    text = (tmp_path / "out" / "config.yaml").read_text()
    assert "# the categories, with their annotated boxes: cat 12, dog 12\n" in text
    assert "NUM_CLASSES: 2\n" in text
    assert not (tmp_path / "out" / "training").exists()


def test_without_trained_weights_it_says_where_they_are(tmp_path, monkeypatch, capsys):
    write_dataset(tmp_path)
    monkeypatch.setattr(machine, "_can_be_had", lambda _: False)
    complete(tmp_path / "photos", tmp_path / "half.json", tmp_path / "out", device="cpu",
             dry_run=True, quiet=False)  # fmt: skip
    url = "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"  # of docs/trunk.md
    assert f"fetch {url} by other means" in capsys.readouterr().err


def test_missing_boxes_are_added_and_what_was_there_stays(planned, monkeypatch):
    (images, annotations, output), dataset = planned
    monkeypatch.setattr(work, "mine", found_on_every_image)
    done = complete(images, annotations, output, device="cpu")
    assert isinstance(done, Completion)
    before = {x["id"]: x for x in dataset["annotations"]}
    after = {x["id"]: x for x in done.dataset["annotations"]}
    assert {id_: after[id_] for id_ in before} == before
    added = [x for x in after.values() if x["id"] not in before]
    assert len(added) == 12
    assert all(x["bbox"] == [40, 34, 24, 13] for x in added)  # clipped to the image
    assert {(x["category_id"], x["origin"], x["score"]) for x in added} == {(7, "mined", 0.93)}
    cat, dog = done.categories
    assert (cat["name"], cat["annotated"], cat["added"]) == ("cat", 12, 0)
    assert (dog["name"], dog["annotated"], dog["added"]) == ("dog", 12, 12)
    assert dog["precision"] >= 0.9
    assert done.recall == 1
    arrays = done.detections(1)
    assert arrays["xyxy"].tolist() == [[40, 34, 64, 47]]
    assert arrays["confidence"].tolist() == [0.93]
    assert arrays["class_id"].tolist() == [1]  # dog
    assert done.written == output / "completed.json"
    page = (output / "report.html").read_text()
    assert f"comining review {output} --sample 40</code>" in page
    assert page.count("data:image/svg+xml;base64,") == 1
    assert '<a href="review.html">' in page
    assert "12 images had 24 annotated boxes; 12 boxes were added" in page
    assert page.count("data:image/jpeg;base64,") == 12
    assert "bild \\u00fc 1.png" in (output / "review.html").read_text()
    assert (output / "log.txt").stat().st_size > 1000


@pytest.mark.usefixtures("without_curves")
def test_after_a_review_the_same_command_goes_by_it(planned, monkeypatch, capsys):
    arguments, _ = planned
    output = arguments[2]
    monkeypatch.setattr(work, "mine", found_on_every_image)
    complete(*arguments, device="cpu")
    weights = (output / "training" / "model_final.pth").stat().st_mtime_ns
    proposals = json.loads((output / "proposals.json").read_text())
    lines = [
        {"key": f"k{x['id']}", "action": "reject", "image_id": x["image_id"], "id": x["id"],
         "was": x["bbox"], "time": "2026-03-01T12:00:00Z"}
        for x in proposals[:4]
    ]  # fmt: skip
    (output / "decisions.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))
    done = complete(*arguments, device="cpu")
    added = [x["id"] for x in done.dataset["annotations"] if x.get("origin") == "mined"]
    assert added == [x["id"] for x in proposals[4:]]
    (output / "sample.json").write_text(json.dumps([[x["id"] for x in proposals[:4]]]))
    capsys.readouterr()
    done = complete(*arguments, device="cpu", quiet=False)
    told = capsys.readouterr().err
    assert "\n4 iterations: already done\n" in told
    assert "\nwhat you decided about 4 boxes stays so\nyour verdicts on 4 drawn boxes tell" in told
    assert "training 0%" not in told
    assert "training ..." not in told
    assert done.categories[1]["added"] == 0  # all of a sample was wrong
    assert (output / "training" / "model_final.pth").stat().st_mtime_ns == weights


@pytest.mark.usefixtures("without_curves")
def test_a_sample_that_is_hardly_judged_does_not_stand_for_all(planned, monkeypatch):
    arguments, _ = planned
    output = arguments[2]
    monkeypatch.setattr(work, "mine", found_on_every_image)
    complete(*arguments, device="cpu")
    first, second, *others = json.loads((output / "proposals.json").read_text())
    common = {"time": "2026-03-01T12:00:00Z"}
    reject = {**common, "key": "a", "action": "reject", "image_id": first["image_id"],
              "id": first["id"], "was": first["bbox"]}  # fmt: skip
    finish = {**common, "key": "b", "action": "finish", "image_id": second["image_id"]}
    (output / "decisions.jsonl").write_text(f"{json.dumps(reject)}\n{json.dumps(finish)}\n")
    # One of three is judged; of a second one, no more is known than that its image is finished.
    (output / "sample.json").write_text(json.dumps([[first["id"], second["id"], others[0]["id"]]]))
    done = complete(*arguments, device="cpu")
    added = [x["id"] for x in done.dataset["annotations"] if x.get("origin") == "mined"]
    assert added == [x["id"] for x in others]


@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize("name", ["annotations.json", "thesis.tex"])
def test_a_folder_of_something_else_stays_as_it_is(tmp_path, name):
    write_dataset(tmp_path)
    data, output = (tmp_path / "photos", tmp_path / "half.json"), tmp_path / "theirs"
    output.mkdir()
    (output / name).write_text("theirs")
    with pytest.raises(InputError, match=f"theirs holds other things, such as {name}: name a new"):
        complete(*data, output, device="cpu", dry_run=True)
    assert [x.name for x in output.iterdir()] == [name]
    with pytest.raises(InputError, match=f"{name} is a file: name a folder"):
        complete(*data, output / name, device="cpu", dry_run=True)
    assert (output / name).read_text() == "theirs"


def test_interrupted_training_goes_on_and_finished_work_is_not_done_again(
    planned, monkeypatch, capsys
):
    arguments, _ = planned
    shrink(arguments[2], CHECKPOINT_PERIOD=1)
    tell = work.Progress.at

    def interrupt(self, stage, share):
        if stage == "training" and share == 0.5:
            raise KeyboardInterrupt
        tell(self, stage, share)

    with monkeypatch.context() as patch:
        patch.setattr(work.Progress, "at", interrupt)
        with pytest.raises(KeyboardInterrupt):
            complete(*arguments, device="cpu")
    output = arguments[2]
    assert not (output / "result.json").exists()
    capsys.readouterr()
    done = complete(*arguments, device="cpu", quiet=False)
    assert re.search(
        r"^training (25|50)%, about 0:0\d left$", capsys.readouterr().err, re.MULTILINE
    )
    assert done.categories[0]["added"] == 0  # so short a training finds nothing
    log = (output / "log.txt").read_text()
    assert "Starting training from iteration 0" in log
    assert "Starting training from iteration 1" in log or "from iteration 2" in log
    weights = (output / "training" / "model_final.pth").stat().st_mtime_ns
    # What another version has mined is mined again.
    (output / "mined" / "settings.json").write_text('{"config": "of another"}')
    (output / "mined" / "images-1-0.jsonl").write_text("[[1, [], [], [], []]]\n")
    assert complete(*arguments, device="cpu").dataset == done.dataset
    (mined,) = (output / "mined").glob("images-*.jsonl")
    assert len(mined.read_text().splitlines()) == 3  # batches of 4 of 12 images
    before = mined.stat().st_mtime_ns
    capsys.readouterr()
    complete(*arguments, device="cpu", quiet=False)
    assert "mining" not in capsys.readouterr().err
    assert [x.name for x in (output / "mined").glob("images-*.jsonl")] == [mined.name]
    assert mined.stat().st_mtime_ns == before
    assert (output / "training" / "model_final.pth").stat().st_mtime_ns == weights
    shrink(output, MAX_ITER=1)
    complete(*arguments, device="cpu", quiet=False)
    assert (output / "training" / "model_final.pth").stat().st_mtime_ns > weights
    former = output / "training_before"
    told = capsys.readouterr().err
    assert f"the training begins anew (the former detector: {former})" in told
    assert (former / "model_final.pth").stat().st_mtime_ns == weights


@pytest.mark.usefixtures("without_curves")
def test_another_time_is_another_training(planned, monkeypatch):
    (*arguments, output), _ = planned
    (output / "pace.json").unlink()
    monkeypatch.setattr(work, "measure_time", lambda *_: Timing(1.0, 0.1))
    monkeypatch.setattr(work, "train_detector", lambda cfg, *_: trained.append(cfg.SOLVER.MAX_ITER))
    monkeypatch.setattr(work, "mine", found_on_every_image)
    trained = []
    for minutes in (2.5, None, 2.5, 3):
        complete(*arguments, output, device="cpu", minutes=minutes)
    first, *again, other = trained
    assert again == [first, first]
    assert other > first
    proposal = json.loads((output / "proposals.json").read_text())[0]
    decision = {
        "key": "k", "action": "accept", "image_id": proposal["image_id"], "id": proposal["id"],
        "was": proposal["bbox"], "time": "2026-03-01T12:00:00Z",
    }  # fmt: skip
    (output / "decisions.jsonl").write_text(f"{json.dumps(decision)}\n")
    complete(*arguments, output, device="cpu")
    with pytest.raises(InputError, match=r"decisions\.jsonl holds 1 decision about boxes, which a"):
        complete(*arguments, output, device="cpu", minutes=4)
    undo = {**decision, "key": "u", "action": "undo", "of": "k"}
    lines = [decision, {k: undo[k] for k in ("key", "action", "image_id", "time", "of")}]
    (output / "decisions.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))
    with pytest.raises(InputError, match="holds 1 decision about boxes"):  # though it is undone
        complete(*arguments, output, device="cpu", minutes=4)
    assert len(trained) == 5


def test_time_is_for_the_images_that_are_trained_on(tmp_path, monkeypatch):
    """Of two images without a box, one is finished; of a third, all that is known is a crowd."""
    dataset = write_dataset(tmp_path, number=5)
    dataset["annotations"] = [x for x in dataset["annotations"] if x["image_id"] <= 3]
    for x in dataset["annotations"][4:]:
        x["iscrowd"] = 1
    dataset["images"][3]["exhaustive_category_ids"] = "all"
    (tmp_path / "half.json").write_text(json.dumps(dataset))
    monkeypatch.setattr(work, "measure_time", lambda *_: Timing(1.0, 0.1))
    told = []

    def choose_pace(*numbers, **others):
        told.extend(numbers)
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "choose_pace", choose_pace)
    with pytest.raises(KeyboardInterrupt):
        complete(tmp_path / "photos", tmp_path / "half.json", tmp_path / "out", device="cpu")
    *_, trained, mined = told
    assert (trained, mined) == (3, 5)


def test_other_weights_need_another_plan(tmp_path):
    write_dataset(tmp_path, number=2)
    arguments = tmp_path / "photos", tmp_path / "half.json", tmp_path / "out"
    weights = tmp_path / "trunk.pth"
    torch.save(torchvision.models.mobilenet_v2().state_dict(), weights)
    how = {"device": "cpu", "dry_run": True}
    complete(*arguments, weights="none", **how)
    complete(*arguments, weights="none", **how)
    config = tmp_path / "out" / "config.yaml"
    with pytest.raises(InputError, match=f"^--weights: the plan {config} begins with none[.] "):
        complete(*arguments, weights=weights, **how)
    config.unlink()
    (tmp_path / "out" / "pace.json").touch()  # of the plan that is gone
    complete(*arguments, weights=weights, **how)
    assert f"WEIGHTS: {weights}" in config.read_text()
    assert not (tmp_path / "out" / "pace.json").exists()
    complete(*arguments, **how)


def test_images_that_cannot_be_read_are_named_at_the_end(planned, command_line, monkeypatch):
    (images, annotations, output), _ = planned
    path = images / "bild ü 5.png"
    path.write_bytes(path.read_bytes()[:200])
    done = command_line("complete", images, annotations, "--output", output, "--device", "cpu")
    assert done.exit_code == 1
    assert (
        f"\n1 image is cut off and will be left out, unless you replace it: {path.name}"
        in done.stderr
    )
    assert "1 image could not be read; repair what can be and give the command" in done.stderr
    assert str(path) in done.stderr
    assert (output / "completed.json").exists()


@pytest.mark.usefixtures("without_curves")
def test_broken_images_do_not_disturb_the_timing(planned, monkeypatch):
    (images, annotations, output), dataset = planned
    for id_ in sorted(x["id"] for x in dataset["images"])[::2]:
        path = images / f"bild ü {id_}.png"
        path.write_bytes(path.read_bytes()[:200])
    (output / "pace.json").unlink()
    times = []

    def choose_pace(seconds, timing, *_, **__):
        times.extend(timing)
        return Pace(4, 1.0, 1.0, "a test")

    monkeypatch.setattr(work, "choose_pace", choose_pace)
    monkeypatch.setattr(work, "mine", lambda *_: ({}, {}))
    complete(images, annotations, output, device="cpu")
    assert min(times) > 0
    assert (output / "training" / "model_final.pth").exists()


def test_terminal_stays_quiet(planned, command_line):
    (images, annotations, output), _ = planned
    words = ("complete", images, annotations, "--output", output, "--device", "cpu")
    done = command_line(*words)
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) <= 20
    assert "Traceback" not in (output / "log.txt").read_text()
    assert "expected right    90% interval" in done.stdout
    assert f"\n{output / 'completed.json'}, {output / 'report.html'}\nNext" in done.stdout
    assert f"Next: comining review {output}" in done.stdout
    assert f"judge 40 boxes (comining review {output} --sample 40)" in done.stdout
    assert command_line(*words, "--quiet").output == ""


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ("path of the images", "photo is not there: give the folder of the images"),
        ("path of the annotations", "halb.json doesn't exist: give the file or the folder"),
        ("no images", "no image"),
        ("other images", "other 1.png"),
        ("no boxes", "has no box: annotate some objects first"),
        ("output in images", "lies in the folder of the images"),
        ("output of others", "belongs to"),
        ("output of all images", "out was begun without --listed-only: go on like that"),
        ("output is a file", "out"),
        ("a completion", "out is what `comining complete` wrote: name a file of it, such as"),
        ("precision", "--precision 1.5: must be above 0 and at most 1; 0.9 for 90 %"),
        ("minutes", "--minutes 0: must be above 0"),
        ("weights", "none.pth does not exist: name another with --weights"),
    ],
)
def test_mistakes_are_told_in_one_line(mistake, message, tmp_path, command_line):
    dataset = write_dataset(tmp_path, number=2)
    images, annotations, output = tmp_path / "photos", tmp_path / "half.json", tmp_path / "out"
    more = []
    if mistake == "path of the images":
        images = tmp_path / "photo"
    elif mistake == "path of the annotations":
        annotations = tmp_path / "halb.json"
    elif mistake == "no images":
        images = tmp_path / "empty"
        images.mkdir()
    elif mistake == "other images":
        for number, image in enumerate(dataset["images"], start=1):
            image["file_name"] = f"other {number}.png"
        annotations.write_text(json.dumps(dataset))
    elif mistake == "no boxes":
        annotations.write_text(json.dumps({**dataset, "annotations": []}))
    elif mistake == "output in images":
        output = images / "out"
    elif mistake == "output of others":
        complete(images, annotations, output, device="cpu", dry_run=True)
        dataset["annotations"].pop()
        annotations.write_text(json.dumps(dataset))
    elif mistake == "output of all images":
        Image.new("RGB", (90, 60)).save(images / "unlisted.png")
        complete(images, annotations, output, device="cpu", dry_run=True)
        more = ["--listed-only"]
    elif mistake == "output is a file":
        output.touch()
    elif mistake == "a completion":
        complete(images, annotations, output, device="cpu", dry_run=True)
        annotations, output = output, tmp_path / "other"
    elif mistake == "precision":
        more = ["--precision", "1.5"]
    elif mistake == "minutes":
        more = ["--minutes", "0"]
    elif mistake == "weights":
        more = ["--weights", "none.pth"]
    done = command_line("complete", images, annotations, "--output", output, "--device", "cpu",
                        *more)  # fmt: skip
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert output.exists() == mistake.startswith(("output of", "output is"))


@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize(("number", "boxes"), [(1, 1), (1, 2), (2, 1)])
def test_a_single_annotation_is_a_beginning(number, boxes, tmp_path):
    write_dataset(tmp_path, number, boxes)
    arguments = tmp_path / "photos", tmp_path / "half.json", tmp_path / "out"
    complete(*arguments, device="cpu", dry_run=True)
    shrink(tmp_path / "out", MAX_ITER=1)
    done = complete(*arguments, device="cpu")
    assert len(done.dataset["annotations"]) == number * boxes
    assert done.recall is None


def test_other_formats_come_back_in_their_own(tmp_path, monkeypatch):
    """A folder of YOLO's text files that covers one image of three."""
    dataset = write_dataset(tmp_path, number=3, boxes=1)
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "bild ü 1.txt").write_text("0 0.3125 0.416667 0.375 0.5\n")
    (labels / "classes.txt").write_text("cat\ndog\n")
    arguments = tmp_path / "photos", labels, tmp_path / "out"
    complete(*arguments, device="cpu", dry_run=True)
    shrink(tmp_path / "out", MAX_ITER=1)
    monkeypatch.setattr(work, "train_detector", lambda *_: None)
    new = Mined([[40.0, 10, 60, 30]], [1], [0.9], [True])
    monkeypatch.setattr(work, "mine", lambda *_: (dict.fromkeys((1, 2, 3), new), {}))
    monkeypatch.setattr(
        work, "choose", lambda evidence, number, precision: [Chosen(0.5, 0.9, np.nan)] * number
    )
    done = complete(*arguments, device="cpu")
    assert done.detections(2)["class_id"].tolist() == [1]
    assert [x["file_name"] for x in done.dataset["images"]] == [
        x["file_name"] for x in dataset["images"]
    ]
    assert done.written == tmp_path / "out" / "completed"
    files = {x.name: x.read_text().splitlines() for x in done.written.glob("*.txt")}
    assert files["bild ü 1.txt"][0] == "0 0.3125 0.416667 0.375 0.5"
    for name in ("bild ü 1.txt", "bild ü 2.txt", "bild ü 3.txt"):
        class_, *values = files[name][-1].split()
        assert class_ == "1"
        assert [float(x) for x in values] == pytest.approx([50 / 64, 20 / 48, 20 / 64, 20 / 48],
                                                           abs=1e-4)  # fmt: skip


def test_function_is_that_of_the_package():
    assert comining.complete is complete


def test_withheld_boxes_are_of_any_images_whatever_seed_the_others_were_dropped_by():
    """One box is left of images of one or nine. With the same draws, most would be of one."""
    numbers = {id_: 1 + 8 * (id_ % 2) for id_ in range(1, 401)}
    full = {
        "images": [{"id": x, "file_name": f"{x}.png", "width": 9, "height": 9} for x in numbers],
        "annotations": [
            {"id": 10 * image + place, "image_id": image, "category_id": 1,
             "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
            for image, number in numbers.items() for place in range(number)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }  # fmt: skip
    for seed in range(3):
        sparse = make_sparse(full, "extreme", seed=seed, file_name="full.json")
        kept = {x["id"] for x in withhold(sparse, "sparse.json")["annotations"]}
        of_few = [numbers[x["image_id"]] == 1 for x in sparse["annotations"] if x["id"] not in kept]
        assert len(of_few) == 60
        assert 15 < sum(of_few) < 45  # 30 are expected, with a standard deviation of 3.6
