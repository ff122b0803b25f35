"""Losses in single precision of detectors whose network runs in half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from torch import Tensor, nn


def in_single_precision(predictions: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """A dense head's predictions, those in half precision as single precision.

    fvcore's and detectron2's losses are not made for half precision: sums over all anchors lose
    digits, and GIoU fails as soon as two boxes overlap.

    Args:
        predictions: of each kind and level (N, C, H, W).
    """
    return [
        [x.to(torch.promote_types(x.dtype, torch.float32)) for x in kind] for kind in predictions
    ]


def keep_losses_in_single_precision(model: nn.Module) -> None:
    """Let the losses of one of detectron2's dense detectors be computed `in_single_precision`.

    Args:
        model: any but a dense detector is left alone.
    """
    if isinstance(model, DenseDetector):
        model.head.register_forward_hook(_hand_on)


def _hand_on(head: nn.Module, features: Any, predictions: Any) -> list[list[Tensor]]:
    return in_single_precision(predictions)
