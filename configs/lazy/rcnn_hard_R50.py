from comining import CoMiningGeneralizedRCNN

from .baseline_rcnn_hard_R50 import dataloader, lr_multiplier, model, optimizer, train
from .common.comining import comining

model._target_ = CoMiningGeneralizedRCNN
model.merge_with(comining)
train.output_dir = "./output/lazy/rcnn_hard_R50"
