"""Small detectors that learn from scratch on a CPU, and their schedule."""

import torch
from detectron2.config import LazyCall
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from .schedule import optimizer, train


def shrink(model):
    """Make a detector's backbone ResNet-18 and its dense head two convolutions of 64 channels, in
    place.

    Batch normalisation is everywhere, nothing is frozen.
    """
    resnet = model.backbone.bottom_up
    resnet.stem.norm = resnet.stages.norm = "BN"
    resnet.stages.depth = 18
    del resnet.stages.stride_in_1x1
    resnet.freeze_at = 0
    model.backbone.norm = "BN"
    model.backbone.out_channels = 64
    model.backbone.top_block = LazyCall(LastLevelMaxPool)()
    model.pixel_std = [57.375, 57.12, 58.395]
    if "head" in model:
        model.head.conv_dims = [64, 64]
        model.head.norm = "BN"
        model.head.input_shape = model.head.input_shape[: len(model.head_in_features)]


train.init_checkpoint = ""
train.max_iter = 1000
train.seed = 0
train.clip_gradients = dict(enabled=True, clip_type="norm", clip_value=10.0, norm_type=2.0)
train.checkpointer = dict(period=200, max_to_keep=2)

optimizer._target_ = torch.optim.AdamW
del optimizer.momentum
optimizer.lr = 0.001
optimizer.weight_decay = 0.01

lr_multiplier = LazyCall(WarmupParamScheduler)(
    scheduler=LazyCall(CosineParamScheduler)(start_value=1.0, end_value=0.0),
    warmup_factor=0.01,
    warmup_length=50 / 1000,
    warmup_method="linear",
)
