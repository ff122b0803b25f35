from .baseline_hard_R50 import dataloader, lr_multiplier, optimizer, train
from .common.fcos import model

train.output_dir = "./output/lazy/baseline_fcos_hard_R50"
