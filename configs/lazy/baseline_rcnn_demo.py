from .common.rcnn import model
from .common.scenes import dataloader
from .common.small import lr_multiplier, optimizer, shrink, train

levels = ["p3", "p4", "p5"]
shrink(model)
rpn, heads = model.proposal_generator, model.roi_heads
model.backbone.in_features = model.backbone.bottom_up.out_features = ["res3", "res4", "res5"]
rpn.in_features = heads.box_in_features = levels
rpn.anchor_generator.sizes = [[22.6], [45.3], [90.5]]
rpn.anchor_generator.aspect_ratios = [1.0]
rpn.anchor_generator.strides = [8, 16, 32]
rpn.head.num_anchors = 1
rpn.pre_nms_topk, rpn.post_nms_topk = [300, 300], [100, 100]
rpn.batch_size_per_image = heads.batch_size_per_image = 64
heads.num_classes = 6
heads.box_pooler.output_size = 5
heads.box_pooler.scales = [1 / 8, 1 / 16, 1 / 32]
heads.box_head.fc_dims = [256]
train.output_dir = "./output/lazy/baseline_rcnn_demo"
