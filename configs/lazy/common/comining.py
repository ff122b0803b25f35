"""What Co-mining adds to a detector: the paper's settings."""

from detectron2.config import LazyCall

from comining.modeling import Adaptive, Published, SecondView

comining = dict(
    view=LazyCall(SecondView)(
        jitter_prob=0.8,
        brightness=0.8,
        contrast=0.8,
        saturation=0.8,
        hue=0.2,
        flip_prob=0.0,
        input_format="BGR",
    ),
    method=LazyCall(Published)(score_thresh=0.6, iou_thresh=0.4, crosswise=True),
    seed="${train.seed}",
    vis_period=0,
    max_iter="${train.max_iter}",
)

comining_demo = dict(
    comining,
    # As configs/Base-Small.yaml has it, with the reason.
    view=LazyCall(SecondView)(
        jitter_prob=0.8,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.05,
        flip_prob=0.5,
        input_format="BGR",
    ),
    method=LazyCall(Adaptive)(
        num_classes="${model.num_classes}", precision=0.95, object_precision=0.3, crosswise=True
    ),
)
