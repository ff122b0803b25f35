"""Tiny detectors, and batches for them."""

import math
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import nn

from comining import add_comining_config
from comining.modeling.labels import Labels
from comining.modeling.targets import Targets

BASE_SMALL = Path(__file__).parents[2] / "configs" / "Base-Small.yaml"
NUM_CLASSES = 3

#: By detector; the first is of the classes, the second of the boxes.
LOSSES = {
    "RetinaNet": ("loss_cls", "loss_box_reg"),
    "FCOS": ("loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr"),
}
each_detector = pytest.mark.parametrize("detector", LOSSES)


def plain(detector):
    """Overrides that choose detectron2's own detector."""
    return ("MODEL.META_ARCHITECTURE", detector)


def tiny_config(*overrides, detector="RetinaNet"):
    """ResNet-18-FPN on p3 to p5; group norm in the backbone, so that images don't interact."""
    cfg = get_cfg()
    add_comining_config(cfg)
    cfg.merge_from_file(str(BASE_SMALL), allow_unsafe=False)
    cfg.merge_from_list(
        [
            "MODEL.META_ARCHITECTURE", f"CoMining{detector}",
            "MODEL.DEVICE", "cpu",
            "MODEL.RESNETS.NORM", "GN",
            "MODEL.FPN.NORM", "GN",
            "MODEL.RETINANET.NORM", "",
            "MODEL.RETINANET.NUM_CLASSES", NUM_CLASSES,
            "MODEL.COMINING.THRESHOLD", "fixed",
            "MODEL.COMINING.SCORE_THRESH", 0.5,
            "MODEL.COMINING.VIEW.FLIP_PROB", 0.0,
            "MODEL.FCOS.IN_FEATURES", ["p3", "p4", "p5"],
            "MODEL.FCOS.NUM_CONVS", 2,
            "MODEL.FCOS.NORM", "",
            "MODEL.FCOS.NUM_CLASSES", NUM_CLASSES,
            "SEED", 1,
        ]
    )  # fmt: skip
    cfg.merge_from_list(list(overrides))
    return cfg


def tiny_model(*overrides, detector="RetinaNet", seed=0):
    """A model in training mode, its random head scaled to be sure of a few boxes per image."""
    torch.manual_seed(seed)
    model = build_model(tiny_config(*overrides, detector=detector))
    for layer in model.head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.constant_(model.head.cls_score.bias, -3.0)
    with torch.no_grad():
        model.head.bbox_pred.weight.mul_(0.2)
        if hasattr(model.head, "ctrness"):
            model.head.cls_score.bias.fill_(-1.0)  # there is one location where anchors are more
            model.head.bbox_pred.bias.fill_(2.0)  # distances to the edges, in strides
    return model


#: Faster R-CNN with ResNet-18-FPN on p3 to p5, and with res4 of ResNet-50 alone.
RCNN = {
    "FPN": (
        "MODEL.ANCHOR_GENERATOR.SIZES", [[16], [32], [64]],
        "MODEL.RPN.IN_FEATURES", ["p3", "p4", "p5"],
        "MODEL.RPN.POST_NMS_TOPK_TRAIN", 60,
        "MODEL.RPN.POST_NMS_TOPK_TEST", 60,
        "MODEL.ROI_HEADS.NAME", "StandardROIHeads",
        "MODEL.ROI_HEADS.IN_FEATURES", ["p3", "p4", "p5"],
        "MODEL.ROI_HEADS.NUM_CLASSES", NUM_CLASSES,
        "MODEL.ROI_BOX_HEAD.NAME", "FastRCNNConvFCHead",
        "MODEL.ROI_BOX_HEAD.NUM_FC", 1,
        "MODEL.ROI_BOX_HEAD.FC_DIM", 32,
        "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 3,
    ),
    "C4": (
        "MODEL.BACKBONE.NAME", "build_resnet_backbone",
        "MODEL.RESNETS.DEPTH", 50,
        "MODEL.RESNETS.WIDTH_PER_GROUP", 32,
        "MODEL.RESNETS.OUT_FEATURES", ["res4"],
        "MODEL.ANCHOR_GENERATOR.SIZES", [[16, 32, 64]],
        "MODEL.RPN.POST_NMS_TOPK_TRAIN", 60,
        "MODEL.RPN.POST_NMS_TOPK_TEST", 60,
        "MODEL.ROI_HEADS.NUM_CLASSES", NUM_CLASSES,
        "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 3,
    ),
}  # fmt: skip


def tiny_rcnn(*overrides, kind="FPN", seed=0):
    """A Faster R-CNN in training mode; `plain("GeneralizedRCNN")` makes it detectron2's own."""
    torch.manual_seed(seed)
    return build_model(tiny_config(*RCNN[kind], *overrides, detector="GeneralizedRCNN"))


def annotations(size, boxes, classes):
    """The ground truth of an image of `size` (height, width), as the stock mapper makes it."""
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return instances


def items(*per_image, seed=0):
    """A batch of random uint8 images from (size, boxes, classes) triples."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "image": torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8),
            "instances": annotations(size, boxes, classes),
        }
        for size, boxes, classes in per_image
    ]


def with_frames(batch):
    """As `comining.data.FrameMapper` makes items of images that are not augmented."""
    frame = torch.eye(2, 3, dtype=torch.float64)
    return [{**item, "image_id": id_, "frame": frame} for id_, item in enumerate(batch)]


def two_items():
    """Two images of different sizes with three annotations."""
    return items(
        ((64, 96), [[8, 10, 40, 44], [50, 20, 90, 60]], [0, 2]),
        ((96, 64), [[20, 30, 44, 58]], [1]),
    )


def make_labels(boxes, classes=None, images=None, scores=None):
    """`Labels` from lists; class 0, image 0 and score 1 unless told."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    zeros = [0] * len(boxes)
    return Labels(
        boxes,
        torch.tensor(classes or zeros, dtype=torch.int64),
        torch.tensor(images or zeros, dtype=torch.int64),
        torch.tensor(scores or [1.0] * len(boxes)),
    )


def make_targets(boxes, classes=None, images=None):
    """`Targets` from lists, with weights of 1; a class of None is ignored."""
    classes = classes or [0] * len(boxes)
    labels = make_labels(boxes, [class_ or 0 for class_ in classes], images)
    ignored = torch.tensor([class_ is None for class_ in classes], dtype=torch.bool)
    return Targets.learnt(labels)._replace(ignored=ignored)


def random_boxes(generator, number, size=64.0):
    corners = torch.rand(number, 2, 2, generator=generator) * size
    return torch.cat((corners.amin(1), corners.amax(1)), dim=1)


def random_labels(generator, number, num_images, num_classes):
    return Labels(
        random_boxes(generator, number),
        torch.randint(num_classes, (number,), generator=generator),
        torch.randint(num_images, (number,), generator=generator),
        torch.rand(number, generator=generator),
    )


def logit(probability):
    return math.log(probability / (1 - probability))
