"""A teacher in checkpoints: trainings go on with it, and it is evaluated where wanted."""

import shutil
from pathlib import Path

import pytest
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils.events import EventStorage

from comining.data import register_from_config
from comining.engine import Checkpointer, Trainer
from comining.engine.exporting import export
from comining.errors import InputError
from comining.modeling.entropy import UsualEntropy
from tests.engine.conftest import assert_same_trainer

TAUGHT = (
    "MODEL.COMINING.METHOD", "MeanTeacher",
    "MODEL.COMINING.MEANTEACHER.SCORE_THRESH", 0.012,
    "MODEL.RETINANET.SCORE_THRESH_TEST", 0.0,
    "MODEL.FCOS.SCORE_THRESH_TEST", 0.0,
)  # fmt: skip


@pytest.fixture
def cfg(own_config):
    register_from_config(own_config)
    own_config.merge_from_list([*TAUGHT, "DATASETS.TEST", []])
    return own_config


def train(cfg, resume=False):
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


@pytest.mark.parametrize("method", ["MeanTeacher", "S2Teacher"])
def test_resumed_training_equals_an_uninterrupted_one(cfg, tmp_path, monkeypatch, method):
    """To the bit, in mixed precision; batch normalisation has the teacher's statistics."""
    # Entropies of two objects tell too little.
    monkeypatch.setattr(UsualEntropy, "are_usual", lambda _, __, labels: labels.classes >= 0)
    cfg.merge_from_list(
        [
            "MODEL.COMINING.METHOD", method,
            "MODEL.COMINING.S2TEACHER.SCORE_THRESH", 0.0,
            "MODEL.COMINING.S2TEACHER.FREEZE_STEP", 1.0,
            "SOLVER.MAX_ITER", 3,
            "SOLVER.IMS_PER_BATCH", 1,
            "SOLVER.CHECKPOINT_PERIOD", 2,
            "SOLVER.AMP.ENABLED", True,
            "SOLVER.AMP.DTYPE", "bfloat16",
        ]
    )  # fmt: skip
    torch.manual_seed(0)
    train(cfg)
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    shutil.copy(tmp_path / "output" / "model_0000001.pth", resumed)
    cfg.OUTPUT_DIR = str(resumed)
    assert train(cfg, resume=True).start_iter == 2
    whole, halves = (
        torch.load(folder / "model_final.pth") for folder in (tmp_path / "output", resumed)
    )
    halfway = torch.load(resumed / "model_0000001.pth")["model"]
    name = "head.cls_score.weight"
    average = f"teacher.{name}.averaged"
    assert not torch.equal(whole["model"][average], whole["model"][name])
    assert not torch.equal(whole["model"][average], halfway[average])
    torch.testing.assert_close(halves["model"], whole["model"], rtol=0, atol=0)
    if method == "S2Teacher":
        assert halfway["memory.rows"].shape != whole["model"]["memory.rows"].shape
    assert_same_trainer(halves, whole, rtol=0, atol=0)


class Scores(DatasetEvaluator):
    """The sum of all scores."""

    def reset(self):
        self.sum = 0.0

    def process(self, inputs, outputs):
        self.sum += sum(x["instances"].scores.sum().item() for x in outputs)

    def evaluate(self):
        return {"bbox": {"sum": self.sum}}


def scores(cfg, model):
    return Trainer.test(cfg, model, [Scores()])["bbox"]["sum"]


@pytest.fixture
def trained(cfg):
    """A config, and a checkpoint with a teacher that is surer than its student."""
    cfg.DATASETS.TEST = ["own"]
    model = Trainer.build_model(cfg)
    model.teacher.head.cls_score.bias += 1
    Path(cfg.OUTPUT_DIR).mkdir()
    Checkpointer(model, cfg.OUTPUT_DIR).save("trained", iteration=1)
    return cfg, f"{cfg.OUTPUT_DIR}/trained.pth"


def loaded(cfg, weights, *overrides):
    cfg = cfg.clone()
    cfg.merge_from_list(list(overrides))
    model = Trainer.build_model(cfg)
    Checkpointer(model, whole=True).load(weights)
    return cfg, model


EVALUATE = ("MODEL.COMINING.TEACHER.EVALUATE", True)


def test_of_a_checkpoint_either_is_evaluated(trained, caplog):
    student = scores(*loaded(*trained))
    assert scores(*loaded(*trained, *EVALUATE)) > 1.1 * student
    caplog.clear()
    assert scores(*loaded(*trained, "MODEL.META_ARCHITECTURE", "RetinaNet")) == student
    assert "teacher" not in caplog.text


def test_a_checkpoint_without_a_teacher(trained, caplog):
    """Is not evaluated as one; a training goes on from it with a copy of the detector."""
    cfg, _ = trained
    _, plain = loaded(*trained, "MODEL.META_ARCHITECTURE", "RetinaNet")
    Checkpointer(plain, cfg.OUTPUT_DIR).save("plain", iteration=5)
    weights = f"{cfg.OUTPUT_DIR}/plain.pth"
    with pytest.raises(InputError, match=r"plain.pth holds no teacher: set .*EVALUATE to False"):
        loaded(cfg, weights, *EVALUATE)
    caplog.clear()
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert "teacher" not in caplog.text
    with EventStorage(6):
        trainer.model(next(iter(trainer.data_loader)))
    weight = trainer.model.teacher.head.cls_score.weight
    torch.testing.assert_close(weight, plain.head.cls_score.weight)


def test_export(trained, tmp_path):
    """Of the teacher; what is written is first compared with the detector as it is evaluated."""
    cfg, weights = loaded(*trained)[0], trained[1]
    cfg.MODEL.COMINING.TEACHER.EVALUATE = True
    path = export(cfg, weights, tmp_path / "exported.pt", "torchscript")
    picture = torch.zeros(64, 64, 3, dtype=torch.uint8)
    highest = [
        model.eval()([{"image": picture.permute(2, 0, 1)}])[0]["instances"].scores.max().item()
        for _, model in (loaded(*trained), loaded(*trained, *EVALUATE))
    ]
    found = torch.jit.load(path)(picture)[1].max().item()
    assert found == pytest.approx(highest[1], abs=1e-3)
    assert found > highest[0] + 1e-3
