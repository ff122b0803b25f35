"""Losses in single precision of detectors whose network runs in half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from torch import Tensor, nn


def in_single_precision(predictions: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """A dense head's predictions, those in half precision as single precision.

    fvcore's and detectron2's losses are not made for half precision: sums over all anchors lose
    digits, and GIoU fails as soon as two boxes overlap.

    Args:
        predictions: of each kind and level (N, C, H, W).
    """
    return [[_single(x) for x in kind] for kind in predictions]


def _single(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def keep_losses_in_single_precision(model: nn.Module) -> None:
    """Let the losses of one of detectron2's detectors be computed `in_single_precision`.

    Of a two-stage detector the regions, too: detectron2 gives their corners the type of the
    features, and in half precision they would be some pixels off.

    Args:
        model: any but a dense detector or ``GeneralizedRCNN`` is left alone.
    """
    if isinstance(model, DenseDetector):
        model.head.register_forward_hook(_hand_on)
    if isinstance(model, GeneralizedRCNN):
        for part in model.modules():
            if isinstance(part, RPN):
                part.rpn_head.register_forward_hook(_hand_on)
            if isinstance(part, FastRCNNOutputLayers):
                part.register_forward_hook(_hand_on_both)
            if isinstance(part, ROIPooler):
                part.register_forward_pre_hook(_pool)


def _hand_on(head: nn.Module, features: Any, predictions: Any) -> list[list[Tensor]]:
    return in_single_precision(predictions)


def _hand_on_both(
    predictor: nn.Module, features: Any, predictions: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    scores, deltas = predictions
    return _single(scores), _single(deltas)


def _pool(pooler: nn.Module, arguments: tuple[list[Tensor], Any]) -> tuple[list[Tensor], Any]:
    features, boxes = arguments
    return [_single(x) for x in features], boxes
