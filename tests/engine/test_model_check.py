"""A training goes on with the model that it was made with, or not at all."""

import json

import pytest
import torch

from comining.data import register_coco, register_from_config
from comining.engine import Trainer
from comining.errors import InputError

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]


@pytest.fixture
def cfg(own_config):
    """Of a training that has saved a checkpoint; its data set is registered."""
    register_from_config(own_config)
    Trainer(own_config).checkpointer.save("model_0000000", iteration=0)
    return own_config


def use_categories(cfg, own_data, folder, categories):
    dataset = json.loads((own_data / "annotations.json").read_text())
    (folder / "changed.json").write_text(json.dumps({**dataset, "categories": categories}))
    register_coco("changed", folder / "changed.json", own_data / "images")
    cfg.merge_from_list(
        ["DATASETS.TRAIN", ["changed"], "DATASETS.TEST", [],
         "MODEL.RETINANET.NUM_CLASSES", len(categories)]
    )  # fmt: skip


def resume(cfg):
    trainer = Trainer(cfg)
    before = trainer.model.state_dict()["head.cls_score.weight"].clone()
    with pytest.raises(InputError) as error:
        trainer.resume_or_load(resume=True)
    # Nothing was loaded.
    assert torch.equal(trainer.model.state_dict()["head.cls_score.weight"], before)
    message = str(error.value)
    path = f"{cfg.OUTPUT_DIR}/model_0000000.pth"
    assert message.startswith(f"{path} can't be resumed, it is of another model: ")
    assert message.endswith(
        f"another OUTPUT_DIR and, to start from these weights, MODEL.WEIGHTS {path}"
    )
    return message


def test_same_model(cfg):
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 1


@pytest.mark.parametrize(
    ("categories", "text"),
    [
        ([*CATEGORIES, {"id": 9, "name": "bird"}], "categories have changed; new are bird. "),
        ([{"id": 3, "name": "cat"}, {"id": 7, "name": "wolf"}], "new are wolf, gone are dog. "),
        (
            [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}],
            "their order was cat, dog and is dog, cat. ",
        ),
    ],
)
def test_other_categories(categories, text, cfg, own_data, tmp_path):
    use_categories(cfg, own_data, tmp_path, categories)
    assert text in resume(cfg)


def test_other_ids_of_the_same_categories(cfg, own_data, tmp_path):
    dataset = json.loads((own_data / "annotations.json").read_text())
    for x in (*dataset["categories"], *(x for x in dataset["annotations"])):
        key = "category_id" if "category_id" in x else "id"
        x[key] += 1
    (tmp_path / "shifted.json").write_text(json.dumps(dataset))
    register_coco("shifted", tmp_path / "shifted.json", own_data / "images")
    cfg.merge_from_list(["DATASETS.TRAIN", ["shifted"], "DATASETS.TEST", []])
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["MODEL.RESNETS.DEPTH", 34], " of its parameters differ, "),
        (["MODEL.FPN.OUT_CHANNELS", 8], "head.bbox_pred.weight has the shape"),
        (
            [
                "MODEL.META_ARCHITECTURE",
                "CoMiningFCOS",
                "MODEL.FCOS.IN_FEATURES",
                ["p3", "p4", "p5"],
                "MODEL.FCOS.NORM",
                "",
            ],
            "head.ctrness.bias is not in the checkpoint",
        ),
        (["MODEL.ANCHOR_GENERATOR.SIZES", [[20], [40], [80]]], " of its parameters differ, "),
        (["MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[0.5]]], "its anchors have changed"),
    ],
)
def test_other_models(settings, text, cfg):
    cfg.merge_from_list(settings)
    assert text in resume(cfg)


def test_checkpoint_that_does_not_describe_its_model(cfg, own_data, tmp_path):
    """An older one: shapes are compared all the same."""
    path = f"{cfg.OUTPUT_DIR}/model_0000000.pth"
    content = torch.load(path)
    del content["trainer"]["model_description"]
    torch.save(content, path)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 1
    use_categories(cfg, own_data, tmp_path, [*CATEGORIES, {"id": 9, "name": "bird"}])
    assert "head.cls_score.bias has the shape (6,), in the checkpoint (4,)" in resume(cfg)


def test_another_detector_of_the_same_parameters_goes_on(cfg, caplog):
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 1
    assert "made with CoMiningRetinaNet, this run has RetinaNet" in caplog.text


def test_other_categories_may_begin_with_the_weights(cfg, own_data, tmp_path):
    use_categories(cfg, own_data, tmp_path, [*CATEGORIES, {"id": 9, "name": "bird"}])
    cfg.merge_from_list(
        ["MODEL.WEIGHTS", f"{cfg.OUTPUT_DIR}/model_0000000.pth", "OUTPUT_DIR", str(tmp_path / "b")]
    )
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    saved = torch.load(cfg.MODEL.WEIGHTS)["model"]["head.bbox_pred.weight"]
    assert torch.equal(trainer.model.head.bbox_pred.weight, saved)
