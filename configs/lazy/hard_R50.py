from comining import CoMiningRetinaNet

from .baseline_hard_R50 import dataloader, lr_multiplier, model, optimizer, train
from .common.comining import comining

model._target_ = CoMiningRetinaNet
model.merge_with(comining)
train.output_dir = "./output/lazy/hard_R50"
