"""Every configuration key of the project."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_comining_config(cfg: CfgNode) -> None:
    """Add the project's keys, with the paper's values, to detectron2's default config, in place."""
    cfg.MODEL.COMINING = CfgNode()
    # A prediction whose class score is above becomes a label of the other branch. In [0, 1].
    # The paper uses 0.6, and 0.5 where a single annotation per image is left. Low values take
    # much memory: at 0, everything that the detector predicts is a candidate.
    cfg.MODEL.COMINING.SCORE_THRESH = 0.6
    # A mined box is dropped if its IoU with an annotated box of its class is above. In [0, 1].
    cfg.MODEL.COMINING.IOU_THRESH = 0.4

    # The second view: torchvision's ColorJitter on the original one, then a flip.
    cfg.MODEL.COMINING.VIEW = CfgNode()
    # The probability that an image's colours are jittered at all. In [0, 1].
    cfg.MODEL.COMINING.VIEW.JITTER_PROB = 0.8
    # Factors are drawn from [max(0, 1 - x), 1 + x]. At least 0.
    cfg.MODEL.COMINING.VIEW.BRIGHTNESS = 0.8
    cfg.MODEL.COMINING.VIEW.CONTRAST = 0.8
    cfg.MODEL.COMINING.VIEW.SATURATION = 0.8
    # The hue is shifted by up to this share of a full turn, either way. In [0, 0.5].
    cfg.MODEL.COMINING.VIEW.HUE = 0.2
    # The probability that the second view is mirrored left to right. In [0, 1]. The flip of
    # INPUT.RANDOM_FLIP is another matter: it comes before and turns both views alike.
    cfg.MODEL.COMINING.VIEW.FLIP_PROB = 0.0

    # Data sets to register, each [name, annotation file in COCO format, image folder], so that
    # DATASETS.TRAIN and DATASETS.TEST can name them.
    cfg.DATASETS.REGISTER = []

    # The project's trainer only: training images are also flipped top to bottom, half of the time.
    # For images without an up, such as aerial and microscopic ones.
    cfg.INPUT.VERTICAL_FLIP = False

    # The project's trainer only: that many training images may turn out unreadable and are replaced
    # by others, with a warning each; one more ends the training. At least 0.
    cfg.DATALOADER.MAX_UNREADABLE = 10

    # The project's trainer only: of the periodic checkpoints, the newest are kept; 0 keeps all.
    cfg.SOLVER.CHECKPOINTS_TO_KEEP = 0
    # The project's trainer only. "SGD" or "AdamW".
    cfg.SOLVER.OPTIMIZER = "SGD"
    # The project's trainer only: the type of mixed precision if SOLVER.AMP.ENABLED. "float16" (GPU
    # only) or "bfloat16".
    cfg.SOLVER.AMP.DTYPE = "float16"
