"""Faster R-CNN with ResNet-50-FPN, as detectron2's model zoo has it."""

from detectron2.config import LazyCall
from detectron2.layers import ShapeSpec
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers, StandardROIHeads

from .retinanet import model as retinanet

levels = ["res2", "res3", "res4", "res5"]

model = LazyCall(GeneralizedRCNN)(
    backbone=retinanet.backbone,
    proposal_generator=LazyCall(RPN)(
        in_features=["p2", "p3", "p4", "p5", "p6"],
        anchor_generator=LazyCall(DefaultAnchorGenerator)(
            sizes=[[32], [64], [128], [256], [512]],
            aspect_ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64],
            offset=0.0,
        ),
        head=LazyCall(StandardRPNHead)(in_channels="${...backbone.out_channels}", num_anchors=3),
        anchor_matcher=LazyCall(Matcher)(
            thresholds=[0.3, 0.7], labels=[0, -1, 1], allow_low_quality_matches=True
        ),
        box2box_transform=LazyCall(Box2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
        batch_size_per_image=256,
        positive_fraction=0.5,
        # In training, and at inference.
        pre_nms_topk=[2000, 1000],
        post_nms_topk=[1000, 1000],
        nms_thresh=0.7,
        box_reg_loss_type="smooth_l1",
    ),
    roi_heads=LazyCall(StandardROIHeads)(
        num_classes=80,
        batch_size_per_image=512,
        positive_fraction=0.25,
        proposal_matcher=LazyCall(Matcher)(
            thresholds=[0.5], labels=[0, 1], allow_low_quality_matches=False
        ),
        box_in_features=["p2", "p3", "p4", "p5"],
        box_pooler=LazyCall(ROIPooler)(
            output_size=7,
            scales=[1 / 4, 1 / 8, 1 / 16, 1 / 32],
            sampling_ratio=0,
            pooler_type="ROIAlignV2",
        ),
        box_head=LazyCall(FastRCNNConvFCHead)(
            input_shape=LazyCall(ShapeSpec)(
                channels="${....backbone.out_channels}",
                height="${...box_pooler.output_size}",
                width="${...box_pooler.output_size}",
            ),
            conv_dims=[],
            fc_dims=[1024, 1024],
        ),
        box_predictor=LazyCall(FastRCNNOutputLayers)(
            input_shape=LazyCall(ShapeSpec)(channels="${...box_head.fc_dims[0]}"),
            box2box_transform=LazyCall(Box2BoxTransform)(weights=[10.0, 10.0, 5.0, 5.0]),
            num_classes="${..num_classes}",
            test_score_thresh=0.05,
            test_nms_thresh=0.5,
            test_topk_per_image=100,
            box_reg_loss_type="smooth_l1",
        ),
    ),
    pixel_mean=retinanet.pixel_mean,
    pixel_std=retinanet.pixel_std,
    input_format="BGR",
)
model.backbone.in_features = model.backbone.bottom_up.out_features = levels
model.backbone.top_block = LazyCall(LastLevelMaxPool)()
