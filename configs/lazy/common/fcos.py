"""FCOS with ResNet-50 and the published settings."""

from detectron2.config import LazyCall
from detectron2.modeling.meta_arch.fcos import FCOSHead

from comining.modeling.fcos import FCOS, head_norm

from .retinanet import model as retinanet

model = LazyCall(FCOS)(
    backbone=retinanet.backbone,
    head=LazyCall(FCOSHead)(
        input_shape=retinanet.head.input_shape,
        num_classes="${..num_classes}",
        conv_dims=[256] * 4,
        norm=LazyCall(head_norm)(key="model.head.norm", name="GN"),
        prior_prob=0.01,
    ),
    head_in_features=["p3", "p4", "p5", "p6", "p7"],
    num_classes=80,
    center_sampling_radius=1.5,
    focal_loss_alpha=0.25,
    focal_loss_gamma=2.0,
    test_score_thresh=0.05,
    test_topk_candidates=1000,
    test_nms_thresh=0.6,
    max_detections_per_image=100,
    pixel_mean=retinanet.pixel_mean,
    pixel_std=retinanet.pixel_std,
)
# p6 and p7 are made from p5.
model.backbone.top_block.in_feature = "p5"
model.backbone.top_block.in_channels = "${..out_channels}"
