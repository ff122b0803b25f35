"""Timing that a noisy machine does not bend."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median

import torch


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def interleaved(
    steps: dict[str, Callable[[], None]], repeats: int, device: str
) -> dict[str, float]:
    """Median seconds of each of ``steps``, taking turns so that a noisy machine hits all alike."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for step in steps.values():
        step()
    for _ in range(repeats):
        for name, step in steps.items():
            synchronize(device)
            start = time.perf_counter()
            step()
            synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}
