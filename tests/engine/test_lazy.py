"""Lazy configs: the same trainings as by YAML, the same checks, with messages of their own keys."""

import json
import runpy
import sys

import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.engine import default_argument_parser
from torch import nn

from comining.data import register_coco
from comining.engine import Trainer, lazy_keys, load_lazy_config, setup, setup_lazy
from comining.engine.divergence import describe_divergence
from comining.engine.lazy import common_settings
from comining.errors import InputError
from tests.conftest import CONFIGS, DEMOS
from tests.modeling.helpers import each_detector

SCRIPT = CONFIGS.parent / "train_net.py"


def arguments(config, *words):
    return default_argument_parser().parse_args(["--config-file", str(config), *words])


@pytest.fixture
def config(detector):
    return CONFIGS / "lazy" / f"{DEMOS[detector]}.py"


@pytest.fixture
def overrides(own_data, tmp_path, detector):
    """What `own_overrides` say, to a Lazy config."""
    entry = f"[own,{own_data / 'annotations.json'},{own_data / 'images'}]"
    return [
        "model.num_classes=2",
        "model.backbone.out_channels=16",
        "model.head.conv_dims=[16]",
        f"dataloader.register=[{entry}]",
        "dataloader.train.dataset.names=own",
        "dataloader.test.dataset.names=own",
        "dataloader.train.mapper.mapper.augmentations.0.short_edge_length=[64]",
        "dataloader.test.mapper.augmentations.0.short_edge_length=64",
        "dataloader.train.total_batch_size=2",
        "dataloader.train.num_workers=0",
        "dataloader.test.num_workers=0",
        "lr_multiplier.warmup_length=1.0",
        "train.max_iter=2",
        "train.device=cpu",
        f"train.output_dir={tmp_path / 'lazy'}",
    ]


def train(cfg, trainer_class, resume=False):
    trainer = trainer_class(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


@each_detector
def test_training_is_that_of_the_yaml_config(config, overrides, own_overrides, tmp_path, detector):
    yaml = CONFIGS / f"{DEMOS[detector]}.yaml"
    # So that there are detections, and their results numbers.
    everything = f"MODEL.{detector.upper()}.SCORE_THRESH_TEST", "0.0"
    trainers = [
        train(setup(arguments(yaml, *own_overrides, *everything)), Trainer),
        train(*setup_lazy(arguments(config, *overrides, "model.test_score_thresh=0.0"))),
    ]
    expected, ours = (torch.load(tmp_path / x / "model_final.pth") for x in ("output", "lazy"))
    torch.testing.assert_close(ours["model"], expected["model"], rtol=0, atol=0)
    # Weights that do not decay come in groups of their own, whatever their order.
    settings = [
        {
            parameter: (group["lr"], group["weight_decay"], group["betas"])
            for group in trainer.optimizer.param_groups
            for parameter in group["params"]
        }
        for trainer in trainers
    ]
    assert list(settings[0].values()) == list(settings[1].values())
    results = [(tmp_path / x / "results.json").read_text() for x in ("output", "lazy")]
    assert results[0] == results[1]
    metrics = json.loads(results[0])["bbox"]
    assert all(metrics[name] >= 0 for name in ("AP", "AP-cat", "AP-dog"))
    losses = [
        json.loads((tmp_path / x / "metrics.json").read_text().splitlines()[0])["total_loss"]
        for x in ("output", "lazy")
    ]
    assert losses[0] == losses[1]


def test_checkpoint_with_lists_in_the_optimizer_is_resumed(config, overrides, tmp_path):
    """A list of OmegaConf in it would not be read by torch's safe loader."""
    more = [*overrides, "+optimizer.betas=[0.5,0.75]"]
    train(*setup_lazy(arguments(config, *more)))
    trainer = train(
        *setup_lazy(arguments(config, "--resume", *more, "train.max_iter=3")), resume=True
    )
    assert trainer.start_iter == 2
    assert {tuple(group["betas"]) for group in trainer.optimizer.param_groups} == {(0.5, 0.75)}


def test_saved_config_has_what_was_chosen(config, overrides, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = [*overrides, "train.device=cuda", "train.seed=-1"]
    cfg, trainer = setup_lazy(arguments(config, *words))
    assert cfg.MODEL.DEVICE == "cpu"
    assert cfg.SEED >= 0
    assert trainer.build_model(cfg).seed == trainer.lazy.dataloader.train.seed == cfg.SEED
    text = (tmp_path / "lazy" / "config.yaml").read_text()
    assert f"seed: {cfg.SEED}" in text
    assert "device: cpu" in text


def test_texts_stay_texts_and_interpolations_are_resolved(config, own_data):
    words = [
        "train.output_dir='2024'",
        f"+dataloader.root={own_data}",
        "dataloader.register=[[own,'${dataloader.root}/annotations.json','${dataloader.root}/images']]",
        "dataloader.train.dataset.names=own",
    ]
    cfg = common_settings(load_lazy_config(str(config), words), str(config))
    assert cfg.OUTPUT_DIR == "2024"
    own = ["own", str(own_data / "annotations.json"), str(own_data / "images")]
    assert list(map(list, cfg.DATASETS.REGISTER)) == [own]
    assert list(cfg.DATASETS.TRAIN) == ["own"]


def test_several_data_sets_are_evaluated(config, overrides, own_data):
    register_coco("more", own_data / "annotations.json", own_data / "images")
    words = [*overrides, "dataloader.test.dataset.names=[own,more]", "model.test_score_thresh=0.0"]
    cfg, trainer = setup_lazy(arguments(config, "--eval-only", *words))
    results = trainer.test(cfg, trainer.build_model(cfg))
    assert list(results) == ["own", "more"]
    assert results["own"]["bbox"] == pytest.approx(results["more"]["bbox"], nan_ok=True)


def test_evaluator_is_that_of_the_config_if_it_has_one(config, overrides, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    words = [*overrides, f"dataloader.evaluator.output_dir={elsewhere}"]
    cfg, trainer = setup_lazy(arguments(config, *words))
    DatasetCatalog.get("own")
    assert trainer.build_evaluator(cfg, "own").output_dir == elsewhere
    default = tmp_path / "lazy" / "inference" / "own"
    trainer.lazy.dataloader.evaluator = None
    assert trainer.build_evaluator(cfg, "own").output_dir == default
    del trainer.lazy.dataloader.evaluator
    assert trainer.build_evaluator(cfg, "own").output_dir == default


def test_loader_of_a_config_s_own(tmp_path, config, overrides):
    """Nothing needs to be as in configs/lazy: here the loader names no data set."""
    own = tmp_path / "own.py"
    own.write_text(
        "from detectron2.config import LazyCall, LazyConfig\n"
        "dataloader, lr_multiplier, model, optimizer, train = LazyConfig.load(\n"
        f"    {str(config)!r}, ('dataloader', 'lr_multiplier', 'model', 'optimizer', 'train'))\n"
        "def batches():\n"
        "    while True:\n"
        "        yield [{'a': 'batch'}]\n"
        "dataloader.train = LazyCall(batches)()\n"
    )
    words = [x for x in overrides if not x.startswith("dataloader.train")]
    cfg, trainer = setup_lazy(arguments(own, *words))
    assert next(iter(trainer(cfg).data_loader)) == [{"a": "batch"}]


def test_relative_imports_and_code(tmp_path):
    (tmp_path / "base.py").write_text("train = dict(max_iter=6 * 7)\nmodel = dict(a=1)\n")
    (tmp_path / "leaf.py").write_text(
        "from .base import model, train\n"
        "train.seed = train.max_iter\n"
        "dataloader = optimizer = lr_multiplier = dict()\n"
    )
    loaded = load_lazy_config(str(tmp_path / "leaf.py"), ["+train.eval_period=3"])
    assert loaded.train == {"max_iter": 42, "seed": 42, "eval_period": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train = dict(", r"my\.py is no Python: .*my\.py has syntax error.*line 1"),
        ("\ntrain = wrong", r"fails in .*my\.py, line 2: NameError: name 'wrong' is not defined"),
        ("from .gone import train", r"fails in .*my\.py, line 1: ImportError: .*gone"),
        ("train = dict()  # für", r"my\.py .*'utf-8' codec can't decode"),
        ("train = dict()\nmodel = dict()", r"my\.py lacks dataloader, optimizer, lr_multiplier:"),
    ],
)
def test_bad_file(content, message, tmp_path):
    (tmp_path / "my.py").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=message) as error:
        load_lazy_config(str(tmp_path / "my.py"))
    assert "\n" not in str(error.value)


def test_setting_without_effect_is_told(config, overrides, tmp_path):
    setup_lazy(arguments(config, *overrides, "+train.ddp.fp16_compression=True"))
    log = (tmp_path / "lazy" / "log.txt").read_text()
    assert log.count("has no effect") == 1
    assert "train.ddp.fp16_compression has no effect" in log


def test_divergence_is_told_in_the_config_s_terms(tmp_path):
    path = tmp_path / "SEED.X" / "non_finite.json"
    with pytest.raises(FloatingPointError) as error, lazy_keys():
        raise FloatingPointError(describe_divergence(path, 3, {"loss_cls": float("nan")}, []))
    for part in ("train.init_checkpoint", "optimizer.lr", "lr_multiplier.warmup_length",
                 "train.clip_gradients", "train.amp.dtype bfloat16", str(path)):  # fmt: skip
        assert part in str(error.value)
    assert "SOLVER" not in str(error.value)


def test_other_errors_pass(config):
    with pytest.raises(ZeroDivisionError), lazy_keys():
        nn.Linear(1, 1 // 0)


def test_type_errors_of_other_code_pass(config, overrides):
    cfg, trainer = setup_lazy(arguments(config, *overrides))
    trainer.lazy.optimizer = {"_target_": f"{__name__}.wrong_code", "params": {}}
    with pytest.raises(TypeError, match="can only concatenate"):
        trainer.build_optimizer(cfg, nn.Linear(1, 1))


def wrong_code(params):
    return "1" + 1


@pytest.fixture
def error_of(config, overrides, monkeypatch, capsys):
    """Runs train_net.py in this process; returns its error message."""

    def error(*more, options=(), config=config):
        argv = [str(SCRIPT), "--config-file", str(config), *options, *overrides, *more]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        assert end.value.code == 2
        return capsys.readouterr().err

    return error


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.max_itr=5", "'train.max_itr=5': Key 'max_itr' is not in struct"),
        ("train.max_iter", "'train.max_iter': Error parsing override"),
        ("SOLVER.MAX_ITER", "key=value of the keys that it has"),
        ("train.max_iter=many", "for config key: train.max_iter"),
        ("dataloader.test.dataset.names=trees",
         "'trees': register it with dataloader.register"),
        ("dataloader.register=[[own,annotations.json]]", "dataloader.register has the entry"),
        (
            "dataloader.register=[[own,/gone/a.json,/gone]]",
            "own: put its annotation file at /gone/a.json",
        ),
        ("train.init_checkpoint=gone.pth",
         "gone.pth does not exist: set train.init_checkpoint in"),
        ("model.method=null model.method={_target_:comining.modeling.Published,score_thresh:1.5}",
         "model.method.score_thresh is 1.5; it must be between 0 and 1"),
        ("+model.method.score_thresh=0.5", "model can't be made: "),
        ("model.method.precision=2", "model.method.precision is 2"),
        ("model.view.hue=0.7", "model.view.hue is 0.7"),
        ("+model.evaluate_teacher=True",
         "model.evaluate_teacher is True, but the method of model.method has no teacher"),
        ("+model.scor_thresh=0.5", "model can't be made: "),
        ("model.num_classes=80", "has 2 categories but model.num_classes is 80"),
        ("train.amp.enabled=True train.amp.dtype=float16", "train.amp.dtype float16 needs a GPU"),
        ("dataloader.train.total_batch_size=0", "dataloader.train.total_batch_size is 0"),
    ],
)  # fmt: skip
def test_setting_that_does_not_work(override, message, error_of):
    assert message in error_of(*override.split())


def test_second_view_has_the_channels_of_the_images(error_of, config, overrides):
    key = "dataloader.train.mapper.mapper.image_format"
    assert f"{key} is RGB, but model.view.input_format is BGR" in error_of(f"{key}=RGB")
    words = [*overrides, f"{key}=RGB", "model.view.input_format=RGB"]
    cfg, trainer = setup_lazy(arguments(config, *words))
    assert not trainer.build_model(cfg).view.is_bgr


def test_number_of_classes_is_checked_without_training(error_of):
    assert "has 2 categories" in error_of("model.num_classes=3", options=["--eval-only"])


def test_evaluation_needs_a_data_set(error_of):
    message = error_of("dataloader.test.dataset.names=[]", options=["--eval-only"])
    assert "dataloader.test.dataset.names names no data set" in message


def test_missing_file(error_of):
    message = "error: gone.py is neither a file nor the name of a config\n"
    assert error_of(config="gone.py").endswith(message)
