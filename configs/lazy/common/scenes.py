"""Generated scenes in which half of the annotations are left, made by comining prepare scenes."""

from .data import dataloader

dataloader.register = [
    *(
        [f"scenes_{x}", f"datasets/scenes/train_{x}.json", "datasets/scenes/train"]
        for x in ("full", "easy", "hard", "extreme", "keep1", "miss50")
    ),
    ["scenes_val", "datasets/scenes/val.json", "datasets/scenes/val"],
]
dataloader.train.dataset.names = "scenes_hard"
dataloader.train.mapper.mapper.augmentations[0].short_edge_length = [96]
dataloader.train.total_batch_size = 8
dataloader.train.num_workers = dataloader.test.num_workers = 1
dataloader.test.dataset.names = "scenes_val"
dataloader.test.mapper.augmentations[0].short_edge_length = 96
