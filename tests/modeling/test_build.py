"""Detectors from a config, and what detectron2 would answer with errors of its own."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from comining.errors import InputError
from comining.modeling.build import build_detector, leaves_parameters_out
from tests.modeling.helpers import RCNN, plain, tiny_config, tiny_rcnn, two_items


@pytest.mark.parametrize("architecture", ["CoMiningRetinaNet", "RetinaNet", "CoMiningFCOS", "FCOS"])
def test_group_norm_in_the_head(architecture):
    name = "FCOS" if architecture.endswith("FCOS") else "RetinaNet"
    overrides = (*plain(architecture), f"MODEL.{name.upper()}.NORM", "GN")
    model = build_detector(tiny_config(*overrides))
    convolutions, norms = model.head.cls_subnet[::3], model.head.cls_subnet[1::3]
    assert [x.num_channels for x in norms] == [x.out_channels for x in convolutions]
    assert {x.num_groups for x in norms} == {32}
    with EventStorage():
        losses = model(two_items())
    sum(losses.values()).backward()
    assert norms[0].weight.grad.abs().sum() > 0


def test_names_of_parameters_are_those_of_other_norms():
    """A norm lies between convolution and ReLU, whichever it is."""
    with_layers = build_detector(tiny_config("MODEL.RETINANET.NORM", "FrozenBN")).head
    with_groups = build_detector(tiny_config("MODEL.RETINANET.NORM", "GN")).head
    names = {name for name, _ in with_groups.named_parameters()}
    assert names <= set(with_layers.state_dict())
    assert "cls_subnet.1.weight" in names


@pytest.mark.parametrize("norm", ["", "BN", "FrozenBN"])
def test_plain_retinanet_is_detectron2s(norm):
    cfg = tiny_config(*plain("RetinaNet"), "MODEL.RETINANET.NORM", norm)
    torch.manual_seed(3)
    stock = build_model(cfg)
    torch.manual_seed(3)
    ours = build_detector(cfg)
    assert isinstance(ours, type(stock))
    torch.testing.assert_close(ours.state_dict(), stock.state_dict(), rtol=0, atol=0)
    assert str(ours) == str(stock)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["MODEL.RETINANET.NORM", "GNN"],
            r"MODEL\.RETINANET\.NORM is 'GNN', which detectron2 does",
        ),
        (["MODEL.RETINANET.IN_FEATURES", ["p3", "p9"]], r"IN_FEATURES has p9, which the backbone"),
        (["MODEL.RETINANET.IN_FEATURES", ["p3", "p4"]], r"settings of MODEL can't be used: "),
        (["MODEL.RETINANET.NORM", "GN", "MODEL.FPN.OUT_CHANNELS", 16], r"can't be used: .*32"),
        (["MODEL.BACKBONE.NAME", "build_resnet"], r"settings of MODEL can't be used: .*build_resn"),
        (["MODEL.META_ARCHITECTURE", "Retina"], r"'Retina', which is not registered"),
        (
            [*plain("RetinaNet"), "MODEL.COMINING.TEACHER.EVALUATE", True],
            r"EVALUATE is True, but RetinaNet has no teacher: set it to False",
        ),
    ],
)
def test_settings_that_make_no_detector(settings, message):
    with pytest.raises(InputError, match=message):
        build_detector(tiny_config(*settings))


@pytest.mark.parametrize("node", ["RPN", "ROI_HEADS"])
@pytest.mark.parametrize("architecture", ["CoMiningGeneralizedRCNN", "GeneralizedRCNN"])
def test_features_of_a_two_stage_detector_that_the_backbone_does_not_make(architecture, node):
    cfg = tiny_config(*RCNN["FPN"], f"MODEL.{node}.IN_FEATURES", ["p3", "p4", "p9"])
    cfg.MODEL.META_ARCHITECTURE = architecture
    with pytest.raises(InputError, match=rf"MODEL\.{node}\.IN_FEATURES has p9, which the backbone"):
        build_detector(cfg)


@pytest.mark.parametrize(
    ("backbone", "levels", "expected"),
    [
        ("build_fcos_resnet_fpn_p5_backbone", ["p3", "p4", "p5", "p6", "p7"], False),
        ("build_fcos_resnet_fpn_p5_backbone", ["p3", "p4", "p5"], True),  # p6 and p7 are learnt
        ("build_resnet_fpn_backbone", ["p3", "p4", "p5"], False),  # p6 is a maximum
        ("build_resnet_fpn_backbone", ["p4", "p5"], True),
    ],
)
def test_parameters_that_no_loss_reaches(backbone, levels, expected):
    overrides = ("MODEL.BACKBONE.NAME", backbone, "MODEL.FCOS.IN_FEATURES", levels)
    model = build_detector(tiny_config(*overrides, detector="FCOS"))
    before = {name: x.clone() for name, x in model.state_dict().items()}
    assert leaves_parameters_out(model) == expected
    with EventStorage():
        sum(model(two_items()).values()).backward()
    unreached = [name for name, x in model.named_parameters() if x.grad is None and x.requires_grad]
    assert bool(unreached) == expected
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("of_rpn", "of_heads", "expected"),
    [(["p4", "p5"], ["p3", "p4", "p5"], False), (["p4", "p5"], ["p4", "p5"], True)],
)
def test_levels_of_both_stages_are_reached(of_rpn, of_heads, expected):
    levels = ("MODEL.RPN.IN_FEATURES", of_rpn, "MODEL.ROI_HEADS.IN_FEATURES", of_heads)
    assert (
        leaves_parameters_out(tiny_rcnn(*levels, "MODEL.ANCHOR_GENERATOR.SIZES", [[32]]))
        == expected
    )


def test_other_models_have_no_levels():
    assert not leaves_parameters_out(torch.nn.Linear(1, 1))
