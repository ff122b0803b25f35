"""Backbones made of torchvision's classification models."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
import torchvision
from detectron2.config import CfgNode
from detectron2.layers import FrozenBatchNorm2d, ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from comining.errors import InputError

#: By the names that detectron2 gives them.
STRIDES = {"res2": 4, "res3": 8, "res4": 16, "res5": 32}
#: Edge of the image that a network's levels are looked for with.
PROBE_SIZE = 256
NORMS = ("FrozenBN", "BN", "GN")


class _Level(NamedTuple):
    """Where a network has features of a stride.

    Attributes:
        node: name of what makes them, as torchvision's feature extraction knows it.
        channels: their number.
        before: names of the nodes that run until then, itself included.
    """

    node: str
    channels: int
    before: frozenset[str]


class TorchvisionTrunk(Backbone):
    """A classification model of torchvision, up to its features of four strides.

    The features of a stride are the last ones before the module in which the next stride begins.
    Parameters are named ``body.*``, with torchvision's names behind.
    """

    def __init__(
        self, name: str, out_features: Sequence[str], *, norm: str = "FrozenBN", freeze_at: int = 0
    ) -> None:
        """
        Args:
            name: of the model, as ``torchvision.models.get_model`` takes it. Its weights are
                random.
            out_features: of "res2", "res3", "res4" and "res5", of strides 4 to 32.
            norm: what becomes of batch normalisation. "BN" keeps it; "FrozenBN" has fixed
                statistics, which must come from trained weights; "GN", group normalisation of up
                to 32 groups, doesn't depend on the batch. Other norms stay as they are.
            freeze_at: what comes up to and with stride 2 (1), 4 (2), 8 (3), 16 (4) or 32 (5) is not
                trained; 0 trains all.

        Raises:
            InputError: there is no such model, level or norm, or the model has no such levels.
        """
        super().__init__()
        if norm not in NORMS:
            raise InputError(
                f"MODEL.TORCHVISION.NORM is {norm!r}; it must be one of {', '.join(NORMS)}"
            )
        model = _build_model(name)
        levels = _find_levels(model, name)
        if not out_features:
            raise InputError(
                f"MODEL.FPN.IN_FEATURES is empty; it must have some of {', '.join(STRIDES)}"
            )
        for feature in out_features:
            if feature not in STRIDES:
                raise InputError(
                    f"MODEL.FPN.IN_FEATURES has {feature}; of torchvision's models it takes "
                    f"{', '.join(STRIDES)}"
                )
        _set_norm(model, norm)
        _freeze(model, levels, freeze_at)
        self.body = create_feature_extractor(
            model,
            return_nodes={levels[STRIDES[x]].node: x for x in out_features},
            tracer_kwargs={"leaf_modules": [FrozenBatchNorm2d]},
            suppress_diff_warning=True,
        )
        self._out_features = list(out_features)
        self._out_feature_strides = {x: STRIDES[x] for x in out_features}
        self._out_feature_channels = {x: levels[STRIDES[x]].channels for x in out_features}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features of images (N, 3, H, W), whose H and W are multiples of the largest stride."""
        if images.device.type == "cpu":  # which is faster at convolutions of each channel alone
            images = images.contiguous(memory_format=torch.channels_last)
        features: dict[str, Tensor] = self.body(images)
        return features

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {
            x: ShapeSpec(
                channels=self._out_feature_channels[x], stride=self._out_feature_strides[x]
            )
            for x in self._out_features
        }

    @property
    def size_divisibility(self) -> int:
        return max(self._out_feature_strides.values())


@BACKBONE_REGISTRY.register()
def build_torchvision_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """detectron2's FPN on the model ``MODEL.TORCHVISION.NAME``: p2 to p5, by
    ``MODEL.FPN.IN_FEATURES``, and p6, a maximum of p5.

    Raises:
        InputError: as `TorchvisionTrunk`.
    """
    return _build_fpn(cfg, with_p7=False)


@BACKBONE_REGISTRY.register()
def build_retinanet_torchvision_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """As `build_torchvision_fpn_backbone`, but with RetinaNet's p6 and p7, convolutions of res5.

    Raises:
        InputError: as `TorchvisionTrunk`.
    """
    return _build_fpn(cfg, with_p7=True)


def _build_fpn(cfg: CfgNode, *, with_p7: bool) -> FPN:
    features = cfg.MODEL.FPN.IN_FEATURES
    trunk = TorchvisionTrunk(
        cfg.MODEL.TORCHVISION.NAME,
        features,
        norm=cfg.MODEL.TORCHVISION.NORM,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    top_block: nn.Module = LastLevelMaxPool()
    if with_p7:
        if "res5" not in features:
            raise InputError("MODEL.FPN.IN_FEATURES lacks res5, which p6 and p7 are made of")
        top_block = LastLevelP6P7(trunk.output_shape()["res5"].channels, channels)
    return FPN(
        bottom_up=trunk,
        in_features=features,
        out_channels=channels,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block if features[-1] == "res5" else None,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


def _build_model(name: str) -> nn.Module:
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise InputError(
            f"MODEL.TORCHVISION.NAME is {name!r}, which is no classification model of torchvision"
            + (f"; did you mean {near[0]}?" if near else "")
        )
    # Beside its scores, this one would return others while it trains.
    extra = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
    model: nn.Module = torchvision.models.get_model(name, weights=None, **extra)
    return model


def _find_levels(model: nn.Module, name: str) -> Mapping[int, _Level]:
    """The levels of a model by their strides, that of stride 2 if it has one.

    Raises:
        InputError: it has none of some other stride.
    """
    shapes = _shapes(model, name)
    strides = {x: PROBE_SIZE // shape[2] for x, shape in shapes.items() if _is_map(shape)}
    order = list(shapes)
    levels = {}
    for stride in (2, *STRIDES.values()):
        end = next((i for i, x in enumerate(order) if strides.get(x) == 2 * stride), len(order))
        end = _begin_of_module(order, strides, end, stride)
        places = [i for i, x in enumerate(order[:end]) if strides.get(x) == stride]
        if places:
            node = order[places[-1]]
            levels[stride] = _Level(node, shapes[node][1], frozenset(order[: places[-1] + 1]))
        elif stride > 2:
            raise _unsuitable(name, f"it has no features of stride {stride}")
    return levels


def _shapes(model: nn.Module, name: str) -> dict[str, torch.Size]:
    """The shape of what each node of a model makes of an image, in the order of computation."""
    probed = copy.deepcopy(model).to("meta").eval()
    try:
        train, evaluation = get_graph_node_names(probed, suppress_diff_warning=True)
        in_both = [x for x in evaluation if x in set(train)]
        extractor = create_feature_extractor(probed, in_both, suppress_diff_warning=True)
        made = extractor(torch.zeros(1, 3, PROBE_SIZE, PROBE_SIZE, device="meta"))
    # Whatever a model's code says to an image of a size that it wasn't made for.
    except Exception as error:
        raise _unsuitable(name, f"it takes images of one size only ({error})") from error
    return {x: value.shape for x, value in made.items() if isinstance(value, Tensor)}


def _is_map(shape: torch.Size) -> bool:
    return len(shape) == 4 and shape[2] == shape[3] and PROBE_SIZE % shape[2] == 0


def _begin_of_module(
    order: Sequence[str], strides: Mapping[str, int], place: int, stride: int
) -> int:
    """Where the outermost module starts that begins with a stride and has the next one at a place;
    without such a module, that place."""
    parts = order[place].split(".") if place < len(order) else []
    for depth in range(1, len(parts)):
        prefix = ".".join([*parts[:depth], ""])
        start = next(i for i, x in enumerate(order) if x in strides and x.startswith(prefix))
        if strides[order[start]] == stride and stride in map(strides.get, order[:start]):
            return start
    return place


def _unsuitable(name: str, why: str) -> InputError:
    return InputError(
        f"MODEL.TORCHVISION.NAME is {name!r}, of which no feature pyramid can be made: {why}. "
        "ResNet, RegNet, MobileNet, EfficientNet, ConvNeXt and others do"
    )


def _freeze(model: nn.Module, levels: Mapping[int, _Level], freeze_at: int) -> None:
    if not 0 <= freeze_at <= 5:
        raise InputError(f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}; it must be in 0..5")
    nodes = {node for level in levels.values() for node in level.before}
    frozen = {node for x, level in levels.items() if x <= 2**freeze_at for node in level.before}
    for name, parameter in model.named_parameters():
        if _nodes_of(name, nodes) <= frozen:
            parameter.requires_grad = False
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d) and _nodes_of(name, nodes) <= frozen:
            _replace(model, name, FrozenBatchNorm2d.convert_frozen_batchnorm(module))


def _nodes_of(name: str, nodes: Collection[str]) -> set[str]:
    """The nodes that a parameter or module belongs to: those of the smallest module around it."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        around = ".".join(parts[:depth])
        found = {x for x in nodes if x == around or x.startswith(f"{around}.")}
        if found:
            return found
    return {name}  # runs after all levels


def _set_norm(model: nn.Module, norm: str) -> None:
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d) and norm == "FrozenBN":
            _replace(model, name, FrozenBatchNorm2d.convert_frozen_batchnorm(module))
        elif isinstance(module, nn.BatchNorm2d) and norm == "GN":
            channels = module.num_features
            _replace(model, name, nn.GroupNorm(math.gcd(32, channels), channels))


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
