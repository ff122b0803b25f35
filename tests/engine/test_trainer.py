"""Training on the CPU, what it leaves behind, and how it goes on."""

import json
import math
import shutil
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.data.detection_utils import read_image
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils.events import get_event_storage
from torch import nn

from comining.annotations.sparse import make_sparse
from comining.data import register_coco, register_from_config
from comining.engine import Trainer
from comining.errors import InputError
from comining.modeling.comining import BRANCHES
from tests.engine.conftest import assert_same_trainer
from tests.modeling.helpers import LOSSES, each_detector


@pytest.fixture
def cfg(own_config):
    register_from_config(own_config)
    return own_config


def load_checkpoint(cfg, name="model_final.pth"):
    return torch.load(f"{cfg.OUTPUT_DIR}/{name}")  # with torch's safe loader


def train(cfg, resume=False):
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("detector", "name", "optimizer", "state"),
    [
        ("RetinaNet", "SGD", torch.optim.SGD, "momentum_buffer"),
        ("RetinaNet", "AdamW", torch.optim.AdamW, "exp_avg_sq"),
        ("FCOS", "AdamW", torch.optim.AdamW, "exp_avg_sq"),
    ],
)
def test_training_changes_weights_and_keeps_the_optimizers_state(name, optimizer, state, cfg):
    cfg.SOLVER.OPTIMIZER = name
    trainer = Trainer(cfg)
    assert isinstance(trainer.optimizer, optimizer)
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    trainer.train()

    checkpoint = load_checkpoint(cfg)
    assert checkpoint["iteration"] == 1
    weight = "head.cls_score.weight"
    assert not torch.equal(checkpoint["model"][weight], before[weight])
    states = checkpoint["trainer"]["_trainer"]["optimizer"]["state"]
    assert len(states) == len(list(trainer.model.parameters()))
    assert all(parameter[state].abs().sum() > 0 for parameter in states.values())


def test_settings_of_the_optimizers(cfg):
    cfg.merge_from_list(
        [
            "SOLVER.BASE_LR", 0.25,
            "SOLVER.WEIGHT_DECAY", 0.125,
            "SOLVER.WEIGHT_DECAY_NORM", 0.0625,
            "SOLVER.BIAS_LR_FACTOR", 2.0,
            "SOLVER.WEIGHT_DECAY_BIAS", 0.0,
        ]
    )  # fmt: skip
    model = Trainer.build_model(cfg)
    for name in ("SGD", "AdamW"):
        cfg.SOLVER.OPTIMIZER = name
        settings = {
            parameter: (group["lr"], group["weight_decay"])
            for group in Trainer.build_optimizer(cfg, model).param_groups
            for parameter in group["params"]
        }
        assert settings.keys() == set(model.parameters())
        biases = {x for key, x in model.named_parameters() if key.endswith("bias")}
        assert {settings[x] for x in biases} == {(0.5, 0.0)}
        others = {settings[x] for x in settings.keys() - biases}
        assert others == {(0.25, 0.125), (0.25, 0.0625)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["SOLVER.LR_SCHEDULER_NAME", "Cosine"], "Unknown LR scheduler: Cosine"),
        (["SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "l2"], "'l2' is not a valid"),
        (["SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS", [2],
          "SOLVER.MAX_ITER", 2], "Milestone must be smaller"),
    ],
)  # fmt: skip
def test_what_detectron2_refuses_in_the_solver_is_told(settings, message, cfg):
    cfg.merge_from_list(settings)
    with pytest.raises(InputError, match=rf"^the settings of SOLVER can't be used: {message}"):
        Trainer(cfg)


def test_unknown_optimizer_is_refused(cfg):
    cfg.SOLVER.OPTIMIZER = "Lion"
    with pytest.raises(InputError, match=r"SOLVER\.OPTIMIZER is 'Lion'; .* 'SGD' or 'AdamW'"):
        Trainer(cfg)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [("float16", "float16 needs a GPU; use bfloat16"), ("half", "'half'; it must be one of")],
)
def test_mixed_precision_that_does_not_work_is_refused(dtype, message, cfg):
    cfg.merge_from_list(["SOLVER.AMP.ENABLED", True, "SOLVER.AMP.DTYPE", dtype])
    with pytest.raises(InputError, match=message):
        Trainer(cfg)


@each_detector
@pytest.mark.parametrize("enabled", [True, False])
def test_bfloat16_trains_single_precision_weights(enabled, cfg):
    cfg.merge_from_list(["SOLVER.AMP.ENABLED", enabled, "SOLVER.AMP.DTYPE", "bfloat16"])
    trainer = Trainer(cfg)
    dtypes = []
    trainer.model.head.cls_score.register_forward_hook(
        lambda module, inputs, output: dtypes.append(output.dtype) if module.training else None
    )
    trainer.train()
    assert set(dtypes) == {torch.bfloat16 if enabled else torch.float32}
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    saved = load_checkpoint(cfg)["model"]
    assert all(saved[name].isfinite().all() for name, _ in trainer.model.named_parameters())


@each_detector
def test_losses_and_mined_boxes_are_logged(detector, cfg, tmp_path):
    train(cfg)
    lines = (tmp_path / "output" / "metrics.json").read_text().splitlines()
    metrics = json.loads(lines[0])
    losses = {name + suffix for name in LOSSES[detector] for suffix in BRANCHES}
    assert losses | {"comining/mined_per_image", "comining/mined_per_image_aug"} <= set(metrics)
    assert {"data_time", "lr", "iteration"} <= set(metrics)
    assert metrics["total_loss"] == pytest.approx(sum(metrics[name] for name in losses))


def test_withheld_annotations_judge_what_is_mined(cfg, own_data, tmp_path):
    full = json.loads((own_data / "annotations.json").read_text())
    sparse = make_sparse(full, "hard", seed=0, file_name="full.json", record_name=True)
    for name, dataset in (("full", full), ("sparse", sparse)):
        (tmp_path / f"{name}.json").write_text(json.dumps(dataset))
    register_coco("sparse", tmp_path / "sparse.json", own_data / "images")
    cfg.merge_from_list(
        [
            "DATASETS.TRAIN", ["sparse"],
            "DATASETS.TEST", [],
            "TEST.FOUND", True,
            "MODEL.COMINING.THRESHOLD", "fixed",
            "MODEL.COMINING.SCORE_THRESH", 0.0,
        ]
    )  # fmt: skip
    batch = next(iter(Trainer.build_train_loader(cfg)))
    assert [(len(item["instances"]), len(item["withheld"])) for item in batch] == [(1, 1)] * 2
    cfg.MODEL.COMINING.METHOD = "Oracle"
    assert Trainer(cfg).model.method.asks_withheld
    cfg.MODEL.COMINING.METHOD = ""
    train(cfg)
    lines = (tmp_path / "output" / "metrics.json").read_text().splitlines()
    assert 0 <= json.loads(lines[0])["comining/mined_recall"] <= 1
    results = json.loads((tmp_path / "output" / "results.json").read_text())
    assert 0 <= results["withheld"]["found"] <= 100
    assert json.loads(lines[-1])["withheld/found"] == results["withheld"]["found"]


def test_what_is_withheld_must_be_known_before_training(cfg):
    cfg.TEST.FOUND = True
    with pytest.raises(InputError, match=r"with TEST\.FOUND it must be known what own lacks"):
        Trainer(cfg)
    cfg.merge_from_list(["TEST.FOUND", False, "MODEL.COMINING.METHOD", "Oracle"])
    with pytest.raises(InputError, match=r"METHOD Oracle it must be known what own lacks: make"):
        Trainer(cfg)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("wanted", [True, False])
def test_images_are_mirrored_top_to_bottom_if_wanted(wanted, cfg):
    cfg.merge_from_list(
        ["INPUT.VERTICAL_FLIP", wanted, "INPUT.RANDOM_FLIP", "none", "SOLVER.IMS_PER_BATCH", 4]
    )
    batches = islice(Trainer.build_train_loader(cfg), 20)
    items = [item for batch in batches for item in batch if item["image_id"] == 1]
    image = torch.from_numpy(read_image(items[0]["file_name"], "BGR").copy()).permute(2, 0, 1)
    # Of 64 x 64 pixels.
    boxes = torch.tensor([[0, 0, 32, 32], [64 / 3, 64 / 3, 64 / 3 + 32, 64 / 3 + 32]])
    mirrored = torch.tensor([[0, 32, 32, 64], [64 / 3, 32 / 3, 64 / 3 + 32, 128 / 3]])
    ways = set()
    for item in items:
        is_mirrored = not torch.equal(item["image"], image)
        ways.add(is_mirrored)
        assert torch.equal(item["image"], image.flip(1) if is_mirrored else image)
        expected = mirrored if is_mirrored else boxes
        torch.testing.assert_close(item["instances"].gt_boxes.tensor, expected)
    assert len(items) == 20
    assert ways == ({False, True} if wanted else {False})


def test_old_checkpoints_make_room_for_new_ones(cfg, tmp_path):
    cfg.merge_from_list(
        [
            "DATASETS.TEST", [],
            "SOLVER.MAX_ITER", 3,
            "SOLVER.CHECKPOINT_PERIOD", 1,
            "SOLVER.CHECKPOINTS_TO_KEEP", 1,
        ]
    )  # fmt: skip
    own = tmp_path / "output" / "model_0000000.pth.mine"
    own.parent.mkdir()
    own.touch()
    train(cfg)
    left = sorted(path.name for path in (tmp_path / "output").glob("model*"))
    assert left == [own.name, "model_0000002.pth", "model_final.pth"]


def test_unknown_architecture_is_refused(cfg):
    cfg.MODEL.META_ARCHITECTURE = "CoMiningRetina"
    with pytest.raises(InputError, match=r"'CoMiningRetina', which is not registered"):
        Trainer(cfg)


def test_annotations_without_area_and_iscrowd_are_evaluated(cfg, own_data, tmp_path):
    dataset = json.loads((own_data / "annotations.json").read_text())
    for annotation in dataset["annotations"]:
        del annotation["area"], annotation["iscrowd"]
    (tmp_path / "bare.json").write_text(json.dumps(dataset))
    register_coco("bare", tmp_path / "bare.json", own_data / "images")
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = 0.0  # or there are no detections to compare with
    model = Trainer.build_model(cfg)
    complete = Trainer.test(cfg, model)["bbox"]
    assert complete["AP"] >= 0
    cfg.DATASETS.TEST = ["bare"]
    # Sizes, too, are told apart by the area.
    assert str(Trainer.test(cfg, model)["bbox"]) == str(complete)


@each_detector
def test_results_are_json_with_null_for_what_cannot_be_computed(cfg, tmp_path):
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = cfg.MODEL.FCOS.SCORE_THRESH_TEST = (
        1.0  # nothing is detected
    )
    results = Trainer.test(cfg, Trainer.build_model(cfg))
    assert math.isnan(results["bbox"]["AP"])

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "output" / "results.json").read_text()
    written = json.loads(text, parse_constant=refuse)
    assert written["bbox"] == dict.fromkeys(
        ("AP", "AP50", "AP75", "APs", "APm", "APl", "AP-cat", "AP-dog")
    )
    assert [path.name for path in (tmp_path / "output").glob("results*")] == ["results.json"]


def test_results_of_an_evaluator_of_ones_own(cfg, tmp_path):
    class Evaluator(DatasetEvaluator):
        def evaluate(self):
            return {"mine": {"score": np.float32(0.5)}}

    Trainer.test(cfg, Trainer.build_model(cfg), [Evaluator()])
    text = (tmp_path / "output" / "results.json").read_text()
    assert json.loads(text) == {"mine": {"score": 0.5}}


def test_results_are_per_category_and_per_data_set(cfg, own_data):
    cfg.DATASETS.REGISTER = [["more", *cfg.DATASETS.REGISTER[0][1:]]]
    register_from_config(cfg)
    cfg.merge_from_list(
        ["DATASETS.TEST", ["own", "more"], "MODEL.RETINANET.SCORE_THRESH_TEST", 0.0]
    )
    results = Trainer.test(cfg, Trainer.build_model(cfg))
    assert list(results) == ["own", "more"]
    assert {"AP", "AP-cat", "AP-dog"} <= set(results["own"]["bbox"])
    assert results["own"]["bbox"] == pytest.approx(results["more"]["bbox"], nan_ok=True)


@each_detector
def test_resumed_run_equals_an_uninterrupted_one(cfg, own_data, tmp_path):
    # One image and no random flip: every iteration sees the same.
    dataset = json.loads((own_data / "annotations.json").read_text())
    dataset["images"] = dataset["images"][:1]
    dataset["annotations"] = [a for a in dataset["annotations"] if a["image_id"] == 1]
    (tmp_path / "one.json").write_text(json.dumps(dataset))
    cfg.DATASETS.REGISTER = [["one", str(tmp_path / "one.json"), str(own_data / "images")]]
    register_from_config(cfg)
    cfg.merge_from_list(
        [
            "DATASETS.TRAIN", ["one"],
            "DATASETS.TEST", [],
            "INPUT.RANDOM_FLIP", "none",
            "SOLVER.OPTIMIZER", "SGD",
            "SOLVER.BASE_LR", 0.02,
            "SOLVER.WARMUP_ITERS", 1,
            "SOLVER.IMS_PER_BATCH", 1,
            "SOLVER.MAX_ITER", 4,
            "SOLVER.CHECKPOINT_PERIOD", 2,
            "SOLVER.AMP.ENABLED", False,
        ]
    )  # fmt: skip
    torch.manual_seed(0)
    train(cfg)
    uninterrupted = load_checkpoint(cfg)
    halfway = load_checkpoint(cfg, "model_0000001.pth")

    interrupted = tmp_path / "interrupted"
    interrupted.mkdir()
    shutil.copy(tmp_path / "output" / "model_0000001.pth", interrupted)
    (interrupted / "last_checkpoint").write_text("model_0000001.pth")
    cfg.OUTPUT_DIR = str(interrupted)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 2
    saved = halfway["trainer"]["_trainer"]["optimizer"]["state"]
    restored = trainer.optimizer.state_dict()["state"]
    assert len(restored) == len(saved) > 0
    for key, state in saved.items():
        torch.testing.assert_close(restored[key], state, rtol=0, atol=0)
    trainer.train()

    resumed = load_checkpoint(cfg)
    assert resumed["iteration"] == uninterrupted["iteration"] == 3
    assert not torch.equal(
        resumed["model"]["head.cls_score.weight"], halfway["model"]["head.cls_score.weight"]
    )
    torch.testing.assert_close(resumed["model"], uninterrupted["model"])
    assert_same_trainer(resumed, uninterrupted)


def test_resumed_run_goes_by_its_own_learning_rate(cfg, tmp_path):
    cfg.merge_from_list(
        ["SOLVER.BASE_LR", 0.02, "SOLVER.WEIGHT_DECAY", 0.1, "SOLVER.WARMUP_ITERS", 0,
         "SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS", [2],
         "SOLVER.GAMMA", 0.1, "SOLVER.MAX_ITER", 4, "SOLVER.CHECKPOINT_PERIOD", 2]
    )  # fmt: skip

    def rate():
        lines = (tmp_path / "output" / "metrics.json").read_text().splitlines()
        return [x["lr"] for x in map(json.loads, lines) if "lr" in x][-1]

    train(cfg)
    assert rate() == pytest.approx(0.002)
    (tmp_path / "output" / "last_checkpoint").write_text("model_0000001.pth")
    cfg.merge_from_list(["SOLVER.BASE_LR", 0.01, "SOLVER.WEIGHT_DECAY", 0.2])
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    for group in trainer.optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.001)
        assert group["weight_decay"] in (0, 0.2)
    trainer.train()
    assert rate() == pytest.approx(0.001)


def momentum(trainer):
    """By the parameter's name."""
    names = {parameter: name for name, parameter in trainer.model.named_parameters()}
    states = trainer.optimizer.state.items()
    return {names[parameter]: state["momentum_buffer"].clone() for parameter, state in states}


@pytest.fixture
def halfway(cfg):
    """A trainer after two of four iterations with SGD, at a learning rate of 0.002."""
    cfg.merge_from_list(
        ["SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", 0.02, "SOLVER.WARMUP_ITERS", 0,
         "SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS", [1],
         "SOLVER.WEIGHT_DECAY", 0.1, "SOLVER.WEIGHT_DECAY_NORM", 0.0, "DATASETS.TEST", []]
    )  # fmt: skip
    trainer = train(cfg)
    cfg.SOLVER.MAX_ITER = 4
    return trainer


@pytest.mark.parametrize(
    "settings",
    [
        ["SOLVER.WEIGHT_DECAY_BIAS", 0.05],  # a third group of parameters
        ["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.WEIGHT_DECAY_BIAS", 0.05],
        ["MODEL.BACKBONE.FREEZE_AT", 2],
    ],
)
def test_resumed_run_keeps_the_momentum_of_what_it_trains(cfg, halfway, settings):
    before = momentum(halfway)
    groups = [len(group["params"]) for group in halfway.optimizer.param_groups]
    cfg.merge_from_list(settings)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    after = momentum(trainer)
    trained = {name for name, x in trainer.model.named_parameters() if x.requires_grad}
    assert [len(group["params"]) for group in trainer.optimizer.param_groups] != groups
    assert set(after) == trained & set(before) != set()
    for name, value in after.items():
        assert torch.equal(value, before[name])
    assert all(x["lr"] == pytest.approx(0.002) for x in trainer.optimizer.param_groups)
    trainer.train()
    assert load_checkpoint(cfg)["iteration"] == 3


def test_resumed_run_with_another_optimizer_starts_its_state_anew(cfg, halfway, caplog):
    cfg.SOLVER.OPTIMIZER = "AdamW"
    trainer = train(cfg, resume=True)
    assert "The checkpoint was made with SGD, this run has AdamW" in caplog.text
    for state in trainer.optimizer.state.values():
        assert set(state) == {"step", "exp_avg", "exp_avg_sq"}
        assert state["step"] == 2
    assert all(x["lr"] == pytest.approx(0.002) for x in trainer.optimizer.param_groups)


def test_older_checkpoint_resumes_with_the_same_groups_alone(cfg, halfway):
    checkpoint = load_checkpoint(cfg)
    del checkpoint["trainer"]["_trainer"]["optimizer_description"]
    torch.save(checkpoint, f"{cfg.OUTPUT_DIR}/model_final.pth")
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    assert set(momentum(trainer)) == set(momentum(halfway))
    cfg.SOLVER.WEIGHT_DECAY_BIAS = 0.05
    with pytest.raises(InputError, match=r"other groups of parameters, and .* not name them"):
        Trainer(cfg).resume_or_load(resume=True)


def test_checkpoint_of_another_trainer_resumes_without_momentum(cfg, tmp_path, caplog):
    train(cfg)
    checkpoint = load_checkpoint(cfg)
    del checkpoint["trainer"]["_trainer"]
    torch.save(checkpoint, tmp_path / "output" / "model_final.pth")
    cfg.SOLVER.MAX_ITER = 3
    trainer = train(cfg, resume=True)
    assert "no optimizer state" in caplog.text
    assert (trainer.start_iter, trainer.iter) == (2, 3)


def test_weights_alone_start_a_new_run(cfg, tmp_path):
    train(cfg)
    cfg.MODEL.WEIGHTS = str(tmp_path / "output" / "model_final.pth")
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    assert trainer.start_iter == 0
    assert not trainer.optimizer.state_dict()["state"]
    torch.testing.assert_close(dict(trainer.model.state_dict()), load_checkpoint(cfg)["model"])


def spoil_loss(trainer, name, iteration):
    def spoil(model, inputs, losses):
        if get_event_storage().iter == iteration:
            return {**losses, name: losses[name] * math.nan}
        return losses

    trainer.model.register_forward_hook(spoil)


@each_detector
def test_losses_that_are_not_finite_stop_the_run(detector, cfg, tmp_path):
    cfg.merge_from_list(["SOLVER.MAX_ITER", 5, "SOLVER.CHECKPOINT_PERIOD", 2])
    trainer = Trainer(cfg)
    name, *_ = LOSSES[detector]
    spoil_loss(trainer, f"{name}_aug", iteration=3)
    with pytest.raises(FloatingPointError, match=rf"iteration 3: {name}_aug is nan \(") as error:
        trainer.train()
    # The update was not made, and the last checkpoint is there.
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())
    assert load_checkpoint(cfg, "model_0000001.pth")["iteration"] == 1

    path = tmp_path / "output" / "non_finite_0000003_rank0.json"
    assert str(path) in str(error.value)
    described = json.loads(path.read_text())
    assert described["losses"][f"{name}_aug"] == "nan"
    assert math.isfinite(described["losses"][name])
    assert len(described["images"]) == 2
    for image in described["images"]:
        assert image["file_name"].endswith(f"{image['image_id']:012}.jpg")
        assert str(image["image_id"]) in str(error.value)
        assert len(image["boxes"]) == len(image["classes"]) == 2
        assert all(0 <= value <= 64 for box in image["boxes"] for value in box)


def test_training_that_fails_in_its_last_iteration_is_not_evaluated(cfg, tmp_path, caplog):
    cfg.merge_from_list(["SOLVER.MAX_ITER", 2])
    trainer = Trainer(cfg)
    spoil_loss(trainer, "loss_cls", iteration=1)
    with pytest.raises(FloatingPointError):
        trainer.train()
    assert not (tmp_path / "output" / "results.json").exists()
    (record,) = [
        x for x in caplog.records if x.name == "detectron2.engine.train_loop" and x.levelno > 20
    ]
    assert "loss_cls is nan" in record.getMessage()
    assert record.exc_info is None  # no traceback


@pytest.mark.parametrize("use", [Trainer, lambda cfg: Trainer.test(cfg, nn.Identity())])
@pytest.mark.parametrize("architecture", ["CoMiningRetinaNet", "RetinaNet", "CoMiningFCOS", "FCOS"])
def test_wrong_number_of_classes_is_refused(use, architecture, cfg):
    cfg.MODEL.META_ARCHITECTURE = architecture
    cfg.MODEL.RETINANET.NUM_CLASSES = cfg.MODEL.FCOS.NUM_CLASSES = 80
    cfg.merge_from_list(["MODEL.FCOS.IN_FEATURES", ["p3", "p4", "p5"], "MODEL.FCOS.NORM", ""])
    with pytest.raises(InputError, match=r"own .*2 categories but .*: set .*NUM_CLASSES 2"):
        use(cfg)


def test_classes_of_the_test_data_are_checked_before_training(cfg):
    cfg.MODEL.RETINANET.NUM_CLASSES = 2
    cfg.DATASETS.TEST = ["own", "coco_2017_val"]
    with pytest.raises(InputError, match=r"coco_2017_val .*80 categories"):
        Trainer(cfg)


@pytest.mark.parametrize("use", [Trainer, lambda cfg: Trainer.test(cfg, nn.Identity())])
def test_test_data_with_swapped_categories_are_refused(use, cfg, own_data, tmp_path):
    dataset = json.loads((own_data / "annotations.json").read_text())
    dataset["categories"] = [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}]
    (tmp_path / "swapped.json").write_text(json.dumps(dataset))
    register_coco("swapped", tmp_path / "swapped.json", own_data / "images")
    cfg.DATASETS.TEST = ["swapped"]
    with pytest.raises(InputError, match=r"categories of own .* and swapped .* are not the same"):
        use(cfg)


@pytest.mark.parametrize("missing", ["registration", "annotations", "images"])
def test_evaluation_does_not_need_the_training_data(missing, cfg, own_data, tmp_path):
    (tmp_path / "train.json").write_bytes((own_data / "annotations.json").read_bytes())
    if missing != "registration":
        register_coco("train", tmp_path / "train.json", tmp_path / "nowhere")
    if missing == "annotations":
        (tmp_path / "train.json").unlink()
    cfg.DATASETS.TRAIN = ["train"]
    assert "bbox" in Trainer.test(cfg, Trainer.build_model(cfg))


def test_data_set_without_annotations_is_refused(cfg, own_data, tmp_path):
    dataset = json.loads((own_data / "annotations.json").read_text())
    dataset["annotations"] = []
    (tmp_path / "none.json").write_text(json.dumps(dataset))
    cfg.DATASETS.REGISTER = [["none", str(tmp_path / "none.json"), str(own_data / "images")]]
    register_from_config(cfg)
    cfg.DATASETS.TRAIN = ["none"]
    with pytest.raises(InputError, match=r"DATASETS\.TRAIN can't be used: no image of none "):
        Trainer(cfg)
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False  # they are wanted
    train(cfg)
