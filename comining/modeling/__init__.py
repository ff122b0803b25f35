"""Detectors trained by Co-mining, and the mechanism they share."""

from detectron2.utils.file_io import PathManager as _PathManager

from .adaptive import AdaptiveThresholds
from .background import Background, Level
from .comining import CoMining
from .export import ExportableDetector
from .fcos import AveragedFCOS, CoMiningFCOS
from .methods import (
    BRL,
    METHOD_REGISTRY,
    Adaptive,
    CalibratedTeacher,
    CoStudent,
    Ignoring,
    MeanTeacher,
    Method,
    Oracle,
    Published,
    S2Teacher,
    Step,
    Supervision,
    TwoViewsOnly,
)
from .predictions import Predictions
from .rcnn import CoMiningGeneralizedRCNN
from .retinanet import AveragedRetinaNet, CoMiningRetinaNet
from .teacher import Teacher
from .torchvision_backbone import TorchvisionTrunk
from .torchvision_weights import TorchvisionWeights as _TorchvisionWeights
from .two_view_detector import TwoViewDetector
from .view import SecondView

__all__ = [
    "BRL",
    "METHOD_REGISTRY",
    "Adaptive",
    "AdaptiveThresholds",
    "AveragedFCOS",
    "AveragedRetinaNet",
    "Background",
    "CalibratedTeacher",
    "CoMining",
    "CoMiningFCOS",
    "CoMiningGeneralizedRCNN",
    "CoMiningRetinaNet",
    "CoStudent",
    "ExportableDetector",
    "Ignoring",
    "Level",
    "MeanTeacher",
    "Method",
    "Oracle",
    "Predictions",
    "Published",
    "S2Teacher",
    "SecondView",
    "Step",
    "Supervision",
    "Teacher",
    "TorchvisionTrunk",
    "TwoViewDetector",
    "TwoViewsOnly",
]

_PathManager.register_handler(_TorchvisionWeights())
