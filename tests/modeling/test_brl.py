"""Background recalibration, by hand."""

import math
from math import log

import pytest
import torch
from detectron2.utils.events import EventStorage

from comining.errors import InputError
from comining.modeling import BRL, Level
from comining.modeling.losses import dense_focal_loss
from comining.modeling.targets import Targets
from tests.modeling.helpers import (
    LOSSES,
    each_detector,
    items,
    make_labels,
    tiny_config,
    tiny_model,
)

#: Of a positive, an ordinary negative, a confusion and an ignored anchor, and of a positive that
#: only is the best of its object: the class, the overlap and the scores of two classes.
CLASSES = [0, 2, 2, -1, 1]
OVERLAPS = [0.6, 0.1, 0.09, 0.0, 0.05]
SCORES = [[0.3, 0.8], [0.3, 0.8], [0.3, 0.8], [0.9, 0.9], [0.8, 0.3]]


def absent(p):
    return 0.75 * p**2 * -log(1 - p)


def present(p, alpha=0.25):
    return alpha * (1 - p) ** 2 * -log(p)


def losses_of(method):
    """Of two branches that see the same, and the gradient of the first one's confusion anchor."""
    logits = torch.tensor(SCORES).logit().mT.reshape(1, 2, 1, 5).repeat(2, 1, 1, 1)
    logits.requires_grad_()
    loss = dense_focal_loss(
        [logits],
        torch.tensor([CLASSES] * 2),
        num_branches=2,
        alpha=0.25,
        gamma=2.0,
        background=method.recalibrate,
        overlaps=torch.tensor([OVERLAPS] * 2),
    )
    loss.sum().backward()
    return loss.tolist(), logits.grad[0, :, 0, 2].tolist()


OTHERS = present(0.3) + absent(0.8) + absent(0.3) + absent(0.8) + present(0.3) + absent(0.8)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (BRL(), 0.1 * (absent(0.3) + present(0.8, alpha=0.75))),
        (BRL(mirrored=False), 0.1 * absent(0.3)),
        (BRL(threshold=0.8), 0.1 * (present(0.3, alpha=0.75) + present(0.8, alpha=0.75))),
        (BRL(weight=0.5, beta=2.0), 0.5 * absent(0.3) + present(0.8, alpha=0.75)),
        (BRL(confusion_iou=0.0), absent(0.3) + absent(0.8)),
    ],
)
def test_confusion_anchors_by_hand(method, expected):
    loss, _ = losses_of(method)
    assert loss == pytest.approx([OTHERS + expected] * 2, rel=1e-5)


def test_pushes_down_and_up():
    """The derivatives of the two focal terms by the logit, times p (1 - p)."""
    down = 0.1 * 0.75 * (2 * 0.3 * -log(0.7) + 0.3**2 / 0.7) * 0.3 * 0.7
    up = 0.1 * 0.75 * (2 * 0.2 * log(0.8) - 0.2**2 / 0.8) * 0.8 * 0.2
    _, gradient = losses_of(BRL())
    assert gradient == pytest.approx([down, up], rel=1e-5)
    _, gradient = losses_of(BRL(mirrored=False))
    assert gradient == pytest.approx([down, 0], rel=1e-5)


@each_detector
def test_what_is_far_weighs_a_tenth(detector):
    """Where nothing is annotated, all is confusion; by the losses of scores that none doubts."""
    model = tiny_model("MODEL.COMINING.METHOD", "BRL", detector=detector)
    features = model.backbone(torch.rand(2, 3, 64, 96))
    features = [features[name] for name in model.head_in_features]
    outputs = model.dense_outputs(features, model.head(features))
    outputs = outputs._replace(logits=[x.clamp(max=-0.1) for x in outputs.logits])
    nothing = Targets.learnt(make_labels([]))
    with EventStorage():
        plain, ours = (
            model.branch_losses(outputs, [nothing, nothing], x)[LOSSES[detector][0]]
            for x in (None, model.method.recalibrate)
        )
    torch.testing.assert_close(ours, 0.1 * plain)


@each_detector
def test_trains(detector):
    model = tiny_model("MODEL.COMINING.METHOD", "BRL", detector=detector)
    with EventStorage() as storage:
        losses = model(items(((64, 96), [[8, 10, 40, 44]], [0])))
    assert storage.latest()["comining/mined_per_image"][0] == 0
    sum(losses.values()).backward()
    assert all(x.grad.isfinite().all() for x in model.parameters() if x.requires_grad)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("THRESHOLD", 1.5),
        ("CONFUSION_IOU", -0.1),
        ("WEIGHT", -1.0),
        ("BETA", -1.0),
        ("WEIGHT", math.nan),
    ],
)
def test_values_out_of_range(key, value):
    with pytest.raises(InputError, match=rf"MODEL\.COMINING\.BRL\.{key} is {value}"):
        BRL(**{key.lower(): value})


def test_keys():
    node = tiny_config().MODEL.COMINING.BRL
    assert node == {
        "THRESHOLD": 0.5, "MIRRORED": True, "WEIGHT": 0.1, "BETA": 1.0, "CONFUSION_IOU": 0.1
    }  # fmt: skip


def test_a_detector_that_tells_no_overlaps():
    level = Level(torch.zeros(2, 1, 2, 1, 1), torch.zeros(2, 1, dtype=torch.int64), None, 0)
    with pytest.raises(InputError, match="BRL needs a detector that hands the overlaps"):
        BRL().recalibrate(level)
