"""The paper's schedule, for 8 GPUs with 2 images each."""

import torch
from detectron2.config import LazyCall
from detectron2.solver import WarmupParamScheduler, get_default_optimizer_params
from fvcore.common.param_scheduler import MultiStepParamScheduler

train = dict(
    output_dir="./output",
    init_checkpoint="detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    max_iter=90000,
    # Below 0, one is drawn.
    seed=-1,
    device="cuda",
    # Mixed precision, "float16" (GPU only) or "bfloat16".
    amp=dict(enabled=False, dtype="float16"),
    clip_gradients=dict(enabled=False, clip_type="value", clip_value=1.0, norm_type=2.0),
    # Of the periodic checkpoints, the newest are kept; 0 keeps all.
    checkpointer=dict(period=5000, max_to_keep=0),
    # 0 evaluates at the end alone.
    eval_period=0,
)

optimizer = LazyCall(torch.optim.SGD)(
    # The trainer adds the model.
    params=LazyCall(get_default_optimizer_params)(weight_decay_norm=0.0),
    lr=0.01,
    momentum=0.9,
    weight_decay=0.0001,
)

# Shares of the whole training, whatever train.max_iter is.
lr_multiplier = LazyCall(WarmupParamScheduler)(
    scheduler=LazyCall(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[60000, 80000, 90000]
    ),
    warmup_factor=0.001,
    warmup_length=1000 / 90000,
    warmup_method="linear",
)
