"""Adding what is mined to a data set, with a tiny model that is sure of some boxes."""

import json
import os

import click
import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comining.annotations.completion import MINED, complete
from comining.completion import mine_annotations
from comining.engine import mining_run
from comining.engine.miner import Mined
from comining.errors import InputError, PartialError
from tests.conftest import call_command
from tests.modeling.helpers import tiny_config, tiny_model

SIZES = [(64, 48), (48, 64), (64, 48), (64, 48), (48, 64), (64, 48)]
#: Ids of the data set's own, in another order than its list.
CATEGORY_IDS = (7, 3, 5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a config, weights, images and their annotations."""
    folder = tmp_path_factory.mktemp("trained")
    torch.save({"model": tiny_model().state_dict()}, folder / "model.pth")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for image_id, (width, height) in enumerate(SIZES, start=11):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{image_id}.png")
        images.append(
            {"id": image_id, "file_name": f"{image_id}.png", "width": width, "height": height}
        )
        annotations.append(
            {"id": 100 - image_id, "image_id": image_id, "category_id": 5, "bbox": [4, 4, 9, 9],
             "note": "kept"}
        )  # fmt: skip
    dataset = {
        "info": {"year": 2021},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": f"class {i}"} for i in CATEGORY_IDS],
    }
    (folder / "sparse.json").write_text(json.dumps(dataset))
    cfg = tiny_config("MODEL.COMINING.SCORE_THRESH", "0.3", "INPUT.MIN_SIZE_TEST", "48",
                      "DATALOADER.NUM_WORKERS", "0")  # fmt: skip
    cfg.DATASETS.REGISTER = [
        [name, str(folder / "sparse.json"), str(folder)] for name in ("sparse", "same")
    ]
    cfg.DATASETS.TRAIN = ["sparse"]
    (folder / "config.yaml").write_text(cfg.dump())
    return folder


def arguments(trained, output, *more):
    return [
        "--config", str(trained / "config.yaml"), "--weights", str(trained / "model.pth"),
        "--output", str(output), *map(str, more),
    ]  # fmt: skip


def run(trained, output, *more):
    call_command("mine", *arguments(trained, output, *more))
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def completed(trained, tmp_path_factory):
    return run(trained, tmp_path_factory.mktemp("undisturbed") / "completed.json")


def added(dataset):
    return [x for x in dataset["annotations"] if x.get("origin") == MINED]


def test_input_that_has_to_be_repaired(trained, completed, tmp_path):
    """Values in other forms, and an entry of an image for each of its boxes."""
    data = json.loads((trained / "sparse.json").read_text())
    data["images"].append({**data["images"][0], "id": 99})
    data["images"][1].update(id=str(data["images"][1]["id"]), width=float(SIZES[1][0]))
    data["annotations"][0].update(image_id=99, category_id="5", iscrowd=None, area=None)
    data["annotations"][2].update(bbox=["4", 4, "9", 9.0], image_id="13")
    (tmp_path / "sparse.json").write_text(json.dumps(data))
    entries = [["to_repair", str(tmp_path / "sparse.json"), str(trained)]]
    found = run(trained, tmp_path / "completed.json", "--dataset", "to_repair",
                "DATASETS.REGISTER", str(entries))  # fmt: skip
    assert found["images"] == completed["images"]
    assert added(found) == added(completed)
    assert [(x["image_id"], x["bbox"]) for x in found["annotations"]] == [
        (x["image_id"], x["bbox"]) for x in completed["annotations"]
    ]


def test_input_is_unchanged_and_mined_annotations_follow(trained, completed):
    before = json.loads((trained / "sparse.json").read_text())
    new = added(completed)
    assert len(new) > len(SIZES)
    assert completed["annotations"] == before["annotations"] + new
    for key in ("images", "categories", "licenses"):
        assert completed[key] == before[key]
    assert completed["info"] == {
        "year": 2021,
        "mined": {
            "config": str(trained / "config.yaml"),
            "overrides": [],
            "weights": str(trained / "model.pth"),
            "mirror_image": False,
            "score_thresh": {"class 3": 0.3, "class 5": 0.3, "class 7": 0.3},
        },
    }
    assert [x["id"] for x in new] == list(range(90, 90 + len(new)))
    sizes = {x["id"]: (x["width"], x["height"]) for x in before["images"]}
    for x in new:
        left, top, width, height = x["bbox"]
        assert left >= 0
        assert top >= 0
        assert left + width <= sizes[x["image_id"]][0] + 1e-9
        assert top + height <= sizes[x["image_id"]][1] + 1e-9
        assert x["area"] == pytest.approx(width * height) != 0
        assert x["iscrowd"] == 0
        assert 0.3 <= x["score"] <= 1


def test_what_is_added_is_what_the_model_mines_besides_the_annotations(trained, completed):
    """By the model's own forward pass on one of the images, which keeps its size."""
    model = tiny_model("MODEL.COMINING.SCORE_THRESH", 0.3).eval()
    pixels = np.asarray(Image.open(trained / "11.png"))[:, :, ::-1].transpose(2, 0, 1)
    (mined,) = model.mine_images([{"image": torch.from_numpy(pixels.copy())}])
    wanted = []
    for box, class_, score in zip(*(x.tolist() for x in mined[:2]), mined.scores.tolist(),
                                  strict=True):  # fmt: skip
        left, right = (min(max(x, 0), 64) for x in box[::2])
        top, bottom = (min(max(y, 0), 48) for y in box[1::2])
        overlap = max(min(box[2], 13) - max(box[0], 4), 0) * max(
            min(box[3], 13) - max(box[1], 4), 0
        )
        iou = overlap / (81 + (box[2] - box[0]) * (box[3] - box[1]) - overlap)
        if right > left and bottom > top and not (class_ == 1 and iou > 0.4):
            wanted.append(
                [sorted(CATEGORY_IDS)[class_], left, top, right - left, bottom - top, score]
            )
    got = [[x["category_id"], *x["bbox"], x["score"]] for x in added(completed)
           if x["image_id"] == 11]  # fmt: skip
    assert len(wanted) > 1
    np.testing.assert_allclose(got, wanted, atol=0.02)


def assert_same_up_to_rounding(ours, theirs):
    assert len(added(ours)) == len(added(theirs))
    for one, other in zip(added(ours), added(theirs), strict=True):
        assert one["bbox"] == pytest.approx(other["bbox"], abs=0.02)
        assert one["score"] == pytest.approx(other["score"], abs=2e-4)
        for key in ("id", "image_id", "category_id"):
            assert one[key] == other[key]


def test_batch_size_does_not_matter(trained, completed, tmp_path):
    batched = run(trained, tmp_path / "out.json", "--batch-size", 3)
    assert_same_up_to_rounding(batched, completed)


def test_the_mirror_image_is_asked_where_training_mirrors(trained, tmp_path):
    adaptive = ("MODEL.COMINING.THRESHOLD", "adaptive", "MODEL.COMINING.VIEW.FLIP_PROB")
    threshold = ("--score-thresh", 0.3)
    alone = run(trained, tmp_path / "alone.json", *threshold, *adaptive, 0.0)
    both = run(trained, tmp_path / "both.json", *threshold, *adaptive, 0.5)
    assert [x["info"]["mined"]["mirror_image"] for x in (alone, both)] == [False, True]
    scores = {(x["image_id"], x["category_id"], str(x["bbox"])): x["score"] for x in added(alone)}
    assert 0 < len(added(both)) < len(scores)
    for x in added(both):
        assert x["score"] <= scores[x["image_id"], x["category_id"], str(x["bbox"])]
    batched = run(trained, tmp_path / "batched.json", *threshold, "--batch-size", 3, *adaptive, 0.5)
    assert_same_up_to_rounding(batched, both)


def test_what_another_rule_has_found_is_not_gone_on_with(trained, killed):
    """Scores with and without the mirror image can't be compared."""
    settings = killed.parent / "out.json.partial" / "settings.json"
    recorded = json.loads(settings.read_text())
    del recorded["mirror image"]
    settings.write_text(json.dumps(recorded))
    with pytest.raises(InputError, match="mirror image"):
        run(trained, killed)


def test_two_processes(trained, completed, tmp_path, capfd):
    assert run(trained, tmp_path / "out.json", "--num-gpus", 2) == completed
    assert os.listdir(tmp_path) == ["out.json"]
    rows = list(map(str.split, capfd.readouterr().out.splitlines()))
    assert ["all", "6", str(len(added(completed)))] in rows


def test_of_a_completed_file_the_new_boxes_alone_count_as_added(trained, tmp_path, capsys):
    dataset = json.loads((trained / "sparse.json").read_text())
    dataset["annotations"].append({**dataset["annotations"][0], "id": 300, "origin": MINED})
    (tmp_path / "before.json").write_text(json.dumps(dataset))
    entry = [["before", str(tmp_path / "before.json"), str(trained)]]
    again = run(trained, tmp_path / "again.json", "--dataset", "before",
                "DATASETS.REGISTER", str(entry))  # fmt: skip
    new = len(again["annotations"]) - 7
    assert new > 0
    rows = list(map(str.split, capsys.readouterr().out.splitlines()))
    assert ["all", "7", str(new)] in rows


@pytest.fixture
def killed(trained, tmp_path, monkeypatch):
    """The output of a run that was killed while it wrote down its second and last batch."""
    output = tmp_path / "out.json"
    mine = mining_run.mine_batch
    batches = []

    def killing(model, items, records, score_thresh):
        batches.append(records)
        if len(batches) == 2:
            raise KeyboardInterrupt
        return mine(model, items, records, score_thresh)

    monkeypatch.setattr(mining_run, "mine_batch", killing)
    with pytest.raises(click.Abort):
        run(trained, output)
    monkeypatch.undo()
    (file,) = (tmp_path / "out.json.partial").glob("*.jsonl")
    with file.open("a") as opened:
        opened.write("[[12, [[1.0, 2.0, 3.")
    assert not output.exists()
    return output


def test_killed_run_goes_on_without_doing_images_again(trained, completed, killed, monkeypatch):
    mine = mining_run.mine_batch
    seen = []

    def watching(model, items, records, score_thresh):
        seen.extend(record["image_id"] for record in records)
        return mine(model, items, records, score_thresh)

    monkeypatch.setattr(mining_run, "mine_batch", watching)
    assert run(trained, killed) == completed
    assert seen == [12, 15]  # the tall ones; the wide ones were the first batch
    assert os.listdir(killed.parent) == ["out.json"]


def test_no_second_run_with_the_same_output(trained, completed, tmp_path, monkeypatch):
    """When the first one ends, what the second one has found would be removed."""
    output = tmp_path / "out.json"
    mine, tried = mining_run.mine_batch, []

    def trying_again(*args):
        if not tried:
            tried.append(True)
            with pytest.raises(InputError, match=rf"{output}\.partial is in use"):
                run(trained, output)
        return mine(*args)

    monkeypatch.setattr(mining_run, "mine_batch", trying_again)
    assert run(trained, output) == completed
    assert tried


def test_run_that_was_killed_after_mining_goes_on(trained, completed, tmp_path, monkeypatch):
    def kill(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(mine_annotations, "complete", kill)
    with pytest.raises(click.Abort):
        run(trained, tmp_path / "out.json")
    monkeypatch.setattr(mining_run, "mine_batch", kill)  # there is nothing left to mine
    monkeypatch.setattr(mine_annotations, "complete", complete)
    assert run(trained, tmp_path / "out.json") == completed


@pytest.fixture
def changed(trained, tmp_path):
    """The options for weights of which one is another, and for a data set with a box moved."""
    state = torch.load(trained / "model.pth")["model"]
    state["head.cls_score.bias"][0] += 1
    torch.save({"model": state}, tmp_path / "changed.pth")
    dataset = json.loads((trained / "sparse.json").read_text())
    dataset["annotations"][0]["bbox"][0] += 1
    (tmp_path / "changed.json").write_text(json.dumps(dataset))
    entries = [[name, str(folder / f"{name}.json"), str(trained)]
               for name, folder in (("sparse", trained), ("changed", tmp_path))]  # fmt: skip
    registered = ["DATASETS.REGISTER", str(entries)]
    return {
        "weights": ["--weights", tmp_path / "changed.pth"],
        "data": ["--dataset", "changed", *registered],
        "precision": ["--precision", 0.9, "--calibrate-on", "changed", *registered],
    }


def test_a_run_does_not_go_on_with_other_settings(trained, killed, changed):
    for options, told in (
        (["--score-thresh", 0.4], "score threshold"),
        (["MODEL.COMINING.IOU_THRESH", 0.5], "config"),
        (["INPUT.MIN_SIZE_TEST", 64], "config"),
        (["TEST.DETECTIONS_PER_IMAGE", 3], "config"),
        (changed["weights"], "weights"),
        (changed["data"], "annotations of the images"),
        (changed["precision"], "annotations of the calibration, precision, score threshold"),
    ):
        with pytest.raises(InputError, match=f"have changed since: {told}[.] Give"):
            run(trained, killed, *options)


@pytest.mark.parametrize("text", ['{"wei', "[]"])
def test_a_run_that_was_killed_while_it_began_is_told_what_to_remove(tmp_path, text):
    with mining_run.PartialResults(tmp_path / "out.json.partial", {"weights": "a"}):
        pass
    path = tmp_path / "out.json.partial" / "settings.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"{path} can't be used .*: remove {path.parent}$"):
        mining_run.PartialResults(tmp_path / "out.json.partial", {"weights": "a"}).__enter__()


def test_images_that_another_process_could_not_read_are_told(tmp_path, monkeypatch):
    """Else the run would take itself for complete."""
    monkeypatch.setattr(mining_run.comm, "all_gather", lambda mine: [mine, {12: "cut off"}])
    with mining_run.PartialResults(tmp_path / "out.json.partial", {}) as results:
        unreadable = mining_run.mine_dataset(
            None, None, [], results, "data", batch_size=1, num_workers=0
        )
    assert unreadable == {12: "cut off"}
    assert [x.name for x in results.folder.glob("*.jsonl")] == []  # nothing was found


def test_score_threshold(trained, completed, tmp_path):
    scores = sorted(x["score"] for x in added(completed))
    middle = scores[len(scores) // 2] + 1e-5
    higher = run(trained, tmp_path / "out.json", "--score-thresh", middle)
    assert [x["score"] for x in added(higher)] == [
        x["score"] for x in added(completed) if x["score"] > middle
    ]
    assert higher["info"]["mined"]["score_thresh"]["class 7"] == middle


@pytest.mark.parametrize("detector", ["RetinaNet", "FCOS"])
def test_score_thresholds_are_on_the_scores_of_the_file(trained, tmp_path, detector):
    """From which it can be told what should be added."""
    torch.save({"model": tiny_model(detector=detector).state_dict()}, tmp_path / "model.pth")
    of_detector = ("--weights", tmp_path / "model.pth",
                   "MODEL.META_ARCHITECTURE", f"CoMining{detector}")  # fmt: skip
    everything = added(run(trained, tmp_path / "all.json", "--score-thresh", 0.05, *of_detector))
    low, high = np.quantile([x["score"] for x in everything], (0.3, 0.7)).round(4).tolist()
    of_all = run(trained, tmp_path / "of_all.json", "--score-thresh", high, *of_detector)
    assert [x["bbox"] for x in added(of_all)] == [
        x["bbox"] for x in everything if x["score"] >= high
    ]
    dataset = run(trained, tmp_path / "out.json", "--score-thresh", low,
                  "--score-thresh", f"class 5={high}", *of_detector)  # fmt: skip
    assert [x["bbox"] for x in added(dataset)] == [
        x["bbox"] for x in everything if x["score"] >= (high if x["category_id"] == 5 else low)
    ]
    assert len({x["category_id"] for x in added(dataset)}) > 1
    assert dataset["info"]["mined"]["score_thresh"] == {
        "class 3": low, "class 5": high, "class 7": low
    }  # fmt: skip


def test_low_score_threshold_of_fcos(trained, tmp_path):
    """The class score of a box may be as low as the square of its own."""
    torch.save({"model": tiny_model(detector="FCOS").state_dict()}, tmp_path / "model.pth")
    fcos = ("--weights", tmp_path / "model.pth", "MODEL.META_ARCHITECTURE", "CoMiningFCOS",
            "TEST.DETECTIONS_PER_IMAGE", 1000)  # fmt: skip
    everything = added(run(trained, tmp_path / "all.json", "--score-thresh", 0.0, *fcos))
    low = min(x["score"] for x in added(run(trained, tmp_path / "x.json", *fcos)))
    some = added(run(trained, tmp_path / "out.json", "--score-thresh", low, *fcos))
    assert [x["bbox"] for x in some] == [x["bbox"] for x in everything if x["score"] >= low]


def test_adaptive_thresholds_of_the_training(trained, completed, tmp_path):
    state = torch.load(trained / "model.pth")["model"]
    scores = sorted(x["score"] for x in added(completed))
    middle = round(scores[len(scores) // 2], 2)
    # All that scored above was right.
    state["adaptive.counts"] = torch.zeros(4, 3, 100)
    state["adaptive.counts"][:, :, 99] = 1000
    state["adaptive.counts"][2:, :, round(middle * 100) - 1] = 1000
    state["adaptive.least_far"] = torch.full((4,), torch.inf)
    torch.save({"model": state}, tmp_path / "adaptive.pth")
    options = ("--weights", tmp_path / "adaptive.pth", "MODEL.COMINING.THRESHOLD", "adaptive")
    mined = run(trained, tmp_path / "out.json", *options)
    assert mined["info"]["mined"]["score_thresh"] == {f"class {i}": middle for i in CATEGORY_IDS}
    new = added(mined)
    assert min(x["score"] for x in new) > middle
    assert len(new) > 0


def test_thresholds_for_a_precision(trained, tmp_path, monkeypatch):
    """Of the best three boxes of a class, two are correct; one of them is annotated already."""
    far, known, wrong = [30.0, 20, 45, 40], [4.0, 4, 13, 13], [20.0, 30, 29, 39]
    full = json.loads((trained / "sparse.json").read_text())
    full["annotations"] += [
        {"id": 200 + i, "image_id": x["id"], "category_id": 5, "bbox": [30, 20, 15, 20]}
        for i, x in enumerate(full["images"])
    ]
    (tmp_path / "full.json").write_text(json.dumps(full))

    def mine(model, items, records, score_thresh):
        assert score_thresh == 0.05
        return [
            Mined([far, known, wrong, wrong], [1, 1, 1, 0], [0.9, 0.8, 0.7, 0.99],
                  [True, record["file_name"].startswith("full"), True, True])
            for record in records
        ]  # fmt: skip

    monkeypatch.setattr(mining_run, "mine_batch", mine)
    entries = [["sparse", str(trained / "sparse.json"), str(trained)],
               ["judged", str(tmp_path / "full.json"), str(trained)]]  # fmt: skip
    overrides = ["DATASETS.REGISTER", str(entries)]
    # From 0.8 on all are correct. From 0.7 on one of the three is wrong, and half of the new.
    for precision, scores, threshold in ((0.6, {0.9}, 0.8), (0.5, {0.9, 0.7}, 0.7)):
        dataset = run(trained, tmp_path / f"{precision}.json", "--precision", precision,
                      "--calibrate-on", "judged", *overrides)  # fmt: skip
        assert {x["score"] for x in added(dataset)} == scores
        assert len(added(dataset)) == len(SIZES) * len(scores)
        record = dataset["info"]["mined"]
        # Nothing of class 0 is correct, and nothing of class 2 was found.
        assert record["score_thresh"] == {"class 3": None, "class 5": threshold, "class 7": None}
        assert record["precision"] == precision
        assert record["calibrated_on"] == "judged"
        assert record["overrides"] == overrides


def test_precision_where_nothing_is_mined(trained, tmp_path, monkeypatch):
    def mine(model, items, records, score_thresh):
        is_calibration = records[0]["file_name"].startswith(str(tmp_path))
        found = Mined([[4.0, 4, 13, 13]], [1], [0.9], [False])
        return [found if is_calibration else Mined([], [], [], [])] * len(records)

    monkeypatch.setattr(mining_run, "mine_batch", mine)
    (tmp_path / "full.json").write_text((trained / "sparse.json").read_text())
    for path in trained.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    entries = [["sparse", str(trained / "sparse.json"), str(trained)],
               ["judged", str(tmp_path / "full.json"), str(tmp_path)]]  # fmt: skip
    dataset = run(trained, tmp_path / "out.json", "--precision", 0.9, "--calibrate-on", "judged",
                  "DATASETS.REGISTER", str(entries))  # fmt: skip
    assert added(dataset) == []
    assert dataset["info"]["mined"]["score_thresh"]["class 5"] is None


def test_unreadable_images_get_nothing_until_they_are_repaired(
    trained, completed, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "images"
    folder.mkdir()
    for path in trained.glob("*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "11.png").write_bytes(b"no image")
    text = PngInfo()
    text.add_text("note", "x" * 2_000_000, zip=True)  # more than Pillow unpacks
    Image.open(trained / "16.png").save(folder / "16.png", pnginfo=text)
    entry = [["damaged", str(trained / "sparse.json"), str(folder)]]
    # The wide images are 11, 13, 14 and 16: one of each two can't be read.
    options = ("--dataset", "damaged", "--batch-size", 2, "DATASETS.REGISTER", str(entry))
    output = tmp_path / "out.json"
    with pytest.raises(
        PartialError, match=r"but 2 images can't be read: .* same command again"
    ) as error:
        run(trained, output, *options)
    _, *lines = str(error.value).splitlines()
    for line, name in zip(lines, ("11", "16"), strict=True):
        assert line.startswith(f"  image {name} of damaged: ")
        assert str(folder / f"{name}.png") in line
    assert str(output) in capsys.readouterr().out
    others = {12, 13, 14, 15}
    without = json.loads(output.read_text())
    assert {x["image_id"] for x in added(without)} == others
    assert [(x["image_id"], x["category_id"]) for x in added(without)] == [
        (x["image_id"], x["category_id"]) for x in added(completed) if x["image_id"] in others
    ]

    for name in ("11.png", "16.png"):
        (folder / name).write_bytes((trained / name).read_bytes())
    mine, seen = mining_run.mine_batch, []

    def watching(model, items, records, score_thresh):
        seen.extend(record["image_id"] for record in records)
        return mine(model, items, records, score_thresh)

    monkeypatch.setattr(mining_run, "mine_batch", watching)
    assert_same_up_to_rounding(run(trained, output, *options), completed)
    assert seen == [11, 16]
    assert sorted(os.listdir(tmp_path)) == ["images", "out.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "unknown"], "no data set is called 'unknown'"),
        (
            ["DATASETS.TRAIN", "('a', 'b')"],
            "--dataset; the training sets are a, b",
        ),
        (["DATASETS.TRAIN", "()"], "which data set[?] Name it with --dataset$"),
        (["MODEL.RETINANET.NUM_CLASSES", 2], "set MODEL.RETINANET.NUM_CLASSES 3"),
        (["MODEL.META_ARCHITECTURE", "RetinaNet"], "RetinaNet does not mine"),
        (["--weights", "nowhere.pth"], "nowhere.pth does not exist"),
        (["MODEL.COMINING.THRESHOLD", "adaptive"], "no thresholds that were learnt"),
        (
            ["MODEL.COMINING.THRESHOLD", "adaptive", "MODEL.COMINING.ADAPTIVE.PRECISION", 1.0],
            "PRECISION of 1 nothing is mined; set it to 0.95",
        ),
        (["MODEL.COMINING.SCORE_THRESH", 1.0], "SCORE_THRESH of 1. Say which boxes to add with"),
        (
            ["MODEL.COMINING.METHOD", "TwoViewsOnly"],
            "TwoViewsOnly mines nothing. Say which boxes to add with --score-thresh, or with "
            "--precision and --calibrate-on$",
        ),
        (["MODEL.META_ARCHITECTURE", "CoMiningFCOS"], "the weights of this CoMiningFCOS: "),
        (["--score-thresh", "0.5", "--score-thresh", "ass=0.5"], "no category is called ass; .* 3"),
        (["--precision", 0.9, "--calibrate-on", "sparse"], "sparse is the data set that is compl"),
        (["--precision", 0.9, "--calibrate-on", "same"], "same is the data set that is completed"),
        (["--score-thresh", "class 3=0.5"], "none is given for class 5, class 7: add a number"),
    ],
)
def test_refused(trained, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(trained, tmp_path / "out.json", *options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("method", ["TwoViewsOnly", "BRL"])
def test_score_threshold_adds_boxes_where_the_method_mines_nothing(trained, tmp_path, method):
    """What the refusal without one says."""
    options = ("--score-thresh", 0.4, "MODEL.COMINING.METHOD", method)
    found = added(run(trained, tmp_path / "out.json", *options))
    assert len(found) > 0
    assert min(x["score"] for x in found) >= 0.4


@pytest.mark.parametrize("option", ["--dataset", "--calibrate-on"])
def test_other_categories_than_in_training_are_refused(trained, tmp_path, option):
    dataset = json.loads((trained / "sparse.json").read_text())
    dataset["categories"] = [
        {"id": i, "name": f"class {j}"} for i, j in zip(CATEGORY_IDS, (7, 5, 3), strict=True)
    ]
    (tmp_path / "swapped.json").write_text(json.dumps(dataset))
    entries = [["sparse", str(trained / "sparse.json"), str(trained)],
               ["swapped", str(tmp_path / "swapped.json"), str(trained)]]  # fmt: skip
    more = ("--precision", 0.9) if option == "--calibrate-on" else ()
    with pytest.raises(InputError, match=r"of sparse .* and swapped .* number 1 by id"):
        run(trained, tmp_path / "out.json", option, "swapped", *more,
            "DATASETS.REGISTER", str(entries))  # fmt: skip


def test_input_is_never_overwritten(trained):
    before = (trained / "sparse.json").read_bytes()
    with pytest.raises(InputError, match="is the input file"):
        run(trained, trained / "sparse.json")
    assert (trained / "sparse.json").read_bytes() == before


def test_calibration_data_are_never_overwritten(trained, tmp_path):
    calibration = tmp_path / "full.json"
    calibration.write_bytes((trained / "sparse.json").read_bytes())
    entries = [["sparse", str(trained / "sparse.json"), str(trained)],
               ["full", str(calibration), str(trained)]]  # fmt: skip
    with pytest.raises(InputError, match="is the input file"):
        run(trained, calibration, "--precision", 0.9, "--calibrate-on", "full",
            "DATASETS.REGISTER", str(entries))  # fmt: skip


@pytest.mark.parametrize("word", ["1.1", "class 3=-1", "much", "class 3=", "nan"])
def test_bad_score_threshold(trained, tmp_path, word):
    with pytest.raises(click.BadParameter, match="must be a number from 0 to 1") as error:
        run(trained, tmp_path / "out.json", f"--score-thresh={word}")
    assert error.value.param.name == "score_thresh"


def test_json_for_scripts(trained, completed, tmp_path, capsys):
    run(trained, tmp_path / "out.json", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["output"] == str(tmp_path / "out.json")
    new = [x["category_id"] for x in added(completed)]
    assert told["categories"] == [
        {"name": f"class {i}", "annotated": 6 * (i == 5), "added": new.count(i),
         "score_thresh": 0.3, "finished": 0}
        for i in CATEGORY_IDS
    ]  # fmt: skip


def test_quiet(trained, tmp_path, capsys):
    run(trained, tmp_path / "out.json", "--quiet")
    assert capsys.readouterr() == ("", "")
