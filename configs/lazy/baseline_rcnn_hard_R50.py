from .baseline_hard_R50 import dataloader, lr_multiplier, optimizer, train
from .common.rcnn import model

optimizer.lr = 0.02
train.output_dir = "./output/lazy/baseline_rcnn_hard_R50"
