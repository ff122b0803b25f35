"""Generated scenes in which half of the annotations are left, made by comining prepare scenes."""

from .data import dataloader

dataloader.register = [
    ["scenes_hard", "datasets/scenes/train_hard.json", "datasets/scenes/train"],
    ["scenes_val", "datasets/scenes/val.json", "datasets/scenes/val"],
]
dataloader.train.dataset.names = "scenes_hard"
dataloader.train.mapper.mapper.augmentations[0].short_edge_length = [96]
dataloader.train.total_batch_size = 8
dataloader.train.num_workers = dataloader.test.num_workers = 1
dataloader.test.dataset.names = "scenes_val"
dataloader.test.mapper.augmentations[0].short_edge_length = 96
