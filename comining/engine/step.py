"""One step of training."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.engine import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from comining.data import TrainLoader
from comining.modeling.precision import keep_losses_in_single_precision

from .device import peak_memory
from .divergence import describe_divergence
from .optimizer_state import describe_optimizer, load_optimizer

logger = logging.getLogger(__name__)


class TrainStep(TrainerBase):
    """Forward, backward, update, in full or mixed precision, on a GPU or the CPU.

    It stands in for detectron2's ``SimpleTrainer`` and ``AMPTrainer``, of which the second needs
    CUDA, and whose state release 0.6 does not save.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[list[dict[str, Any]]],
        optimizer: torch.optim.Optimizer,
        *,
        device: str,
        amp_dtype: torch.dtype | None = None,
        seed: int = -1,
        output_dir: str | Path = ".",
    ) -> None:
        """
        Args:
            model: maps a batch to a dict of losses.
            data_loader: endless batches; a `TrainLoader` begins with that of the first iteration.
            optimizer: of the model's parameters.
            device: type of the model's device, such as "cuda" or "cpu".
            amp_dtype: ``torch.float16`` or ``torch.bfloat16`` for mixed precision.
            seed: what a model draws follows from it, the iteration and the rank; not if below 0.
            output_dir: gets a description of a batch whose loss is not finite.
        """
        super().__init__()
        model.train()
        if amp_dtype is not None:
            keep_losses_in_single_precision(_unwrapped(model))
        self.model = model
        self.data_loader = data_loader
        self.optimizer = optimizer
        self.device = device
        self.autocast = torch.autocast(device, amp_dtype, enabled=amp_dtype is not None)
        self.grad_scaler = torch.amp.GradScaler(device, enabled=amp_dtype == torch.float16)
        self.skipped_steps = 0
        self.seed = seed
        self.output_dir = Path(output_dir)
        self._batches: Iterator[list[dict[str, Any]]] | None = None

    def run_step(self) -> None:
        """Train on the next batch.

        Raises:
            FloatingPointError: in all processes, if a loss of any is not finite.
        """
        if self._batches is None:
            if isinstance(self.data_loader, TrainLoader):
                self._batches = self.data_loader.starting_at(self.iter)
            else:
                self._batches = iter(self.data_loader)
        start = time.perf_counter()
        batch = next(self._batches)
        data_time = time.perf_counter() - start

        if self.seed >= 0:
            counters = np.random.SeedSequence([self.seed, self.iter, comm.get_rank()])
            torch.manual_seed(int(counters.generate_state(1)[0]))
        with self.autocast:
            losses = self.model(batch)
        self.optimizer.zero_grad()
        self.grad_scaler.scale(sum(losses.values())).backward()
        self._log(losses, batch, data_time)
        # A fused optimizer would be given scaled gradients, and clip those.
        self.grad_scaler.unscale_(self.optimizer)
        self.grad_scaler.step(self.optimizer)
        self._update_scale()

    def _log(
        self, losses: dict[str, Tensor], batch: list[dict[str, Any]], data_time: float
    ) -> None:
        """Average the losses over processes into the event storage; stop if they are not finite."""
        values = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
        problem = ""
        if not np.isfinite(values).all():
            path = self.output_dir / f"non_finite_{self.iter:07d}_rank{comm.get_rank()}.json"
            problem = describe_divergence(
                path, self.iter, dict(zip(losses, values, strict=True)), batch
            )
        gathered = comm.all_gather((values, data_time, problem))
        problems = [problem for _, _, problem in gathered if problem]
        if problems:
            raise FloatingPointError("\n".join(problems))
        if comm.is_main_process():
            means = np.mean([values for values, _, _ in gathered], axis=0).tolist()
            storage = get_event_storage()
            # The slowest process is what the others waited for.
            storage.put_scalar("data_time", max(seconds for _, seconds, _ in gathered))
            storage.put_scalar("peak_mib", peak_memory(self.device), smoothing_hint=False)
            storage.put_scalars(total_loss=sum(means), **dict(zip(losses, means, strict=True)))

    def _update_scale(self) -> None:
        if not self.grad_scaler.is_enabled():
            return
        before = self.grad_scaler.get_scale()
        self.grad_scaler.update()
        scale = self.grad_scaler.get_scale()
        if scale < before:
            self.skipped_steps += 1
            logger.info(
                f"Gradients overflowed in iteration {self.iter}: the step was skipped "
                f"({self.skipped_steps} so far), the loss is now scaled by {scale:g}."
            )
        if comm.is_main_process():
            get_event_storage().put_scalars(
                **{"amp/scale": scale, "amp/skipped_steps": self.skipped_steps},
                smoothing_hint=False,
            )

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["skipped_steps"] = self.skipped_steps
        state["optimizer"] = self.optimizer.state_dict()
        state["optimizer_description"] = describe_optimizer(self.optimizer, _unwrapped(self.model))
        state["grad_scaler"] = self.grad_scaler.state_dict()
        # A running mean that detectron2's detectors keep beside their buffers, here that of the
        # main process.
        state["loss_normalizer"] = getattr(_unwrapped(self.model), "loss_normalizer", None)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.skipped_steps = state_dict.get("skipped_steps", 0)
        load_optimizer(
            self.optimizer,
            _unwrapped(self.model),
            state_dict["optimizer"],
            state_dict.get("optimizer_description"),
        )
        if state_dict.get("grad_scaler"):
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
        if state_dict.get("loss_normalizer") is not None:
            _unwrapped(self.model).loss_normalizer = state_dict["loss_normalizer"]


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if isinstance(model, DistributedDataParallel) else model
