"""The project's trainer."""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, build_detection_test_loader
from detectron2.data.transforms import RandomFlip
from detectron2.engine import DefaultTrainer, HookBase, TrainerBase, create_ddp_model
from detectron2.engine.hooks import EvalHook
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, EventWriter
from torch import distributed, nn

from comining.data import (
    FrameMapper,
    KnownMapper,
    build_train_loader,
    check_num_classes,
    check_same_categories,
    check_withheld,
)
from comining.data.tolerant import TolerantMapper
from comining.errors import InputError
from comining.evaluation import COCOBoxEvaluator, FoundEvaluator
from comining.modeling import TwoViewDetector
from comining.modeling.build import build_detector, leaves_parameters_out

from .checkpoint import Checkpointer, last_checkpoint
from .evaluate import IncompleteEvaluationError, evaluate
from .model_check import check_same_model, describe_model
from .printer import MinedLabelsPrinter
from .quiet import without_traceback
from .solver import amp_dtype, build_optimizer, solver_errors
from .step import TrainStep

logger = logging.getLogger(__name__)

#: By the end of an architecture's name, the node that has its number of classes.
NODES = {"RetinaNet": "RETINANET", "FCOS": "FCOS", "GeneralizedRCNN": "ROI_HEADS"}


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
        dtype = amp_dtype(cfg)
        model = self.build_model(cfg)
        with solver_errors():
            optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        self.check_categories(cfg, [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
        self.build_found_evaluator(cfg)  # what it can't use is told before the training
        if isinstance(model, TwoViewDetector) and model.method.asks_withheld:
            check_withheld(cfg.DATASETS.TRAIN, type(model.method).__name__)
        self.model_description = describe_model(model, cfg.DATASETS.TRAIN)
        # Without device_ids a model stays on its device, too, but its input is not moved: else each
        # tensor of a batch would be by itself, before the model can move them all in a few copies.
        model = create_ddp_model(
            model,
            broadcast_buffers=False,
            device_ids=None,
            find_unused_parameters=comm.get_world_size() > 1 and leaves_parameters_out(model),
        )
        self._trainer = TrainStep(
            model,
            data_loader,
            optimizer,
            device=torch.device(cfg.MODEL.DEVICE).type,
            amp_dtype=dtype,
            seed=cfg.SEED,
            output_dir=cfg.OUTPUT_DIR,
        )
        with solver_errors():
            self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = Checkpointer(
            model, cfg.OUTPUT_DIR, keep=cfg.SOLVER.CHECKPOINTS_TO_KEEP, trainer=weakref.proxy(self)
        )
        self._incomplete: InputError | None = None
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def state_dict(self) -> dict[str, Any]:
        return {
            **TrainerBase.state_dict(self),
            "_trainer": self._trainer.state_dict(),
            "seed": self.cfg.SEED,
            "model_description": self.model_description,
        }

    def resume_or_load(self, resume: bool = True) -> None:
        """detectron2's.

        Raises:
            InputError: the weights can't be used, or the checkpoint is of another model.
        """
        checkpoint = last_checkpoint(self.cfg.OUTPUT_DIR) if resume else None
        if checkpoint is not None:
            check_same_model(checkpoint, self.checkpointer.model, self.model_description)
        super().resume_or_load(resume=resume)

    def train(self) -> Any:
        with without_traceback():
            results = super().train()
        if self._incomplete is not None:
            raise self._incomplete
        return results

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
        before = state_dict.get("model_description", self.model_description)["architecture"]
        if before != self.model_description["architecture"]:
            logger.warning(
                f"The checkpoint was made with {before}, this run has "
                f"{self.model_description['architecture']}, which goes on with its weights."
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
        model = build_detector(cfg)
        logger.info(f"Model:\n{model}")
        log_size(model)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    def build_hooks(self) -> list[HookBase | None]:
        return [
            EvalHook(self.cfg.TEST.EVAL_PERIOD, self._evaluate) if isinstance(x, EvalHook) else x
            for x in super().build_hooks()
        ]

    def _evaluate(self) -> OrderedDict[str, Any]:
        """A training is not to end because the test data, or some of them, can't be read."""
        self._incomplete = None
        self._last_eval_results = OrderedDict()
        try:
            self._last_eval_results = self.test(self.cfg, self.model)
        except IncompleteEvaluationError as error:
            self._incomplete, self._last_eval_results = error, error.results
        except InputError as error:
            if comm.get_world_size() > 1:
                raise  # the others may be waiting within the evaluation
            self._incomplete = error
        if self._incomplete is not None:
            logger.error(f"Evaluation: {self._incomplete}")
        return self._last_eval_results

    def build_writers(self) -> list[EventWriter]:
        return [
            MinedLabelsPrinter(self.max_iter) if isinstance(writer, CommonMetricPrinter) else writer
            for writer in super().build_writers()
        ]

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict[str, Any]]]:
        mapper = FrameMapper.from_config(cfg, is_train=True)
        if cfg.INPUT.VERTICAL_FLIP:
            mapper["augmentations"].append(RandomFlip(horizontal=False, vertical=True))
        return build_train_loader(cfg, KnownMapper(FrameMapper(**mapper)))

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
        for name, node in NODES.items():
            if cfg.MODEL.META_ARCHITECTURE.endswith(name):
                key = f"MODEL.{node}.NUM_CLASSES"
                check_num_classes(datasets, cfg.MODEL[node].NUM_CLASSES, key)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict[str, Any]]]:
        mapper = TolerantMapper(DatasetMapper(cfg, is_train=False))
        return build_detection_test_loader(cfg, dataset_name, mapper=mapper)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return COCOBoxEvaluator(dataset_name, Path(cfg.OUTPUT_DIR) / "inference" / dataset_name)

    @classmethod
    def build_found_evaluator(cls, cfg: CfgNode) -> dict[str, DatasetEvaluator]:
        """By the name of the first training set, a `FoundEvaluator`, if ``cfg.TEST.FOUND``."""
        return {name: FoundEvaluator(name) for name in cfg.DATASETS.TRAIN[:1] if cfg.TEST.FOUND}

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: list[DatasetEvaluator] | None = None
    ) -> OrderedDict[str, Any]:
        """Evaluate ``model`` on ``cfg.DATASETS.TEST`` and write ``OUTPUT_DIR/results.json``.

        Returns:
            detectron2's results: by task and metric, with one data set; by data set, task and
            metric with several. AP in 0..100; NaN where nothing can be computed, null in the file.
            With ``cfg.TEST.FOUND`` beside these, what `FoundEvaluator` says of the (first) training
            set.

        Raises:
            IncompleteEvaluationError: images can't be read; it has the results of the others.
        """
        cls.check_categories(cfg, cfg.DATASETS.TEST)
        if comm.get_world_size() > 1:
            # Each process has statistics of its own in its normalisation layers. Those of the main
            # one are in the checkpoint.
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)
        given = [evaluators] if isinstance(evaluators, DatasetEvaluator) else evaluators
        by_name = dict(zip(cfg.DATASETS.TEST, given or [], strict=given is not None))
        return evaluate(
            model,
            cfg.DATASETS.TEST,
            lambda name: cls.build_test_loader(cfg, name),
            lambda name: by_name.get(name) or cls.build_evaluator(cfg, name),
            cfg.OUTPUT_DIR,
            cls.build_found_evaluator(cfg),
        )


def log_size(model: nn.Module) -> None:
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    logger.info(f"{type(model).__name__}: {trained / 1e6:.1f} M trained parameters")
