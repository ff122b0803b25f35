from .hard_R50 import dataloader, lr_multiplier, model, optimizer, train

model.backbone.bottom_up.stages.depth = 101
dataloader.train.dataset.names = "coco_missing_50p"
train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-101.pkl"
train.output_dir = "./output/lazy/miss50p_R101"
