"""A training that is killed and resumed ends as if nothing had happened."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import assert_same_end
from tests.modeling.helpers import each_detector

DRIVER = Path(__file__).with_name("run_until.py")


@each_detector
def test_undisturbed_training_mines(undisturbed):
    """Else the comparisons below would not show what they are for."""
    lines = map(json.loads, (undisturbed / "metrics.json").read_text().splitlines())
    assert max(line.get("comining/mined_per_image", 0) for line in lines) > 0


def test_killed_again_and_again(training, undisturbed):
    kills = [
        ("in a step", 1, []),  # nothing to resume from yet
        ("while a checkpoint is written", 3, ["model_0000001.pth"]),
        ("before a checkpoint is pointed to", 3, ["model_0000001.pth", "model_0000003.pth"]),
        ("before a checkpoint is in place", 5, ["model_0000001.pth", "model_0000003.pth"]),
    ]
    for number, (moment, iteration, left) in enumerate(kills):
        done = training.run(
            "--resume",
            script=(DRIVER, moment, iteration, 0),
            DATALOADER__NUM_WORKERS=number % 3,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert sorted(path.name for path in training.output.glob("*.pth")) == left
    done = training.run("--resume", DATALOADER__NUM_WORKERS=0)
    assert done.returncode == 0, done.stderr
    assert "Starting training from iteration 4" in done.stdout
    assert_same_end(training.output, undisturbed)


@each_detector
def test_killed_in_a_step(training, undisturbed, detector):
    """FCOS goes on by a Lazy config that says the same as its YAML config."""
    lazy = detector == "FCOS"
    done = training.run("--resume", script=(DRIVER, "in a step", 5, 0), lazy=lazy)
    assert done.returncode == -signal.SIGKILL, done.stderr
    done = training.run("--resume", lazy=lazy)
    assert done.returncode == 0, done.stderr
    assert "Starting training from iteration 4" in done.stdout
    assert_same_end(training.output, undisturbed)


@each_detector
def test_plain_detectors_resume(training, detector, tmp_path, monkeypatch):
    """They keep a running mean that is no parameter; their losses round differently at times."""
    # MKL's sums, too, would round by where in memory their numbers lie.
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert training.run(MODEL__META_ARCHITECTURE=detector).returncode == 0
    whole, training.output = training.output, tmp_path / "resumed"
    training.settings["OUTPUT_DIR"] = str(training.output)
    training.output.mkdir()
    shutil.copy(whole / "model_0000003.pth", training.output)
    done = training.run("--resume", MODEL__META_ARCHITECTURE=detector)
    assert done.returncode == 0, done.stderr
    assert "Starting training from iteration 4" in done.stdout
    assert_same_end(training.output, whole, atol=1e-5)


@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_goes_on_from_the_last_good_checkpoint(damage, training, undisturbed):
    training.output.mkdir()
    for path in sorted(undisturbed.glob("model_000000[135].pth")):
        (training.output / path.name).write_bytes(path.read_bytes())
    newest = training.output / "model_0000005.pth"
    if damage == "truncated":
        newest.write_bytes(newest.read_bytes()[:-1000])
    else:
        newest.unlink()
    (training.output / "last_checkpoint").write_text("model_0000005.pth")
    done = training.run("--resume", DATALOADER__NUM_WORKERS=0)
    assert done.returncode == 0, done.stderr
    assert "Starting training from iteration 4" in done.stdout
    assert ("model_0000005.pth is damaged" in done.stdout) == (damage == "truncated")
    assert_same_end(training.output, undisturbed)


def test_adaptive_thresholds_go_on(training, tmp_path):
    adaptive = {
        "MODEL__COMINING__THRESHOLD": "adaptive",
        "MODEL__RETINANET__PRIOR_PROB": 0.2,  # so that there are detections to learn from
    }
    done = training.run(**adaptive)
    assert done.returncode == 0, done.stderr
    undisturbed = training.output.rename(tmp_path / "undisturbed")
    assert torch.load(undisturbed / "model_final.pth")["model"]["adaptive.counts"].sum() > 0
    training.run("--resume", script=(DRIVER, "in a step", 5, 0), **adaptive)
    done = training.run("--resume", **adaptive)
    assert done.returncode == 0, done.stderr
    assert "Starting training from iteration 4" in done.stdout
    assert_same_end(training.output, undisturbed)
