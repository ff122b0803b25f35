"""Detectors from a config, by the commands."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, GeneralizedRCNN, build_model
from torch import nn

from comining.errors import InputError

from .retinanet import RetinaNet
from .teacher import Taught, settings_of

#: Height and width of an image of which every level has at least one place.
PROBE_SIZE = 128


def build_detector(cfg: CfgNode) -> nn.Module:
    """detectron2's ``build_model``, where `RetinaNet` is the project's, too.

    Raises:
        InputError: the settings of ``MODEL`` don't make a detector.
    """
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in META_ARCH_REGISTRY:
        raise InputError(
            f"MODEL.META_ARCHITECTURE is {name!r}, which is not registered; CoMiningRetinaNet, "
            "CoMiningFCOS, CoMiningGeneralizedRCNN, RetinaNet, FCOS, GeneralizedRCNN, "
            "AveragedRetinaNet and AveragedFCOS are"
        )
    try:
        if name == "RetinaNet":
            model = RetinaNet(cfg).to(torch.device(cfg.MODEL.DEVICE))
        else:
            model = build_model(cfg)
    except InputError:
        raise
    # How detectron2 and torch refuse settings.
    except (AssertionError, KeyError, ValueError) as error:
        text = error.args[0] if error.args else type(error).__name__
        for node in ("RPN", "ROI_HEADS"):
            if isinstance(error, KeyError) and text in cfg.MODEL[node].IN_FEATURES:
                text = f"MODEL.{node}.IN_FEATURES has {text}, which the backbone does not make"
        raise InputError(f"the settings of MODEL can't be used: {text}") from error
    if settings_of(cfg).TEACHER.EVALUATE and not isinstance(model, Taught):
        raise InputError(
            f"MODEL.COMINING.TEACHER.EVALUATE is True, but {name} has no teacher: set it to False"
        )
    return model


def leaves_parameters_out(model: nn.Module) -> bool:
    """Whether a detector's backbone has parameters for levels that its heads do not use.

    No loss reaches them, and processes that train together must not wait for their gradients.
    """
    backbone, used = getattr(model, "backbone", None), _levels(model)
    if not used or not isinstance(backbone, Backbone):
        return False
    if set(backbone.output_shape()).issubset(used):
        return False
    size = max(PROBE_SIZE, backbone.size_divisibility)
    mean = model.get_buffer("pixel_mean")
    was_training = backbone.training
    features = backbone.eval()(mean.new_zeros(1, len(mean), size, size))
    backbone.train(was_training)
    trained = [x for x in backbone.parameters() if x.requires_grad]
    reached = torch.autograd.grad(
        sum(features[name].sum() for name in used), trained, allow_unused=True
    )
    return any(gradient is None for gradient in reached)


def _levels(model: nn.Module) -> set[str]:
    """The backbone's outputs that a detector's heads use; none where that is not known."""
    if isinstance(model, GeneralizedRCNN):
        parts = (model.proposal_generator, model.roi_heads)
        return {name for part in parts for name in getattr(part, "in_features", ())}
    return set(getattr(model, "head_in_features", ()))
