from comining import CoMiningGeneralizedRCNN

from .baseline_rcnn_demo import dataloader, lr_multiplier, model, optimizer, train
from .common.comining import comining_demo

model._target_ = CoMiningGeneralizedRCNN
model.merge_with(comining_demo)
model.method.num_classes = "${model.roi_heads.num_classes}"
train.output_dir = "./output/lazy/rcnn_demo"
