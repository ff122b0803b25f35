"""Runs that a Lazy config describes, detectron2's Python configs."""

from __future__ import annotations

import argparse
import logging
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from detectron2.config import CfgNode, LazyCall, LazyConfig, instantiate
from detectron2.engine import default_setup
from detectron2.evaluation import DatasetEvaluator
from detectron2.solver import LRMultiplier
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils.file_io import PathManager
from fvcore.common.param_scheduler import ParamScheduler
from omegaconf import DictConfig, OmegaConf, SCMode
from omegaconf.errors import OmegaConfBaseException
from torch import nn, optim

from comining.data import check_num_classes
from comining.data.tolerant import TolerantMapper
from comining.errors import InputError

from .setup import check_named, complete, load_config
from .trainer import Trainer, log_size

NODES = ("model", "dataloader", "optimizer", "lr_multiplier", "train")

#: What a run needs to know beside its parts: where a Lazy config says it, and a YAML config.
SETTINGS = {
    "train.output_dir": "OUTPUT_DIR",
    "train.init_checkpoint": "MODEL.WEIGHTS",
    "train.device": "MODEL.DEVICE",
    "train.seed": "SEED",
    "train.max_iter": "SOLVER.MAX_ITER",
    "train.amp.enabled": "SOLVER.AMP.ENABLED",
    "train.amp.dtype": "SOLVER.AMP.DTYPE",
    "train.clip_gradients.enabled": "SOLVER.CLIP_GRADIENTS.ENABLED",
    "train.clip_gradients.clip_type": "SOLVER.CLIP_GRADIENTS.CLIP_TYPE",
    "train.clip_gradients.clip_value": "SOLVER.CLIP_GRADIENTS.CLIP_VALUE",
    "train.clip_gradients.norm_type": "SOLVER.CLIP_GRADIENTS.NORM_TYPE",
    "train.checkpointer.period": "SOLVER.CHECKPOINT_PERIOD",
    "train.checkpointer.max_to_keep": "SOLVER.CHECKPOINTS_TO_KEEP",
    "train.eval_period": "TEST.EVAL_PERIOD",
    "dataloader.register": "DATASETS.REGISTER",
    "dataloader.train.dataset.names": "DATASETS.TRAIN",
    "dataloader.test.dataset.names": "DATASETS.TEST",
}

#: What detectron2's `default_setup` takes from the config by itself.
OF_DETECTRON2 = ("train.cudnn_benchmark", "train.float32_precision")

#: Where a Lazy config says what messages name by a YAML config's key, beside `SETTINGS`. Of a key
#: with a prefix of the second table, the rest is the same, in small letters.
KEYS = {
    "MODEL.COMINING.METHOD": "model.method",
    "MODEL.COMINING.TEACHER.EVALUATE": "model.evaluate_teacher",
    "INPUT.FORMAT": "model.view.input_format",
    "MODEL.PROPOSAL_GENERATOR.NAME": "model.proposal_generator",
    "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": "model.box_reg_loss_type",
    "MODEL.ROI_HEADS.NAME": "model.roi_heads",
    "SOLVER.BASE_LR": "optimizer.lr",
    "SOLVER.CLIP_GRADIENTS": "train.clip_gradients",
    "SOLVER.IMS_PER_BATCH": "dataloader.train.total_batch_size",
    "SOLVER.WARMUP_ITERS": "lr_multiplier.warmup_length",
    **{key: lazy_key for lazy_key, key in SETTINGS.items()},
}
PREFIXES = {
    "MODEL.COMINING.VIEW.": "model.view.",
    "MODEL.COMINING.TEACHER.": "model.teacher_",
    "MODEL.COMINING.": "model.method.",
    "MODEL.ROI_BOX_HEAD.": "model.roi_heads.box_predictor.",
    "MODEL.RPN.": "model.proposal_generator.",
    "MODEL.": "model.",
    "DATALOADER.": "dataloader.train.",
}

logger = logging.getLogger(__name__)


def load_lazy_config(config_file: str, overrides: Iterable[str] = ()) -> DictConfig:
    """Run a Lazy config, which is a Python program, and apply overrides.

    Args:
        config_file: path of a Python file. Its code is executed.
        overrides: ``key=value`` of keys that are there, or ``+key=value``, by Hydra's grammar.

    Raises:
        InputError: the file is missing, fails or lacks a node; a key is unknown.
    """
    if not PathManager.isfile(config_file):
        raise InputError(f"config file {config_file} does not exist")
    try:
        config = LazyConfig.load(config_file)
    except Exception as error:  # it is code, which may fail in any way
        raise InputError(f"config file {config_file} {_failure(error)}") from error
    missing = [name for name in NODES if name not in config]
    if missing:
        raise InputError(
            f"config file {config_file} lacks {', '.join(missing)}: it must define "
            f"{', '.join(NODES)}, as those in configs/lazy do"
        )
    for override in overrides:
        # Hydra's grammar marks keys that are to be added.
        OmegaConf.set_struct(config, not override.startswith("+"))
        try:
            LazyConfig.apply_overrides(config, [override])
        except Exception as error:  # of Hydra's parser, or of OmegaConf
            raise InputError(
                f"command line: {override!r}: {_first_line(error)}. {config_file} takes "
                "key=value of the keys that it has and +key=value of new ones"
            ) from error
    OmegaConf.set_struct(config, False)
    return config


def _failure(error: Exception) -> str:
    """What an error in a config says, and the line of a config that it comes from."""
    if isinstance(error, SyntaxError):
        return (
            f"is no Python: {error} {error.__cause__ or ''}"  # of which detectron2 names the file
        )
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{x.filename}, line {x.lineno}" for x in frames if x.name == "<module>"]
    where = f" in {lines[-1]}" if lines else ""  # else detectron2 could not even read it
    return f"fails{where}: {type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def setup_lazy(args: argparse.Namespace) -> tuple[CfgNode, type[LazyTrainer]]:
    """Load, complete, check and log the Lazy config of a run.

    Args:
        args: of detectron2's ``default_argument_parser``.

    Returns:
        What `comining.engine.setup` returns, of which nothing but `SETTINGS` matters, and a
        trainer with the other parts.

    Raises:
        InputError: a file is missing, a key unknown, a value illegal.
    """
    config = load_lazy_config(args.config_file, args.opts)
    cfg = common_settings(config, args.config_file)
    _check_channels(config)
    if args.eval_only:
        check_named(cfg, "TEST", args.config_file)
    complete(cfg, args)
    for key in _leaves(config.train, "train"):
        if key not in SETTINGS and key not in OF_DETECTRON2:
            logger.warning(f"{args.config_file}: {key} has no effect")
    config.train.seed, config.train.device = cfg.SEED, cfg.MODEL.DEVICE
    default_setup(config, args)
    return cfg, trainer_of(config)


def _check_channels(config: DictConfig) -> None:
    """A YAML config has one key for both."""
    keys = "dataloader.train.mapper.mapper.image_format", "model.view.input_format"
    images, view = (OmegaConf.select(config, key) for key in keys)
    if None not in (images, view) and images != view:
        raise InputError(f"{keys[0]} is {images}, but {keys[1]} is {view}: they must be the same")


def common_settings(config: DictConfig, config_file: str) -> CfgNode:
    """The `SETTINGS` of a Lazy config, and detectron2's defaults for those it does not have."""
    cfg = load_config("")
    for lazy_key, key in SETTINGS.items():
        try:
            value = OmegaConf.select(config, lazy_key)
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
            if lazy_key.endswith("names") and isinstance(value, str):
                value = [value]
            if value is not None:
                # yacs would take the text 2024 for a number.
                cfg.merge_from_list([key, repr(value) if isinstance(value, str) else value])
        except (ValueError, AssertionError, OmegaConfBaseException) as error:
            raise InputError(
                f"{lazy_key} in {config_file} or on the command line: {_first_line(error)}"
            ) from error
    return cfg


def _leaves(node: DictConfig, prefix: str) -> Iterator[str]:
    for name, value in node.items():
        if isinstance(value, DictConfig):
            yield from _leaves(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}"


class LazyTrainer(Trainer):
    """A `Trainer` whose parts are made from a Lazy config, the attribute ``lazy``."""

    lazy: DictConfig

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        model = _build("model", cls.lazy.model).to(cfg.MODEL.DEVICE)
        logger.info(f"Model:\n{model}")
        log_size(model)
        return model

    @classmethod
    def check_num_classes(cls, cfg: CfgNode, datasets: Iterable[str]) -> None:
        for key in ("model.num_classes", "model.roi_heads.num_classes"):
            num_classes = OmegaConf.select(cls.lazy, key)
            if num_classes is not None:  # other detectors keep it elsewhere
                check_num_classes(datasets, num_classes, key)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> optim.Optimizer:
        optimizer = _build("optimizer", cls.lazy.optimizer, params={"model": model})
        return maybe_add_gradient_clipping(cfg, optimizer)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: optim.Optimizer) -> LRMultiplier:
        multiplier: ParamScheduler = _build("lr_multiplier", cls.lazy.lr_multiplier)
        return LRMultiplier(optimizer, multiplier, cfg.SOLVER.MAX_ITER)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict[str, Any]]]:
        return _build("dataloader.train", cls.lazy.dataloader.train)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict[str, Any]]]:
        cls.lazy.dataloader.test.dataset.names = dataset_name
        loader = cls.lazy.dataloader.test.copy()
        if "mapper" in loader:
            loader.mapper = LazyCall(TolerantMapper)(mapper=loader.mapper)
        return _build("dataloader.test", loader)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        evaluator = cls.lazy.dataloader.get("evaluator")
        if evaluator is None:
            return super().build_evaluator(cfg, dataset_name)
        cls.lazy.dataloader.test.dataset.names = dataset_name  # of several, one at a time
        return _build("dataloader.evaluator", evaluator)


def trainer_of(config: DictConfig) -> type[LazyTrainer]:
    """The trainer of a Lazy config's parts."""

    class TrainerOfConfig(LazyTrainer):
        lazy = config

    return TrainerOfConfig


def _build(name: str, node: DictConfig, params: dict[str, Any] | None = None) -> Any:
    """Instantiate a node, its field ``params`` with some more arguments.

    Raises:
        InputError: it has an argument too many or lacks one.
    """
    # Plain containers: OmegaConf's, in an optimizer's state, would make checkpoints unsafe to load.
    plain = OmegaConf.to_container(node, resolve=True, structured_config_mode=SCMode.INSTANTIATE)
    if params:
        plain["params"].update(params)
    try:
        return instantiate(plain)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise InputError(f"{name} can't be made: {error}") from error


@contextmanager
def lazy_keys() -> Iterator[None]:
    """Errors name a Lazy config's keys instead of a YAML config's."""
    try:
        yield
    except (InputError, FloatingPointError) as error:
        text = re.sub(r"(?<![\w./-])[A-Z]+(?:\.[A-Z0-9_]+)+\b", _lazy_key, str(error))
        raise type(error)(text) from error


def _lazy_key(match: re.Match[str]) -> str:
    key = match[0]
    if key in KEYS:
        return KEYS[key]
    # A YAML config has a node for each method, a Lazy one names one method.
    key = re.sub(r"^(MODEL\.COMINING\.)(?!VIEW\.|TEACHER\.)\w+\.", r"\1", key)
    for prefix, lazy_prefix in PREFIXES.items():
        if key.startswith(prefix):
            return lazy_prefix + key.removeprefix(prefix).lower()
    return key
