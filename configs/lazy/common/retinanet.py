"""RetinaNet with ResNet-50 and the paper's settings."""

from detectron2.config import LazyCall
from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.backbone.resnet import BasicStem, ResNet
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead

from comining.modeling.matching import TouchingMatcher
from comining.modeling.retinanet import RetinaNet

model = LazyCall(RetinaNet)(
    backbone=LazyCall(FPN)(
        bottom_up=LazyCall(ResNet)(
            stem=LazyCall(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
            stages=LazyCall(ResNet.make_default_stages)(
                depth=50, stride_in_1x1=True, norm="FrozenBN"
            ),
            out_features=["res3", "res4", "res5"],
            freeze_at=2,
        ),
        in_features=["res3", "res4", "res5"],
        out_channels=256,
        top_block=LazyCall(LastLevelP6P7)(in_channels=2048, out_channels="${..out_channels}"),
    ),
    head=LazyCall(RetinaNetHead)(
        input_shape=[LazyCall(ShapeSpec)(channels="${....backbone.out_channels}")] * 5,
        num_classes="${..num_classes}",
        num_anchors=9,
        conv_dims=[256] * 4,
        prior_prob=0.01,
    ),
    head_in_features=["p3", "p4", "p5", "p6", "p7"],
    anchor_generator=LazyCall(DefaultAnchorGenerator)(
        sizes=[[size * 2 ** (i / 3) for i in range(3)] for size in (32, 64, 128, 256, 512)],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=[8, 16, 32, 64, 128],
        offset=0.0,
    ),
    box2box_transform=LazyCall(Box2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
    anchor_matcher=LazyCall(TouchingMatcher)(
        thresholds=[0.4, 0.5], labels=[0, -1, 1], allow_low_quality_matches=True
    ),
    num_classes=80,
    focal_loss_alpha=0.25,
    focal_loss_gamma=2.0,
    smooth_l1_beta=0.1,
    box_reg_loss_type="smooth_l1",
    test_score_thresh=0.05,
    test_topk_candidates=1000,
    test_nms_thresh=0.5,
    max_detections_per_image=100,
    pixel_mean=[103.53, 116.28, 123.675],
    pixel_std=[1.0, 1.0, 1.0],
    input_format="BGR",
)
