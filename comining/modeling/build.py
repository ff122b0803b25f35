"""Detectors from a config, by the commands."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from torch import nn

from comining.errors import InputError

from .retinanet import RetinaNet


def build_detector(cfg: CfgNode) -> nn.Module:
    """detectron2's ``build_model``, where `RetinaNet` is the project's, too.

    Raises:
        InputError: the settings of ``MODEL`` don't make a detector.
    """
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in META_ARCH_REGISTRY:
        raise InputError(
            f"MODEL.META_ARCHITECTURE is {name!r}, which is not registered; CoMiningRetinaNet, "
            "CoMiningFCOS, RetinaNet and FCOS are"
        )
    try:
        if name == "RetinaNet":
            return RetinaNet(cfg).to(torch.device(cfg.MODEL.DEVICE))
        return build_model(cfg)
    except InputError:
        raise
    # How detectron2 and torch refuse settings.
    except (AssertionError, KeyError, ValueError) as error:
        text = error.args[0] if error.args else type(error).__name__
        raise InputError(f"the settings of MODEL can't be used: {text}") from error


def has_unused_levels(model: nn.Module) -> bool:
    """Whether a dense detector's backbone makes levels that its head does not work on.

    No loss reaches what makes them, and processes that train together must not wait for it.
    """
    backbone, used = getattr(model, "backbone", None), getattr(model, "head_in_features", None)
    if used is None or backbone is None or not hasattr(backbone, "output_shape"):
        return False
    return not set(backbone.output_shape()).issubset(used)
