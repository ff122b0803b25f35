"""Trunks of torchvision's classification models."""

import pytest
import torch
import torchvision
from detectron2.layers import FrozenBatchNorm2d
from detectron2.utils.events import EventStorage
from torch import nn

from comining.engine import Checkpointer
from comining.engine.setup import check_weights
from comining.errors import InputError
from comining.modeling import TorchvisionTrunk, torchvision_weights
from comining.modeling.build import build_detector
from tests.modeling.helpers import tiny_config, two_items

LEVELS = ("res2", "res3", "res4", "res5")
TRUNK = ("MODEL.BACKBONE.NAME", "build_torchvision_fpn_backbone", "MODEL.TORCHVISION.NAME")


def up_to_stride_8(model, images):
    """What torchvision's own resnet18 computes first."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    x = model.layer1(x)
    return x, model.layer2(x)


def test_features_are_those_of_the_model():
    torch.manual_seed(0)
    trunk = TorchvisionTrunk("resnet18", LEVELS, norm="BN").eval()
    model = torchvision.models.resnet18().eval()
    model.load_state_dict(trunk.body.state_dict(), strict=False)  # less the classifier
    images = torch.randn(1, 3, 64, 96)
    features = trunk(images)
    assert list(features) == list(LEVELS)
    torch.testing.assert_close((features["res2"], features["res3"]), up_to_stride_8(model, images))
    torch.testing.assert_close(features["res5"], model.layer4(model.layer3(features["res3"])))


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("mobilenet_v2", (24, 32, 96, 1280)),
        ("mobilenet_v3_small", (16, 24, 48, 576)),
        ("regnet_y_400mf", (48, 104, 208, 440)),
        ("convnext_tiny", (96, 192, 384, 768)),
        ("shufflenet_v2_x0_5", (24, 48, 96, 1024)),
    ],
)
def test_levels_are_found_in_any_model(name, channels):
    trunk = TorchvisionTrunk(name, LEVELS)
    features = trunk.train()(torch.randn(2, 3, 64, 96))
    for level, stride, number in zip(LEVELS, (4, 8, 16, 32), channels, strict=True):
        assert features[level].shape == (2, number, 64 // stride, 96 // stride)
        assert trunk.output_shape()[level].channels == number
        assert trunk.output_shape()[level].stride == stride


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("BN", nn.BatchNorm2d), ("FrozenBN", FrozenBatchNorm2d), ("GN", nn.GroupNorm)],
)
def test_norm_and_frozen_stages(norm, kind):
    trunk = TorchvisionTrunk("mobilenet_v2", ["res3", "res4"], norm=norm, freeze_at=2)
    parameters = dict(trunk.named_parameters())
    # Stride 4 ends with the block features.3.
    frozen = {int(x.split(".")[2]) for x, p in parameters.items() if not p.requires_grad}
    trained = {int(x.split(".")[2]) for x, p in parameters.items() if p.requires_grad}
    assert frozen == {0, 1, 2, 3}
    assert min(trained) == 4
    assert isinstance(trunk.body.get_submodule("features.5.conv.3"), kind)
    early = trunk.body.get_submodule("features.2")
    norms = {type(x) for x in early.modules() if hasattr(x, "eps")}
    assert norms == {FrozenBatchNorm2d if norm == "BN" else kind}


@pytest.mark.parametrize("detector", ["RetinaNet", "FCOS"])
def test_detector_trains_and_has_all_levels(detector):
    cfg = tiny_config(*TRUNK, "mobilenet_v2", detector=detector)
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_torchvision_fpn_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 3
    cfg.MODEL[detector.upper()].IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [32], [64], [128], [256]]
    cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    model = build_detector(cfg)
    with EventStorage():
        sum(model(two_items()).values()).backward()
    trained = {x: p.grad is not None for x, p in model.named_parameters() if p.requires_grad}
    assert all(trained.values())
    assert not any(x.startswith("backbone.bottom_up.body.features.6.") for x in trained)
    assert any(x.startswith("backbone.bottom_up.body.features.7.") for x in trained)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["MODEL.TORCHVISION.NAME", "resnet8"], "no classification model .* did you mean resnet18"),
        (["MODEL.TORCHVISION.NAME", "vit_b_16"], "no feature pyramid can be made: it takes images"),
        (["MODEL.TORCHVISION.NAME", "swin_t"], "can be made: it has no features of stride 8"),
        (["MODEL.TORCHVISION.NORM", "LN"], r"NORM is 'LN'; it must be one of FrozenBN, BN, GN"),
        (["MODEL.BACKBONE.FREEZE_AT", 6], r"FREEZE_AT is 6; it must be in 0\.\.5"),
        (["MODEL.FPN.IN_FEATURES", []], "IN_FEATURES is empty; it must have some of res2, res3"),
        (["MODEL.FPN.IN_FEATURES", ["res1"]], "IN_FEATURES has res1; of torchvision's models"),
    ],
)
def test_settings_that_make_no_trunk(settings, message):
    with pytest.raises(InputError, match=message):
        build_detector(tiny_config(*TRUNK, "mobilenet_v2", *settings))


def test_weights_of_a_classification_model_become_the_trunks(tmp_path):
    path = tmp_path / "resnet18.pth"
    weights = torchvision.models.resnet18().state_dict()
    torch.save(weights, path)
    model = build_detector(tiny_config(*TRUNK, "resnet18"))
    Checkpointer(model).load(str(path))
    convolution = model.backbone.bottom_up.body.get_submodule("layer4.1.conv2")
    assert torch.equal(convolution.weight, weights["layer4.1.conv2.weight"])
    with pytest.raises(InputError, match="does not hold the weights of this CoMiningRetinaNet"):
        Checkpointer(model, whole=True).load(str(path))


@pytest.mark.parametrize(("name", "other"), [("resnet18", "resnet50"), ("resnet34", "resnet18")])
def test_weights_of_another_classification_model(name, other, tmp_path):
    """Of which some fit."""
    path = tmp_path / "other.pth"
    torch.save(torchvision.models.get_model(other).state_dict(), path)
    model = build_detector(tiny_config(*TRUNK, name))
    before = model.backbone.bottom_up.body.get_submodule("conv1").weight.detach().clone()
    with pytest.raises(InputError, match=r"other\.pth is of another .* such as backbone.bottom_up"):
        Checkpointer(model).load(str(path))
    assert torch.equal(model.backbone.bottom_up.body.get_submodule("conv1").weight, before)


def test_a_detector_of_another_trunk(tmp_path):
    """Its head and pyramid would fit."""
    path = str(tmp_path / "detector.pth")
    model = build_detector(tiny_config(*TRUNK, "resnet34"))
    torch.save({"model": model.state_dict()}, path)
    Checkpointer(model).load(path)
    shallow = build_detector(tiny_config(*TRUNK, "resnet18"))
    torch.save({"model": shallow.state_dict()}, path)
    # resnet34 has 36 convolutions in front of its classifier, 20 of which resnet18 has, too.
    message = r"detector\.pth is of a detector with another trunk: 16 of the trunk's 36 parameters"
    with pytest.raises(InputError, match=message):
        Checkpointer(model).load(path)


@pytest.mark.parametrize("norm", ["BN", "GN"])
def test_weights_of_a_whole_model_fit_a_part_of_it(norm, tmp_path):
    path, weights = tmp_path / "resnet18.pth", torchvision.models.resnet18().state_dict()
    torch.save(weights, path)
    part = ("MODEL.FPN.IN_FEATURES", ["res3", "res4"], "MODEL.RETINANET.IN_FEATURES", ["p3", "p4"])
    sizes = ("MODEL.ANCHOR_GENERATOR.SIZES", [[16], [32]], "MODEL.TORCHVISION.NORM", norm)
    model = build_detector(tiny_config(*TRUNK, "resnet18", *part, *sizes))
    Checkpointer(model).load(str(path))
    convolution = model.backbone.bottom_up.body.get_submodule("layer3.1.conv2")
    assert torch.equal(convolution.weight, weights["layer3.1.conv2.weight"])


def test_address_of_weights(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        torchvision.models.ResNet18_Weights, "get_state_dict", lambda self, **k: asked.append(k)
    )
    handler = torchvision_weights.TorchvisionWeights()
    for name in ("torchvision://resnet18", "torchvision://resnet18/IMAGENET1K_V1"):
        path = handler._get_local_path(name)
        assert path == str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    assert all(x["check_hash"] and x["weights_only"] for x in asked)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision://resnet8", "torchvision has no classification model 'resnet8'"),
        ("torchvision://resnet18/V9", "V9: of resnet18 there are IMAGENET1K_V1"),
    ],
)
def test_addresses_of_no_weights(name, message):
    with pytest.raises(InputError, match=message):
        check_weights(name, "my.yaml")
