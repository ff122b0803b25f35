"""Where a model runs."""

from __future__ import annotations

import torch


def usable_device(wanted: str) -> str:
    """A value of ``MODEL.DEVICE``, or "cpu" if that names a GPU and the machine has none."""
    is_missing = torch.device(wanted).type == "cuda" and not torch.cuda.is_available()
    return "cpu" if is_missing else wanted
