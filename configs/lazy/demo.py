from comining import CoMiningRetinaNet

from .baseline_demo import dataloader, lr_multiplier, model, optimizer, train
from .common.comining import comining_demo

model._target_ = CoMiningRetinaNet
model.merge_with(comining_demo)
train.output_dir = "./output/lazy/demo"
