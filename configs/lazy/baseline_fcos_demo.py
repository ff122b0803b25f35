from .common.fcos import model
from .common.scenes import dataloader
from .common.small import lr_multiplier, optimizer, shrink, train

model.num_classes = 6
model.head_in_features = ["p3", "p4", "p5"]
shrink(model)
train.output_dir = "./output/lazy/baseline_fcos_demo"
