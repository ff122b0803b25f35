"""Evaluation where an image can't be read: all else is done, and the end names it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetMapper
from PIL import Image

from comining.data import register_coco
from comining.data.tolerant import TolerantMapper
from comining.engine import Trainer
from comining.engine.evaluate import IncompleteEvaluationError
from comining.errors import InputError

BROKEN = "000000000002.jpg"


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def resize(path):
    Image.new("RGB", (10, 20)).save(path)


@pytest.fixture
def cfg(own_config, own_data, tmp_path):
    """Trains on the user's own data, evaluates on a copy of them in the folder ``copy``."""
    shutil.copytree(own_data, tmp_path / "copy")
    for name, folder in (("own", own_data), ("copy", tmp_path / "copy")):
        register_coco(name, folder / "annotations.json", folder / "images")
    own_config.merge_from_list(
        ["DATASETS.TEST", ["copy"], "MODEL.RETINANET.SCORE_THRESH_TEST", 0.0]
    )
    return own_config


def load_iteration(folder):
    return torch.load(folder / "output" / "model_final.pth")["iteration"]


@pytest.fixture
def broken(cfg, tmp_path):
    del cfg  # makes the folder
    return tmp_path / "copy" / "images" / BROKEN


def metrics_of_others(cfg, model, own_data, folder):
    """Of the data set without the broken image."""
    dataset = json.loads((own_data / "annotations.json").read_text())
    for key, field in (("images", "id"), ("annotations", "image_id")):
        dataset[key] = [x for x in dataset[key] if x[field] != 2]
    (folder / "others.json").write_text(json.dumps(dataset))
    register_coco("others", folder / "others.json", own_data / "images")
    cfg.merge_from_list(["DATASETS.TEST", ["others"], "OUTPUT_DIR", str(folder / "others")])
    return Trainer.test(cfg, model)["bbox"]


@pytest.mark.parametrize(("damage", "num_workers"), [(truncate, 0), (resize, 1)])
def test_the_other_images_are_evaluated(damage, num_workers, cfg, broken, own_data, tmp_path):
    damage(broken)
    cfg.DATALOADER.NUM_WORKERS = num_workers
    model = Trainer.build_model(cfg)
    with pytest.raises(IncompleteEvaluationError) as error:
        Trainer.test(cfg, model)
    message = str(error.value)
    assert message.startswith("1 image can't be read. The metrics in the log are those of the ")
    assert str(broken) in message
    assert "Traceback" not in message
    output = tmp_path / "output"
    assert not (output / "results.json").exists()
    path = output / "inference" / "copy" / "coco_instances_results.json"
    predictions = json.loads(path.read_text())
    assert {x["image_id"] for x in predictions} == {1, 3, 4}
    expected = metrics_of_others(cfg, model, own_data, tmp_path)
    assert error.value.results["bbox"] == pytest.approx(expected, nan_ok=True)
    assert expected["AP"] >= 0


def test_every_data_set_is_evaluated(cfg, broken):
    truncate(broken)
    cfg.DATASETS.TEST = ["copy", "own"]
    with pytest.raises(IncompleteEvaluationError) as error:
        Trainer.test(cfg, Trainer.build_model(cfg))
    assert list(error.value.results) == ["copy", "own"]
    assert all(x["bbox"]["AP"] >= 0 for x in error.value.results.values())


def test_no_image_can_be_read(cfg, broken):
    for path in broken.parent.iterdir():
        truncate(path)
    with pytest.raises(IncompleteEvaluationError, match=r"^4 images can't be read"):
        Trainer.test(cfg, Trainer.build_model(cfg))


def test_training_goes_on_and_tells_it_at_the_end(cfg, broken, tmp_path, caplog):
    truncate(broken)
    cfg.merge_from_list(["TEST.EVAL_PERIOD", 1, "SOLVER.MAX_ITER", 2])
    with pytest.raises(IncompleteEvaluationError, match=BROKEN):
        Trainer(cfg).train()
    assert load_iteration(tmp_path) == 1
    lines = (tmp_path / "output" / "metrics.json").read_text().splitlines()
    assert "bbox/AP" in json.loads(lines[-1])
    assert caplog.text.count("1 image can't be read") == 2


def test_image_that_is_gone_after_the_beginning(cfg, broken, tmp_path):
    cfg.merge_from_list(["TEST.EVAL_PERIOD", 1, "SOLVER.MAX_ITER", 2])
    trainer = Trainer(cfg)
    broken.unlink()
    with pytest.raises(InputError, match=BROKEN):
        trainer.train()
    assert load_iteration(tmp_path) == 1


@pytest.mark.parametrize(
    "damage", [Path.unlink, truncate, resize, lambda x: x.write_text("<html>")]
)
def test_mapper_tells_what_it_can_not_read(damage, cfg, broken):
    mapper = TolerantMapper(DatasetMapper(cfg, is_train=False))
    record = {"file_name": str(broken), "width": 64, "height": 64}
    assert mapper(record)["image"].shape == (3, 64, 64)
    damage(broken)
    item = mapper(record)
    assert set(item) == {"unreadable"}
    assert str(broken) in item["unreadable"]


def test_image_that_is_repaired_in_time(cfg, broken, tmp_path):
    content = broken.read_bytes()
    truncate(broken)
    cfg.merge_from_list(["TEST.EVAL_PERIOD", 1, "SOLVER.MAX_ITER", 2])
    trainer = Trainer(cfg)
    step = trainer.run_step

    def repairing_step():
        step()
        if trainer.iter == 1:
            broken.write_bytes(content)

    trainer.run_step = repairing_step
    trainer.train()
    assert json.loads((tmp_path / "output" / "results.json").read_text())["bbox"]["AP"] >= 0
