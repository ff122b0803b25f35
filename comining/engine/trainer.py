"""The project's trainer."""

from __future__ import annotations

import json
import logging
import math
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data.transforms import RandomFlip
from detectron2.engine import DefaultTrainer, TrainerBase, create_ddp_model
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.solver import build_optimizer
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, EventWriter
from torch import distributed, nn

from comining.data import (
    WithheldMapper,
    build_train_loader,
    check_num_classes,
    check_same_categories,
)
from comining.errors import InputError
from comining.evaluation import COCOBoxEvaluator
from comining.output_file import write_atomically

from .checkpoint import Checkpointer
from .printer import MinedLabelsPrinter
from .step import TrainStep

AMP_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """detectron2's ``DefaultTrainer``, on GPUs or the CPU, for any of its detectors.

    Besides, checkpoints hold the optimizer's state on every detectron2, AdamW can be chosen,
    mixed precision works on the CPU, the console line shows the mined labels per image, and COCO
    metrics are written to ``results.json``.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """
        Args:
            cfg: with the keys of `comining.add_comining_config`.

        Raises:
            InputError: a setting is not legal.
        """
        # DefaultTrainer's own constructor can't wrap a model on the CPU for several processes and
        # picks its step itself; the rest of the class is used as it is.
        TrainerBase.__init__(self)
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        amp_dtype = _amp_dtype(cfg)
        model = self.build_model(cfg)
        with _solver_errors():
            optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        self.check_categories(cfg, [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
        # Without device_ids a model stays on its device, too, but its input is not moved: else each
        # tensor of a batch would be by itself, before the model can move them all in a few copies.
        model = create_ddp_model(model, broadcast_buffers=False, device_ids=None)
        self._trainer = TrainStep(
            model,
            data_loader,
            optimizer,
            device=torch.device(cfg.MODEL.DEVICE).type,
            amp_dtype=amp_dtype,
            seed=cfg.SEED,
            output_dir=cfg.OUTPUT_DIR,
        )
        with _solver_errors():
            self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = Checkpointer(
            model, cfg.OUTPUT_DIR, keep=cfg.SOLVER.CHECKPOINTS_TO_KEEP, trainer=weakref.proxy(self)
        )
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def state_dict(self) -> dict[str, Any]:
        return {
            **TrainerBase.state_dict(self),
            "_trainer": self._trainer.state_dict(),
            "seed": self.cfg.SEED,
        }

    def train(self) -> Any:
        with _without_traceback():
            return super().train()

    def run_step(self) -> None:
        try:
            super().run_step()
        except BaseException:
            # detectron2 would evaluate a training that fails in its last iteration as if it had
            # come to its end, in those processes that have failed.
            self.max_iter += 1
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        settings = [dict(group) for group in self.optimizer.param_groups]
        TrainerBase.load_state_dict(self, state_dict)
        seed = state_dict.get("seed")
        if seed not in (None, self.cfg.SEED):
            logger.warning(
                f"The checkpoint was made with SEED {seed}, this run has {self.cfg.SEED}: the data "
                "will come in another order than if it had not been interrupted."
            )
        if "_trainer" in state_dict:
            self._trainer.load_state_dict(state_dict["_trainer"])
            self._apply(settings)
        else:
            logger.warning("The checkpoint has no optimizer state; momentum starts from zero.")

    def _apply(self, settings: list[dict[str, Any]]) -> None:
        """Let the optimizer go on with this run's settings, which may differ from the former's."""
        self.scheduler.base_lrs = [group["initial_lr"] for group in settings]
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            # The schedule has come to a share of the initial learning rate, which stays.
            if group["initial_lr"] not in (0, own["initial_lr"]):
                group["lr"] *= own["initial_lr"] / group["initial_lr"]
            group.update({key: own[key] for key in own if key not in ("params", "lr")})

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        if cfg.MODEL.META_ARCHITECTURE not in META_ARCH_REGISTRY:
            raise InputError(
                f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE!r}, which is not "
                "registered; CoMiningRetinaNet, CoMiningFCOS, RetinaNet and FCOS are"
            )
        model = super().build_model(cfg)
        log_size(model)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        if cfg.SOLVER.OPTIMIZER == "SGD":
            return build_optimizer(cfg, model)
        if cfg.SOLVER.OPTIMIZER == "AdamW":
            parameters = get_default_optimizer_params(
                model,
                base_lr=cfg.SOLVER.BASE_LR,
                weight_decay=cfg.SOLVER.WEIGHT_DECAY,
                weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
                bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
                weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
            )
            return maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(
                parameters, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY
            )
        raise InputError(
            f"SOLVER.OPTIMIZER is {cfg.SOLVER.OPTIMIZER!r}; it must be 'SGD' or 'AdamW'"
        )

    def build_writers(self) -> list[EventWriter]:
        return [
            MinedLabelsPrinter(self.max_iter) if isinstance(writer, CommonMetricPrinter) else writer
            for writer in super().build_writers()
        ]

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict[str, Any]]]:
        mapper = DatasetMapper.from_config(cfg, is_train=True)
        if cfg.INPUT.VERTICAL_FLIP:
            mapper["augmentations"].append(RandomFlip(horizontal=False, vertical=True))
        return build_train_loader(cfg, WithheldMapper(DatasetMapper(**mapper)))

    @classmethod
    def check_categories(cls, cfg: CfgNode, datasets: Iterable[str]) -> None:
        """Check that data sets have as many categories as the model has classes, and the same as
        the training set, so far as that is known.

        Raises:
            InputError: they have not.
        """
        datasets = list(datasets)
        cls.check_num_classes(cfg, datasets)
        if comm.is_main_process():  # annotation files may be large, and an error here ends them all
            check_same_categories([*cfg.DATASETS.TRAIN, *datasets])

    @classmethod
    def check_num_classes(cls, cfg: CfgNode, datasets: Iterable[str]) -> None:
        """Check that the model has as many classes as the data sets.

        Raises:
            InputError: it does not.
        """
        # Other detectors keep their number of classes elsewhere.
        for name in ("RetinaNet", "FCOS"):
            if cfg.MODEL.META_ARCHITECTURE.endswith(name):
                key = f"MODEL.{name.upper()}.NUM_CLASSES"
                check_num_classes(datasets, cfg.MODEL[name.upper()].NUM_CLASSES, key)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return COCOBoxEvaluator(dataset_name, Path(cfg.OUTPUT_DIR) / "inference" / dataset_name)

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: list[DatasetEvaluator] | None = None
    ) -> OrderedDict[str, Any]:
        """Evaluate ``model`` on ``cfg.DATASETS.TEST`` and write ``OUTPUT_DIR/results.json``.

        Returns:
            detectron2's results: by task and metric, with one data set; by data set, task and
            metric with several. AP in 0..100; NaN where nothing can be computed, null in the file.
        """
        cls.check_categories(cfg, cfg.DATASETS.TEST)
        if comm.get_world_size() > 1:
            # Each process has statistics of its own in its normalisation layers. Those of the main
            # one are in the checkpoint.
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)
        results = super().test(cfg, model, evaluators)
        if comm.is_main_process():
            path = Path(cfg.OUTPUT_DIR) / "results.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = json.dumps(_nan_to_none(results), indent=1) + "\n"
            write_atomically(path, lambda file: file.write(content.encode()))
        return results


@contextmanager
def _solver_errors() -> Iterator[None]:
    """What detectron2 and fvcore refuse in ``SOLVER``, as an error in what the user supplied."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, AssertionError) as error:
        raise InputError(f"the settings of SOLVER can't be used: {error}") from error


@contextmanager
def _without_traceback() -> Iterator[None]:
    """What a user can mend, detectron2 logs by its message alone."""
    log = logging.getLogger(TrainerBase.__module__)

    def shorten(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (InputError, FloatingPointError)):
            record.msg, record.args, record.exc_info = f"{record.msg} {error}", None, None
        return True

    log.addFilter(shorten)
    try:
        yield
    finally:
        log.removeFilter(shorten)


def log_size(model: nn.Module) -> None:
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    logger.info(f"{type(model).__name__}: {trained / 1e6:.1f} M trained parameters")


def _nan_to_none(results: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(results, dict):
        return {key: _nan_to_none(value) for key, value in results.items()}
    return None if math.isnan(results) else float(results)


def _amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    name = cfg.SOLVER.AMP.DTYPE
    if name not in AMP_DTYPES:
        raise InputError(f"SOLVER.AMP.DTYPE is {name!r}; it must be one of {', '.join(AMP_DTYPES)}")
    if name == "float16" and torch.device(cfg.MODEL.DEVICE).type == "cpu":
        raise InputError("SOLVER.AMP.DTYPE float16 needs a GPU; use bfloat16 on the CPU")
    return AMP_DTYPES[name]
