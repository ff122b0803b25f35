"""A tiny detector's way through the commands."""

import json
import re

import pytest
import torch
import torchvision
from click.testing import CliRunner
from PIL import Image

from comining.cli import main
from comining.engine import load_config
from tests.conftest import CONFIGS, same_registry_and_loggers_afterwards, tiny_training


@pytest.fixture(scope="module")
def trained(own_data, tmp_path_factory):
    """A folder with a config and what ``comining train`` made of it, and what that printed."""
    folder = tmp_path_factory.mktemp("trained")
    cfg = load_config(str(CONFIGS / "demo.yaml"), tiny_training(own_data, folder / "unused"))
    (folder / "my.yaml").write_text(cfg.dump())
    words = ["train", "--config", folder / "my.yaml", "--output", folder / "training", "SEED", "1"]
    with same_registry_and_loggers_afterwards():
        done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return folder, done


@pytest.fixture
def run(trained, command_line):
    """Runs a command with the trained model."""
    folder, _ = trained

    def run(name, *words):
        model = ("--config", folder / "my.yaml", "--weights", folder / "training/model_final.pth")
        done = command_line(name, *model, *words)
        assert done.exit_code == 0, done.output
        return done

    return run


def test_train_tells_the_metrics_and_where_the_log_is(trained):
    folder, done = trained
    metrics, *named, log = done.stdout.splitlines()[-4:]
    assert re.fullmatch(r"bbox: (AP \d.*|nothing was detected)", metrics)
    training = folder / "training"
    assert named == [
        f"the detector: {training / 'model_final.pth'}",
        f"all metrics: {training / 'results.json'}",
    ]
    assert all((training / x).is_file() for x in ("model_final.pth", "results.json"))
    assert log == f"all that was logged: {folder / 'training/log.txt'}"
    assert "SEED: 1" in (folder / "training" / "config.yaml").read_text()
    assert not (folder / "unused").exists()


def test_training_warns_of_images_that_the_weights_do_not_know(trained, command_line, tmp_path):
    weights = tmp_path / "shufflenet.pth"
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), weights)
    trunk = ("MODEL.BACKBONE.NAME", "build_torchvision_fpn_backbone", "MODEL.WEIGHTS", weights,
             "MODEL.TORCHVISION.NAME", "shufflenet_v2_x0_5", "DATASETS.TEST", ())  # fmt: skip
    mean, std = ("MODEL.PIXEL_MEAN", [123.675, 116.28, 103.53]), [58.395, 57.12, 57.375]
    words = ("train", "--config", trained[0] / "my.yaml", "--output", tmp_path / "out", *trunk)
    done = command_line(*words, *mean)
    assert (
        f"warning: {weights} were trained on images of another form than this config makes: set "
        f"INPUT.FORMAT RGB, MODEL.PIXEL_STD {std}\n"
    ) in done.stderr
    done = command_line(*words, *mean, "MODEL.PIXEL_STD", std, "INPUT.FORMAT", "RGB")
    assert done.exit_code == 0
    assert "trained on images" not in done.stderr
    assert "holds the checkpoints of another training, which this one will" in done.stderr


def test_missing_data_are_told_once_whatever_the_number_of_processes(command_line):
    register = ("DATASETS.REGISTER", [["gone", "gone.json", "gone"]], "DATASETS.TRAIN", ["gone"])
    words = ("train", "--config", "demo", "--num-gpus", 2, *register, "DATASETS.TEST", [])
    done = command_line(*words)
    assert done.exit_code == 2
    assert done.stderr.count("gone: put its annotation file at gone.json") == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ()),
        ("evaluate", ()),
        ("mine", ("--dataset", "x", "--output", "x.json")),
        ("predict", ("pictures", "--output", "found")),
    ],
)
def test_gpu_that_is_asked_for_but_not_there(command, words, command_line):
    model = ("--config", "demo", "--weights", "x.pth")
    done = command_line(command, *words, *model, "--device", "cuda:1")
    assert done.exit_code == 2
    assert done.stderr.endswith(
        "error: --device cuda:1: torch finds no GPU here; leave it out for the CPU\n"
    )


def test_no_training_overwrites_that_of_a_completion(trained, command_line, tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "settings.json").write_text("{}")
    done = command_line(
        "train", "--config", trained[0] / "my.yaml", "--output", tmp_path / "training"
    )
    assert done.exit_code == 2
    assert f"{tmp_path / 'training'} holds the detector of the completion in" in done.output


def test_evaluate_gives_the_metrics_as_json(trained, run, tmp_path):
    done = run("evaluate", "--output", tmp_path / "evaluated", "--json")
    training = json.loads((trained[0] / "training" / "results.json").read_text())
    assert json.loads(done.stdout) == training
    assert "bbox" in training


@pytest.mark.parametrize(
    ("threshold", "why"), [(1.0, "nothing was detected"), (0.0, "nothing is annotated")]
)
def test_evaluate_tells_why_there_are_no_metrics(threshold, why, run, own_data, tmp_path):
    dataset = json.loads((own_data / "annotations.json").read_text())
    if threshold == 0:
        dataset["annotations"] = []
    (tmp_path / "a.json").write_text(json.dumps(dataset))
    entry = ["mine", str(tmp_path / "a.json"), str(own_data / "images")]
    done = run("evaluate", "--output", tmp_path / "out", "DATASETS.REGISTER", [entry],
               "DATASETS.TEST", ["mine"], "DATASETS.TRAIN", ["mine"],
               "MODEL.RETINANET.SCORE_THRESH_TEST", threshold)  # fmt: skip
    assert done.stdout.splitlines()[0] == f"bbox: {why}"


def test_evaluate_on_other_data(trained, run, command_line, own_data, tmp_path):
    """As with the config of a completion, which names no test data."""
    data = ("--annotations", own_data / "annotations.json", "--images", own_data / "images")
    without = ("DATASETS.TEST", ())
    done = run("evaluate", "--output", tmp_path / "evaluated", "--json", *data, *without)
    training = json.loads((trained[0] / "training" / "results.json").read_text())
    assert json.loads(done.stdout) == training
    words = ("evaluate", "--config", trained[0] / "my.yaml", "--weights", "model.pth")
    done = command_line(*words, *without)
    assert done.exit_code == 2
    assert f"error: {trained[0] / 'my.yaml'} names no test data: give --annotations" in done.stderr
    assert "belong together" in command_line(*words, *data[:2]).stderr


def test_evaluate_on_a_wrong_folder_names_the_options(trained, command_line, own_data, tmp_path):
    weights = trained[0] / "training/model_final.pth"
    words = ("evaluate", "--config", trained[0] / "my.yaml", "--weights", weights)
    (tmp_path / "empty").mkdir()
    annotations = own_data / "annotations.json"
    done = command_line(*words, "--annotations", annotations, "--images", tmp_path / "empty")
    assert done.exit_code == 2
    assert f"error: --annotations can't be used. {annotations}: " in done.stderr
    assert f"are not in {tmp_path / 'empty'}" in done.stderr


def test_evaluate_quietly(run, tmp_path):
    assert run("evaluate", "--output", tmp_path / "evaluated", "--quiet").output == ""


def test_predict(run, own_data, tmp_path):
    words = ("--output", tmp_path / "found", "--set", "TEST.DETECTIONS_PER_IMAGE", 3)
    done = run("predict", own_data / "images", *words, "--score-thresh", 0, "--quiet")
    assert done.output == ""
    found = json.loads((tmp_path / "found" / "predictions.json").read_text())
    assert len(found["images"]) == 4
    assert len(found["annotations"]) == 4 * 3


def test_mine(run, own_data, tmp_path):
    words = ("--output", tmp_path / "completed.json", "--score-thresh", 0, "--json")
    told = json.loads(run("mine", *words).stdout)
    completed = json.loads((tmp_path / "completed.json").read_text())
    added = sum(x["added"] for x in told["categories"])
    assert sum(x["annotated"] for x in told["categories"]) == 8
    assert len(completed["annotations"]) == 8 + added


def test_show(run, tmp_path):
    done = run("show", "--output", tmp_path / "mined.png", "--num-images", 1)
    assert done.stdout.splitlines()[-1] == str(tmp_path / "mined.png")
    with Image.open(tmp_path / "mined.png") as picture:
        assert min(picture.size) > 100


def test_plot(trained, command_line, tmp_path):
    done = command_line("plot", trained[0] / "training", "--output", tmp_path / "curves")
    assert done.stdout.split() == [str(tmp_path / f"curves.{x}") for x in ("png", "svg")]
    assert (tmp_path / "curves.svg").read_text().rstrip().endswith("</svg>")


def test_export(run, own_data, tmp_path):
    sample = own_data / "images" / "000000000001.jpg"
    words = ("--output", tmp_path / "detector.pt", "--format", "torchscript", "--sample", sample)
    done = run("export", *words, "MODEL.RETINANET.SCORE_THRESH_TEST", 0.3)
    assert done.stdout == f"{tmp_path / 'detector.pt'}\n"
    assert (tmp_path / "detector.pt").stat().st_size > 10_000
