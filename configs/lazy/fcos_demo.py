from comining import CoMiningFCOS

from .baseline_fcos_demo import dataloader, lr_multiplier, model, optimizer, train
from .common.comining import comining_demo

model._target_ = CoMiningFCOS
model.merge_with(comining_demo)
train.output_dir = "./output/lazy/fcos_demo"
