"""What a training runs on."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Machine(NamedTuple):
    """A device and the number of processes on it.

    Attributes:
        device: as torch names it.
        num_processes: one for each GPU; one on a CPU.
    """

    device: str
    num_processes: int

    @property
    def kind(self) -> str:
        return torch.device(self.device).type

    @property
    def is_gpu(self) -> bool:
        return self.kind == "cuda"

    @property
    def base(self) -> str:
        """The name of the config that a plan starts from."""
        return "Base-CoMining-RetinaNet" if self.is_gpu else "Base-Small"


def this_machine(device: str | None = None) -> Machine:
    """The GPUs of this machine if it has any, else its CPU; or the device that is asked for."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    every_gpu = device == "cuda"
    return Machine(device, torch.cuda.device_count() if every_gpu else 1)
