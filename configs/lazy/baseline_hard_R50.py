from .common.data import dataloader
from .common.retinanet import model
from .common.schedule import lr_multiplier, optimizer, train

dataloader.train.dataset.names = "coco_2017_train_hard"
train.output_dir = "./output/lazy/baseline_hard_R50"
