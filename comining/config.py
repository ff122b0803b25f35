"""Every configuration key of the project."""

from __future__ import annotations

from detectron2.config import CfgNode

from .modeling.methods import add_method_settings


def add_comining_config(cfg: CfgNode) -> None:
    """Add the project's keys, with the paper's values, to detectron2's default config, in place."""
    _add_mechanism(cfg)
    _add_teacher(cfg)
    _add_second_view(cfg)
    _add_fcos(cfg)
    _add_torchvision(cfg)
    _add_training(cfg)
    add_method_settings(cfg.MODEL.COMINING)


def _add_mechanism(cfg: CfgNode) -> None:
    # --8<-- [start:mechanism]
    cfg.MODEL.COMINING = CfgNode()
    # What the branches learn beside the annotations: a method of docs/methods.md or one of your own
    # (see docs/your_method.md), whose arguments are keys of MODEL.COMINING.<ITS NAME IN CAPITALS>.
    # Empty for what THRESHOLD says.
    cfg.MODEL.COMINING.METHOD = ""
    # A prediction whose class score is above becomes a label of the other branch. In [0, 1].
    # The paper uses 0.6, and 0.5 where a single annotation per image is left and for FCOS. Low
    # values take much memory: at 0, everything that the detector predicts is a candidate.
    cfg.MODEL.COMINING.SCORE_THRESH = 0.6
    # "fixed", the method "Published": SCORE_THRESH. "adaptive", the method "Adaptive": thresholds
    # that follow from the precision which annotated objects show during the training (see
    # comining/modeling/adaptive.py); what both branches find above them is mined.
    cfg.MODEL.COMINING.THRESHOLD = "fixed"
    cfg.MODEL.COMINING.ADAPTIVE = CfgNode()
    # The share of mined boxes that are to have the right class and place. In (0, 1]; with 1 nothing
    # is mined, only ignored.
    cfg.MODEL.COMINING.ADAPTIVE.PRECISION = 0.95
    # What scores too low for that is no background either, as long as this share of it is to lie on
    # an object. In (0, 1).
    cfg.MODEL.COMINING.ADAPTIVE.OBJECT_PRECISION = 0.3
    # Whether each branch labels the other one, as published; else itself. With adaptive thresholds
    # both must find what is mined, but what only one finds is ignored by the labelled one.
    cfg.MODEL.COMINING.CROSSWISE = True
    # With a fixed threshold, a mined box is dropped if its IoU with an annotated box of its class
    # is above; with adaptive ones, if that with any annotated box is above 0.2. In [0, 1].
    cfg.MODEL.COMINING.IOU_THRESH = 0.4
    # --8<-- [end:mechanism]


def _add_teacher(cfg: CfgNode) -> None:
    # --8<-- [start:teacher]
    # The teacher, the moving average of the detector, for methods that ask for one: see
    # comining/modeling/teacher.py.
    cfg.MODEL.COMINING.TEACHER = CfgNode()
    # The weight of what it was before an iteration, but at most 1 - 1 / (iteration + 1): it is the
    # plain mean of the detector until that reaches it. At least 0, below 1. The teacher knows the
    # last 1 / (1 - x) iterations or so: a short training needs a lower value, 0.99, say.
    cfg.MODEL.COMINING.TEACHER.MOMENTUM = 0.999
    # Whether the statistics of batch normalisation are averaged, too; else they are the detector's.
    cfg.MODEL.COMINING.TEACHER.AVERAGE_BUFFERS = True
    # Whether the teacher is evaluated in place of the detector: in and after the training, in
    # mining, prediction and export.
    cfg.MODEL.COMINING.TEACHER.EVALUATE = False
    # --8<-- [end:teacher]


def _add_second_view(cfg: CfgNode) -> None:
    # --8<-- [start:view]
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
    # --8<-- [end:view]


def _add_fcos(cfg: CfgNode) -> None:
    # --8<-- [start:fcos]
    # detectron2's FCOS, for which it has no keys. Its loss on boxes is GIoU.
    cfg.MODEL.FCOS = CfgNode()
    cfg.MODEL.FCOS.NUM_CLASSES = 80
    # The backbone's outputs that the head works on, from the highest resolution to the lowest.
    cfg.MODEL.FCOS.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    # Convolutions of the head's two towers, and what normalises them: as MODEL.RETINANET.NORM.
    cfg.MODEL.FCOS.NUM_CONVS = 4
    cfg.MODEL.FCOS.NORM = "GN"
    # The class score that every location starts from. In (0, 1).
    cfg.MODEL.FCOS.PRIOR_PROB = 0.01
    # Locations this near to the centre of a box, in strides, are its foreground.
    cfg.MODEL.FCOS.CENTER_SAMPLING_RADIUS = 1.5
    cfg.MODEL.FCOS.FOCAL_LOSS_ALPHA = 0.25
    cfg.MODEL.FCOS.FOCAL_LOSS_GAMMA = 2.0
    # At inference, what scores above is a candidate, by sqrt(class score x centerness).
    cfg.MODEL.FCOS.SCORE_THRESH_TEST = 0.05
    # At inference and in mining: that many candidates are kept per level, and a box is dropped if
    # its IoU with a better one of its class is above NMS_THRESH_TEST.
    cfg.MODEL.FCOS.TOPK_CANDIDATES_TEST = 1000
    cfg.MODEL.FCOS.NMS_THRESH_TEST = 0.6
    # --8<-- [end:fcos]


def _add_torchvision(cfg: CfgNode) -> None:
    # --8<-- [start:torchvision]
    # The trunk of the backbones build_torchvision_fpn_backbone and, with p6 and p7 made of res5,
    # build_retinanet_torchvision_fpn_backbone: a classification model of torchvision, by its name
    # there. With MODEL.WEIGHTS torchvision://mobilenet_v2/IMAGENET1K_V1 it begins with trained
    # weights, which torchvision downloads; or name a file of them. They are of RGB images:
    # INPUT.FORMAT RGB, PIXEL_MEAN [123.675, 116.28, 103.53], PIXEL_STD [58.395, 57.12, 57.375].
    cfg.MODEL.TORCHVISION = CfgNode()
    cfg.MODEL.TORCHVISION.NAME = "mobilenet_v2"
    # What becomes of its batch normalisation: "FrozenBN", fixed, for trained weights; "BN"; "GN".
    # MODEL.BACKBONE.FREEZE_AT counts as in detectron2's ResNet: 1 for all up to stride 2, 2 up to
    # stride 4, ... 5 for the whole trunk.
    cfg.MODEL.TORCHVISION.NORM = "FrozenBN"
    # --8<-- [end:torchvision]


def _add_training(cfg: CfgNode) -> None:
    # --8<-- [start:training]
    # Data sets to register, each [name, annotation file in COCO format, image folder], so that
    # DATASETS.TRAIN and DATASETS.TEST can name them.
    cfg.DATASETS.REGISTER = []

    # The project's trainer only: an evaluation also tells the share of the withheld objects of the
    # first training set that are found with a precision of 0.9, as "withheld/found" in 0..100. That
    # set must be a sparse version, made with --record-name, whose original lies beside it.
    cfg.TEST.FOUND = False

    # The project's trainer only: training images are also flipped top to bottom, half of the time.
    # For images without an up, such as aerial and microscopic ones.
    cfg.INPUT.VERTICAL_FLIP = False

    # The project's trainer only: in each process, that many training images may turn out unreadable
    # and are replaced by others, with a warning each; one more ends the training. At least 0.
    cfg.DATALOADER.MAX_UNREADABLE = 10
    # The project's trainer only: at least this share, in [0, 1), of the images seen is known
    # to be finished: these come more often for it; 0 for as often as the others.
    cfg.DATALOADER.FINISHED_SHARE = 0.0

    # The project's trainer only: of the periodic checkpoints, the newest are kept; 0 keeps all.
    cfg.SOLVER.CHECKPOINTS_TO_KEEP = 0
    # The project's trainer only. "SGD" or "AdamW".
    cfg.SOLVER.OPTIMIZER = "SGD"
    # The project's trainer only: the type of mixed precision if SOLVER.AMP.ENABLED. "float16" (GPU
    # only) or "bfloat16".
    cfg.SOLVER.AMP.DTYPE = "float16"
    # --8<-- [end:training]
