from .common.retinanet import model
from .common.scenes import dataloader
from .common.small import lr_multiplier, optimizer, shrink, train

model.num_classes = 6
model.head_in_features = ["p3", "p4", "p5"]
model.anchor_generator.sizes = [[16, 22.6], [32, 45.3], [64, 90.5]]
model.anchor_generator.aspect_ratios = [1.0]
model.anchor_generator.strides = [8, 16, 32]
model.head.num_anchors = 2
shrink(model)
train.output_dir = "./output/lazy/baseline_demo"
