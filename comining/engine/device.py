"""Where a model runs."""

from __future__ import annotations

import resource
import sys

import torch

from comining.errors import InputError


def usable_device(wanted: str) -> str:
    """A value of ``MODEL.DEVICE``, or "cpu" if that names a GPU and the machine has none."""
    is_missing = torch.device(wanted).type == "cuda" and not torch.cuda.is_available()
    return "cpu" if is_missing else wanted


def check_device(asked: str | None) -> None:
    """Check that a device is there, if ``--device`` names one.

    Raises:
        InputError: it is a GPU, and the machine has none.
    """
    if asked and asked.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {asked}: torch finds no GPU here; leave it out for the CPU")


def peak_memory(device: str) -> float:
    """The most memory that this process has had, in MiB: of its tensors on a GPU; else all of it.

    Args:
        device: type of a device, such as "cuda".
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
