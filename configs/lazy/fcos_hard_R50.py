from comining import CoMiningFCOS

from .baseline_fcos_hard_R50 import dataloader, lr_multiplier, model, optimizer, train
from .common.comining import comining

model._target_ = CoMiningFCOS
model.merge_with(comining)
model.method.score_thresh = 0.5
train.output_dir = "./output/lazy/fcos_hard_R50"
