"""Whole commands on the pretended GPU: training, resuming, evaluation, mining, prediction."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from detectron2.engine import default_argument_parser

from comining.engine.run import main
from tests.conftest import CONFIGS, DEMOS, call_command
from tests.gpu.fake_device import DEVICE, FakeDevice
from tests.modeling.helpers import each_detector, tiny_config, tiny_model

#: By detector, the precision that it is trained in.
PRECISION = {"RetinaNet": "float16", "FCOS": "bfloat16"}


def train(detector, overrides, *options, **settings):
    """Run train_net.py on the device; returns the metrics that it writes."""
    settings = {
        "MODEL.DEVICE": DEVICE,
        "MODEL.RETINANET.SCORE_THRESH_TEST": 0.0,
        "MODEL.FCOS.SCORE_THRESH_TEST": 0.0,
        "SOLVER.AMP.ENABLED": True,
        "SOLVER.AMP.DTYPE": PRECISION[detector],
        "SOLVER.CHECKPOINT_PERIOD": 1,
        "SOLVER.CHECKPOINTS_TO_KEEP": 0,
        "SOLVER.MAX_ITER": 3,
        "SEED": 5,
        **settings,
    }
    words = [*overrides, *(str(word) for pair in settings.items() for word in pair)]
    config = str(CONFIGS / f"{DEMOS[detector]}.yaml")
    args = default_argument_parser().parse_args(["--config-file", config, *options, *words])
    with FakeDevice() as device:
        main(args)
    assert device.refused == []
    assert any(wait.operation == "copy to the device" for wait in device.waits)
    return json.loads(Path(settings["OUTPUT_DIR"], "results.json").read_text())["bbox"]


@each_detector
def test_a_training_resumes_and_is_evaluated(detector, own_overrides, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    results = train(detector, own_overrides, OUTPUT_DIR=str(whole))
    # As if the run had been killed after its first iteration.
    halves.mkdir()
    shutil.copy(whole / "model_0000000.pth", halves)
    (halves / "last_checkpoint").write_text("model_0000000.pth")
    resumed = train(detector, own_overrides, "--resume", OUTPUT_DIR=str(halves))
    assert resumed == pytest.approx(results)

    ours, theirs = (torch.load(folder / "model_final.pth") for folder in (halves, whole))
    assert {x.device.type for x in ours["model"].values()} == {"cpu"}
    torch.testing.assert_close(ours["model"], theirs["model"], rtol=1e-5, atol=1e-7)
    scalers = [x["trainer"]["_trainer"]["grad_scaler"] for x in (ours, theirs)]
    assert scalers[0] == scalers[1]
    assert bool(scalers[0]) == (PRECISION[detector] == "float16")

    settings = {
        "MODEL.WEIGHTS": str(whole / "model_final.pth"),
        "OUTPUT_DIR": str(tmp_path / "eval"),
    }
    assert train(detector, own_overrides, "--eval-only", **settings) == pytest.approx(results)


@pytest.fixture(params=["fixed", "adaptive"])
def trained(request, own_data, tmp_path):
    """A folder with the config and weights of a model that is sure of some boxes."""
    overrides = [
        "MODEL.RETINANET.NUM_CLASSES", 2, "MODEL.COMINING.THRESHOLD", request.param,
        "MODEL.COMINING.SCORE_THRESH", 0.3, "MODEL.COMINING.VIEW.FLIP_PROB", 0.5,
        "INPUT.MIN_SIZE_TEST", 64, "DATALOADER.NUM_WORKERS", 0,
    ]  # fmt: skip
    cfg = tiny_config(*overrides)
    files = {"own": own_data / "annotations.json", "val": tmp_path / "val.json"}
    cfg.DATASETS.REGISTER = [[x, str(files[x]), str(own_data / "images")] for x in files]
    cfg.DATASETS.TRAIN = ["own"]
    (tmp_path / "config.yaml").write_text(cfg.dump())
    model = tiny_model(*overrides)
    if request.param == "adaptive":
        model.adaptive.counts[:3] = 1000  # as if all that it found had been right
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    model_options = ["--config", tmp_path / "config.yaml", "--weights", tmp_path / "model.pth"]
    return SimpleNamespace(folder=tmp_path, options=list(map(str, model_options)))


def on_both(run):
    """What ``run`` returns, called with a device's name, on the CPU and on the device."""
    on_cpu = run("cpu")
    with FakeDevice() as device:
        on_device = run(DEVICE)
    assert device.refused == []
    assert any(wait.operation == "copy to the host" for wait in device.waits)
    return on_cpu, on_device


@pytest.mark.parametrize("options", [[], ["--precision", "0.5", "--calibrate-on", "val"]])
def test_mining(options, trained):
    def mine(device, name, *options):
        output = trained.folder / f"{name}.json"
        words = [*trained.options, "--output", str(output), *options, "MODEL.DEVICE", device]
        call_command("mine", *words)
        return json.loads(output.read_text())

    if options:  # on a data set in which what the model is sure of is annotated
        mine("cpu", "val")
    on_cpu, on_device = on_both(lambda device: mine(device, device, *options))
    assert [x for x in on_device["annotations"] if x.get("origin") == "mined"]
    assert on_device["annotations"] == on_cpu["annotations"]


def test_prediction(trained, own_data):
    def detect(device):
        output = trained.folder / device
        words = [str(own_data / "images"), *trained.options, "--output", str(output),
                 "--score-thresh", "0.3", "--device", device]  # fmt: skip
        call_command("predict", *words)
        return json.loads((output / "predictions.json").read_text())

    on_cpu, on_device = on_both(detect)
    assert on_device["annotations"]
    assert on_device == on_cpu
