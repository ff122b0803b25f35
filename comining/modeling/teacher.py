"""A teacher: the slowly following copy of a detector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, distributed, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from comining.errors import InputError

#: What the teacher's names in a checkpoint begin and end with. With another end than the student's,
#: detectron2 does not take the teacher for what ImageNet weights of like names are meant for.
PREFIX, SUFFIX = "teacher.", ".averaged"


class Teacher(nn.Module):
    """The exponential moving average of a dense detector's backbone and head (Tarvainen and
    Valpola, Mean teachers, NeurIPS 2017).

    It is in evaluation mode at all times. What it has of its own are buffers: nothing that trains,
    counts, synchronises or checks parameters sees them, while checkpoints hold them. (torch's
    ``AveragedModel``, of which this is the arithmetic, keeps parameters and waits for the device in
    every update.)
    """

    backbone: nn.Module
    head: nn.Module

    def __init__(
        self, student: DenseDetector, momentum: float = 0.999, average_buffers: bool = True
    ) -> None:
        """
        Args:
            student: whose backbone and head are copied.
            momentum: of the average, in [0, 1).
            average_buffers: whether buffers, such as the statistics of batch normalisation, are
                averaged as well; else they are the student's at present.

        Raises:
            InputError: the momentum is outside its range.
        """
        super().__init__()
        _check_momentum(momentum)
        self.momentum = momentum
        self.average_buffers = average_buffers
        #: Whether there has been an update, here or in the training whose checkpoint was loaded.
        self.has_begun = False
        of_student = {"backbone": student.backbone, "head": student.head}
        for name, module in deepcopy(nn.ModuleDict(of_student)).items():
            self.add_module(name, module)
        _make_buffers_of_parameters(self)
        nn.Module.register_state_dict_post_hook(self, _rename_saved)
        nn.Module.register_load_state_dict_pre_hook(self, _rename_loaded)
        self.eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def update(self, student: DenseDetector, iteration: int) -> None:
        """Move towards the student, before it takes the step of an iteration.

        The weight of what was before is min(momentum, 1 - 1 / (iteration + 1)): until that reaches
        the momentum, the teacher is the plain mean of the student so far. In iteration 0, or
        without a teacher so far, it becomes a copy. Of several processes, all follow the
        statistics of the main one, which are those that a checkpoint holds.

        Args:
            student: the detector that the teacher was made of.
            iteration: from 0 on.
        """
        momentum = min(self.momentum, 1 - 1 / (iteration + 1)) if self.has_begun else 0.0
        self.has_begun = True
        own = dict(self.named_buffers(remove_duplicate=False))
        students = nn.ModuleDict({"backbone": student.backbone, "head": student.head})
        parameters = dict(students.named_parameters(remove_duplicate=False))
        buffers = dict(students.named_buffers(remove_duplicate=False))
        if comm.get_world_size() > 1:
            buffers = _of_main_process(buffers)
        averaged: dict[int, tuple[Tensor, Tensor]] = {}
        copied: dict[int, tuple[Tensor, Tensor]] = {}
        for name, value in {**parameters, **buffers}.items():
            is_averaged = name in parameters or self._is_averaged(value)
            pairs = averaged if is_averaged and momentum > 0 else copied
            pairs[id(own[name])] = own[name], value  # a module may be in two places
        for average, value in copied.values():
            average.copy_(value)
        if averaged:
            averages, values = map(list, zip(*averaged.values(), strict=True))
            get_ema_multi_avg_fn(momentum)(averages, values, 0)

    def _is_averaged(self, buffer: Tensor) -> bool:
        return self.average_buffers and buffer.is_floating_point()


def leave_out_teacher(weights: dict[str, Tensor]) -> None:
    """Take a teacher out of weights by name, in place: another model has no use for it."""
    for name in [x for x in weights if x.startswith(PREFIX) and x.endswith(SUFFIX)]:
        del weights[name]


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum < 1:
        raise InputError(
            f"MODEL.COMINING.TEACHER.MOMENTUM is {momentum}; it must be at least 0 and below 1"
        )


def _rename_saved(teacher: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in [x for x in state if x.startswith(prefix)]:
        state[name + SUFFIX] = state.pop(name)


def _rename_loaded(teacher: Teacher, state: dict[str, Any], prefix: str, *_: Any) -> None:
    names = [x for x in state if x.startswith(prefix)]
    for name in names:
        state[name.removesuffix(SUFFIX)] = state.pop(name)
    teacher.has_begun = bool(names)


def _make_buffers_of_parameters(module: nn.Module) -> None:
    for submodule in module.modules():
        for name, parameter in list(submodule.named_parameters(recurse=False)):
            delattr(submodule, name)
            submodule.register_buffer(name, parameter.detach().clone())


def _of_main_process(buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """The main process's values of floating-point buffers, sent in one piece."""
    floating = {name: x for name, x in buffers.items() if x.is_floating_point()}
    if not floating:
        return buffers
    flat = torch.cat([x.flatten() for x in floating.values()])
    distributed.broadcast(flat, src=0)
    parts = flat.split([x.numel() for x in floating.values()])
    received = zip(floating.items(), parts, strict=True)
    return {**buffers, **{name: part.view(x.shape) for (name, x), part in received}}


def settings_of(cfg: CfgNode) -> CfgNode:
    """``MODEL.COMINING``.

    Raises:
        InputError: it is not there.
    """
    if "COMINING" not in cfg.MODEL:
        raise InputError(
            "the config lacks MODEL.COMINING: call comining.add_comining_config(cfg) before "
            "merging files into it"
        )
    return cfg.MODEL.COMINING


class Taught(DenseDetector):
    """A dense detector that may keep a `Teacher`: updated once in an iteration, ahead of its first
    forward pass, and evaluated in its place on demand.

    Passes without gradients, such as detectron2's PreciseBN's, and further batches of an iteration,
    over which gradients are accumulated, leave it as it is.
    """

    def __init__(
        self,
        *,
        has_teacher: bool,
        teacher_momentum: float = 0.999,
        teacher_average_buffers: bool = True,
        evaluate_teacher: bool = False,
        **detector: Any,
    ) -> None:
        """
        Args:
            has_teacher: whether to keep one. Without, the detector costs what it costs.
            teacher_momentum, teacher_average_buffers: as of `Teacher`.
            evaluate_teacher: whether the teacher is evaluated in place of the detector.
            detector: arguments of the detector.

        Raises:
            InputError: a value is not legal.
        """
        super().__init__(**detector)
        _check_momentum(teacher_momentum)  # a wrong one is told even where no method asks for it
        if evaluate_teacher and not has_teacher:
            raise InputError(
                "MODEL.COMINING.TEACHER.EVALUATE is True, but the method of MODEL.COMINING.METHOD "
                "has no teacher: set it to False"
            )
        self.evaluate_teacher = evaluate_teacher
        self.teacher: Teacher | None = None
        if has_teacher:
            self.teacher = Teacher(self, teacher_momentum, teacher_average_buffers)
        self._taught_in = -1  # the iteration of the last update

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        settings = settings_of(cfg).TEACHER
        return {
            **super().from_config(cfg),
            "teacher_momentum": settings.MOMENTUM,
            "teacher_average_buffers": settings.AVERAGE_BUFFERS,
            "evaluate_teacher": settings.EVALUATE,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """detectron2's ``DenseDetector.forward``."""
        if not self.training:
            with evaluated_weights(self):
                return super().forward(batched_inputs)
        if self.teacher is not None and torch.is_grad_enabled():
            iteration = get_event_storage().iter
            if iteration != self._taught_in:
                self.teacher.update(self, iteration)
                self._taught_in = iteration
        return super().forward(batched_inputs)


@contextmanager
def evaluated_weights(model: nn.Module) -> Iterator[None]:
    """Within, a detector whose teacher is to be evaluated has the teacher's backbone and head.

    Args:
        model: any; others stay as they are.
    """
    if not (isinstance(model, Taught) and model.evaluate_teacher):
        yield
        return
    assert model.teacher is not None
    own = model.backbone, model.head
    model.backbone, model.head = model.teacher.backbone, model.teacher.head
    try:
        yield
    finally:
        model.backbone, model.head = own
