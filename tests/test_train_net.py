"""The command line, as a user types it."""

import functools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from comining.engine import load_config
from comining.modeling.comining import BRANCHES
from tests.modeling.helpers import LOSSES

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "train_net.py"

#: By config: the data set, and the depth of the backbone.
PUBLISHED = {
    "full_R50": ("instances_train2017", 50),
    "easy_R50": ("instances_train2017_easy", 50),
    "hard_R50": ("instances_train2017_hard", 50),
    "extreme_R50": ("instances_train2017_extreme", 50),
    "miss50p_R101": ("coco_missing_50p", 101),
    "fcos_hard_R50": ("instances_train2017_hard", 50),
}

SMALL = {
    "INPUT.MIN_SIZE_TRAIN": "(64,)",
    "INPUT.MIN_SIZE_TEST": "64",
    "SOLVER.IMS_PER_BATCH": "2",
    "SOLVER.MAX_ITER": "2",
    "DATALOADER.NUM_WORKERS": "0",
    # Nothing is detected confidently, but something shall be evaluated, whatever the random
    # weights of the head: of the best hundred boxes FCOS may have none with an area.
    "MODEL.RETINANET.SCORE_THRESH_TEST": "0.0",
    "MODEL.FCOS.SCORE_THRESH_TEST": "0.0",
    "TEST.DETECTIONS_PER_IMAGE": "1000",
    "SEED": "0",
}


def run(root, config, output, *options, **overrides):
    """Run train_net.py in a process of its own, on the CPU."""
    settings = {**SMALL, "OUTPUT_DIR": str(output), **overrides}
    words = [word for pair in settings.items() for word in pair]
    return subprocess.run(
        [sys.executable, SCRIPT, "--config-file", f"configs/{config}.yaml", *options, *words],
        cwd=ROOT,
        env={**os.environ, "DETECTRON2_DATASETS": str(root)},
        capture_output=True,
        text=True,
    )


def read(path):
    return json.loads(path.read_text())


def logged_losses(output):
    lines = (output / "metrics.json").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "total_loss" in line]


def loss_names(output):
    return {key for key in logged_losses(output)[-1] if key.startswith("loss")}


@pytest.fixture
def output():
    """An output folder that is gone afterwards: checkpoints are large."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def weights():
    """By depth, a file of random weights of a backbone."""
    with tempfile.TemporaryDirectory() as folder:

        @functools.cache
        def save(depth):
            cfg = load_config(str(ROOT / "configs" / "full_R50.yaml"))
            cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", depth])
            torch.manual_seed(0)
            state = build_model(cfg).backbone.bottom_up.state_dict(prefix="backbone.bottom_up.")
            for key, value in state.items():
                # As after training, no block adds much: else they make numbers of any size.
                if key.endswith("conv3.norm.weight"):
                    value.fill_(0.2)
            file = Path(folder, f"R-{depth}.pth")
            torch.save({"model": state}, file)
            return str(file)

        yield save


@pytest.fixture(scope="module")
def hard(coco_root, weights):
    """A run of hard_R50, and its output folder."""
    with tempfile.TemporaryDirectory() as folder:
        done = run(coco_root, "hard_R50", folder, **{"MODEL.WEIGHTS": weights(50)})
        assert done.returncode == 0, done.stderr
        yield done, Path(folder)


@pytest.fixture(scope="module")
def finished(hard):
    """The output folder of a run of hard_R50."""
    return hard[1]


@pytest.mark.parametrize("config", PUBLISHED)
def test_published_config_trains_and_evaluates(config, coco_root, weights, output, hard):
    json_file, depth = PUBLISHED[config]
    if config == "hard_R50":
        done, output = hard
    else:
        done = run(coco_root, config, output, **{"MODEL.WEIGHTS": weights(depth)})
    assert done.returncode == 0, done.stderr
    assert "No GPU is available: running on the CPU" in done.stdout
    detector = "FCOS" if config.startswith("fcos") else "RetinaNet"
    assert f"CoMining{detector}: " in done.stdout
    annotations = read(coco_root / "coco" / "annotations" / f"{json_file}.json")["annotations"]
    assert int(re.findall(r"total +\| *(\d+)", done.stdout)[0]) == len(annotations)

    checkpoint = torch.load(output / "model_final.pth")
    assert checkpoint["iteration"] == 1
    blocks = {key.split(".")[3] for key in checkpoint["model"] if "bottom_up.res4" in key}
    assert len(blocks) == {50: 6, 101: 23}[depth]
    assert loss_names(output) == {name + x for name in LOSSES[detector] for x in BRANCHES}

    results = read(output / "results.json")["bbox"]
    assert 0 <= results["AP"] <= 100
    # Null for the categories that the validation images do not show.
    assert results["AP-person"] is not None
    assert results["AP-toothbrush"] is None
    (printed,) = re.findall(r"\| AP-person +\| ([\d.]+)", done.stdout)
    assert float(printed) == pytest.approx(results["AP-person"], abs=0.01)


def test_baseline_trains_and_evaluates(coco_root, weights, output):
    done = run(coco_root, "baseline_hard_R50", output, **{"MODEL.WEIGHTS": weights(50)})
    assert done.returncode == 0, done.stderr
    assert loss_names(output) == {"loss_cls", "loss_box_reg"}
    # Nothing of detectron2's and torch's that a user can't act on.
    assert "FutureWarning" not in done.stderr
    assert "meshgrid" not in done.stderr
    assert 0 <= read(output / "results.json")["bbox"]["AP"] <= 100


def test_evaluation_alone_gives_the_same(finished, coco_root, output):
    final = str(finished / "model_final.pth")
    done = run(coco_root, "hard_R50", output, "--eval-only", **{"MODEL.WEIGHTS": final})
    assert done.returncode == 0, done.stderr
    assert read(output / "results.json") == read(finished / "results.json")
    detections = Path("inference", "coco_2017_val", "coco_instances_results.json")
    assert read(output / detections) == read(finished / detections) != []
    assert not (output / "metrics.json").exists()  # nothing was trained


def test_untrained_weights_are_not_evaluated(finished, coco_root, weights, output):
    shutil.copy(finished / "results.json", output)
    done = run(coco_root, "hard_R50", output, "--eval-only", **{"MODEL.WEIGHTS": weights(50)})
    assert done.returncode == 2
    assert "R-50.pth does not hold the weights of this CoMiningRetinaNet: " in done.stderr
    assert "Traceback" not in done.stderr
    assert read(output / "results.json") == read(finished / "results.json")


def test_resumed_run_continues(finished, coco_root, output):
    shutil.copytree(finished, output, dirs_exist_ok=True)
    # The first weights are not asked for again.
    more = {"SOLVER.MAX_ITER": "3", "MODEL.WEIGHTS": "gone.pth"}
    done = run(coco_root, "hard_R50", output, "--resume", **more)
    assert done.returncode == 0, done.stderr
    assert "Starting training from iteration 2" in done.stdout
    assert "no optimizer state" not in done.stdout
    assert torch.load(output / "model_final.pth")["iteration"] == 2
    # One entry at the end of each run.
    assert [losses["iteration"] for losses in logged_losses(output)] == [1, 2]


def test_resumed_evaluation_takes_the_last_checkpoint(finished, coco_root, output):
    shutil.copy(finished / "model_final.pth", output)
    done = run(coco_root, "hard_R50", output, "--eval-only", "--resume")
    assert done.returncode == 0, done.stderr
    assert read(output / "results.json") == read(finished / "results.json")


def test_error_ends_the_command(coco_root, output):
    done = run(coco_root, "full_R50", output, **{"MODEL.WEIGHTS": "gone.pth"})
    assert done.returncode == 2
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("error: the weights file gone.pth does not exist: set MODEL.WEIGHTS")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def error_of(own_overrides, monkeypatch, capsys):
    """Runs train_net.py on the user's own data in this process; returns its error message."""

    def error(*options, config="configs/demo.yaml", code=2, **overrides):
        words = [*own_overrides, *(str(word) for pair in overrides.items() for word in pair)]
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--config-file", config, *options, *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        assert end.value.code == code
        return capsys.readouterr().err

    monkeypatch.chdir(ROOT)
    return error


def test_help_warns_of_code_in_configs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert end.value.code == 0
    assert "a Python program" in " ".join(capsys.readouterr().out.split())


def test_missing_config_file(error_of):
    message = error_of(config="demoo.yaml")
    assert message.startswith("error: demoo.yaml is neither a file nor the name of a config; near")
    assert " demo" in message.partition("near to it are")[2]


def test_config_of_the_package_by_its_name(error_of):
    assert "SOLVER.MAX_ITER is 0" in error_of(config="demo", **{"SOLVER.MAX_ITER": 0})


def test_config_file_with_an_unknown_key(error_of, tmp_path):
    config = tmp_path / "my.yaml"
    config.write_text("VERSION: 2\nMODEL: {COMINING: {SCORE_TRESH: 0.5}}\n")
    message = error_of(config=str(config))
    assert f"error: config file {config}: " in message
    assert "MODEL.COMINING.SCORE_TRESH" in message


def test_config_file_with_code(error_of, tmp_path):
    config, marker = tmp_path / "my.yaml", tmp_path / "marker"
    config.write_text(f'OUTPUT_DIR: !!python/object/apply:os.system ["touch {marker}"]\n')
    assert f"error: config file {config}: " in error_of(config=str(config))
    assert not marker.exists()


def test_wrong_override(error_of):
    message = error_of(**{"SOLVER.LEARNING_RATE": 1})
    assert message.startswith("error: command line: ")
    assert "SOLVER.LEARNING_RATE" in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.COMINING.SCORE_THRESH", 1.5, "MODEL.COMINING.SCORE_THRESH is 1.5"),
        ("MODEL.COMINING.VIEW.HUE", 0.7, "HUE"),
        ("SOLVER.OPTIMIZER", "Lion", "it must be 'SGD' or 'AdamW'"),
        ("SOLVER.AMP.ENABLED", True, "float16 needs a GPU; use bfloat16 on the CPU"),
        ("MODEL.RETINANET.NUM_CLASSES", 80, "set MODEL.RETINANET.NUM_CLASSES 2"),
    ],
)
def test_setting_that_does_not_work(key, value, message, error_of):
    assert message in error_of(**{key: value})


@pytest.mark.parametrize("options", [(), ("--eval-only",)])
def test_weights_file_of_another_kind(options, error_of, tmp_path):
    torch.save({"network": {}, "epoch": 3}, tmp_path / "x.pth")
    message = error_of(*options, **{"MODEL.WEIGHTS": tmp_path / "x.pth"})
    assert f"error: {tmp_path / 'x.pth'} holds no weights by name: its entry 'network'" in message
    assert "is a folder: set MODEL.WEIGHTS" in error_of(*options, **{"MODEL.WEIGHTS": tmp_path})


def test_divergence_ends_the_command(error_of):
    message = error_of(code=1, **{"SOLVER.BASE_LR": 1e30, "SOLVER.WARMUP_ITERS": 0})
    assert message.startswith("error: losses are not finite in iteration 1: ")


def test_number_of_classes_is_checked_without_training(error_of):
    assert "has 2 categories" in error_of("--eval-only", **{"MODEL.RETINANET.NUM_CLASSES": 3})


@pytest.mark.parametrize("option", ["annotations.json", "images"])
def test_missing_data(option, error_of, own_data, tmp_path):
    files = {name: own_data / name for name in ("annotations.json", "images")}
    files[option] = tmp_path / "gone"
    entry = ["theirs", *map(str, files.values())]
    message = error_of(**{"DATASETS.REGISTER": [entry], "DATASETS.TRAIN": ["theirs"],
                          "DATASETS.TEST": ["theirs"]})  # fmt: skip
    assert re.search(rf"theirs: put its .* {tmp_path / 'gone'}\n$", message)


def test_missing_coco(error_of):
    message = error_of(**{"DATASETS.TRAIN": ["coco_2017_train_hard"]})
    assert "coco/annotations/instances_train2017_hard.json, or set $DETECTRON2_DATASETS" in message
    assert "coco/train2017, or set $DETECTRON2_DATASETS" in message
    assert re.search(
        r"; `comining sparsify --annotations (.*)/instances_train2017\.json --protocol hard --seed "
        r"0 --record-name --output \1/instances_train2017_hard\.json` makes it\n",
        message,
    )


def test_unknown_data_set(error_of):
    message = error_of(**{"DATASETS.TEST": ["trees"]})
    assert "no data set is called 'trees': register it with DATASETS.REGISTER" in message


def test_bad_registration(error_of):
    message = error_of(**{"DATASETS.REGISTER": ["own", "annotations.json", "images"]})
    assert "DATASETS.REGISTER has the entry own; it must be [name, annotation file," in message


@pytest.mark.parametrize("options", [(), ("--eval-only",)])
def test_empty_data_set(options, error_of, own_data, tmp_path):
    categories = read(own_data / "annotations.json")["categories"]
    empty = {"images": [], "annotations": [], "categories": categories}
    (tmp_path / "empty.json").write_text(json.dumps(empty))
    entry = ["empty", str(tmp_path / "empty.json"), str(own_data / "images")]
    message = error_of(*options, **{"DATASETS.REGISTER": [entry], "DATASETS.TRAIN": ["empty"],
                                    "DATASETS.TEST": ["empty"]})  # fmt: skip
    assert f"{tmp_path / 'empty.json'}: 0 images" in message
    assert "the file lists no images: at least one is needed" in message


def test_weights_that_cannot_be_downloaded(error_of, monkeypatch, tmp_path):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    message = error_of(**{"MODEL.WEIGHTS": "http://127.0.0.1:9/R-50.pkl"})  # nobody is there
    assert "the weights http://127.0.0.1:9/R-50.pkl can't be downloaded" in message
    assert "set MODEL.WEIGHTS to its path" in message


def test_more_gpus_than_there_are(error_of, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert "--num-gpus 8, but this machine has 4" in error_of("--num-gpus", "8")
