"""One step of training."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from detectron2.engine import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn


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
    ) -> None:
        """
        Args:
            model: maps a batch to a dict of losses.
            data_loader: endless batches.
            optimizer: of the model's parameters.
            device: type of the model's device, such as "cuda" or "cpu".
            amp_dtype: ``torch.float16`` or ``torch.bfloat16`` for mixed precision.
        """
        super().__init__()
        model.train()
        self.model = model
        self.data_loader = data_loader
        self.optimizer = optimizer
        self.autocast = torch.autocast(device, amp_dtype, enabled=amp_dtype is not None)
        self.grad_scaler = torch.amp.GradScaler(device, enabled=amp_dtype == torch.float16)
        self._batches: Iterator[list[dict[str, Any]]] | None = None

    def run_step(self) -> None:
        if self._batches is None:
            self._batches = iter(self.data_loader)
        start = time.perf_counter()
        batch = next(self._batches)
        data_time = time.perf_counter() - start

        with self.autocast:
            losses = self.model(batch)
        self.optimizer.zero_grad()
        self.grad_scaler.scale(sum(losses.values())).backward()
        self._log(losses, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _log(self, losses: dict[str, Tensor], data_time: float) -> None:
        """Average the losses over processes into the event storage; stop if they are not finite."""
        values = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
        gathered = comm.gather([*values, data_time])
        if not comm.is_main_process():
            return
        storage = get_event_storage()
        *means, _ = np.mean(gathered, axis=0)
        total = float(sum(means))
        named = dict(zip(losses, map(float, means), strict=True))
        if not np.isfinite(total):
            raise FloatingPointError(
                f"losses are not finite at iteration {storage.iter}: {named}. Pretrained "
                "MODEL.WEIGHTS, a lower SOLVER.BASE_LR or SOLVER.CLIP_GRADIENTS may help."
            )
        # The slowest process is what the others waited for.
        storage.put_scalar("data_time", max(row[-1] for row in gathered))
        storage.put_scalars(total_loss=total, **named)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["optimizer"] = self.optimizer.state_dict()
        state["grad_scaler"] = self.grad_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])
        if state_dict.get("grad_scaler"):
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])
