"""Faster R-CNN by the project's trainer and commands: in every step what is needed differs."""

import json
import shutil

import pytest
import torch

from comining.data import register_from_config
from comining.engine import Trainer
from comining.errors import InputError
from tests.engine.conftest import assert_same_trainer


@pytest.fixture
def detector():
    return "GeneralizedRCNN"


@pytest.fixture
def cfg(own_config):
    own_config.merge_from_list(
        [
            "MODEL.COMINING.THRESHOLD", "fixed",
            "MODEL.COMINING.SCORE_THRESH", 0.3,  # which random weights reach
            "SOLVER.MAX_ITER", 3,
            "SOLVER.CHECKPOINT_PERIOD", 1,
            "SOLVER.CHECKPOINTS_TO_KEEP", 0,
        ]
    )  # fmt: skip
    register_from_config(own_config)
    return own_config


def train(cfg, resume=False):
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def end_of(folder):
    return torch.load(folder / "model_final.pth")


@pytest.mark.parametrize("architecture", ["CoMiningGeneralizedRCNN", "GeneralizedRCNN"])
def test_resumed_training_ends_alike(cfg, architecture, tmp_path):
    """Draws of anchors and proposals included: to the bit."""
    cfg.MODEL.META_ARCHITECTURE = architecture
    whole = train(cfg)
    mined = whole.storage.latest().get("comining/mined_per_image", (0,))[0]
    assert (mined > 0) == (architecture != "GeneralizedRCNN")
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    shutil.copy(tmp_path / "output" / "model_0000000.pth", resumed)
    (resumed / "last_checkpoint").write_text("model_0000000.pth")
    cfg.OUTPUT_DIR = str(resumed)
    torch.manual_seed(99)  # of another process
    assert train(cfg, resume=True).start_iter == 1
    ours, theirs = end_of(resumed), end_of(tmp_path / "output")
    torch.testing.assert_close(ours["model"], theirs["model"], rtol=0, atol=0)
    assert_same_trainer(ours, theirs, rtol=0, atol=0)
    results = [(x / "results.json").read_text() for x in (resumed, tmp_path / "output")]
    assert results[0] == results[1]


def test_commands_take_it(cfg, command_line, own_data, tmp_path):
    """Model zoo weights of the plain one, mining, prediction; export refuses in one line."""
    plain = cfg.clone()
    plain.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    weights = tmp_path / "plain.pth"
    torch.save({"model": Trainer.build_model(plain).state_dict()}, weights)
    (tmp_path / "my.yaml").write_text(cfg.dump())
    model = ("--config", tmp_path / "my.yaml", "--weights", weights)

    done = command_line("mine", *model, "--output", tmp_path / "mined.json")
    assert done.exit_code == 0, done.output
    annotations = json.loads((tmp_path / "mined.json").read_text())["annotations"]
    assert any(x.get("score", 0) > 0.3 for x in annotations)

    done = command_line(
        "predict",
        *model,
        own_data / "images",
        "--output",
        tmp_path / "found",
        "--score-thresh",
        0.3,
    )
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "found" / "predictions.json").read_text())["annotations"]

    done = command_line("export", *model, "--output", tmp_path / "detector.onnx")
    assert done.exit_code == 2
    assert "a CoMiningGeneralizedRCNN can't be exported, only a RetinaNet or FCOS" in done.output
    assert not (tmp_path / "detector.onnx").exists()


@pytest.mark.parametrize("architecture", ["CoMiningGeneralizedRCNN", "GeneralizedRCNN"])
def test_number_of_classes_is_checked(cfg, architecture):
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.ROI_HEADS.NUM_CLASSES = architecture, 3
    with pytest.raises(InputError, match=r"MODEL\.ROI_HEADS\.NUM_CLASSES"):
        Trainer(cfg)
