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
    Ignoring,
    MeanTeacher,
    Method,
    Published,
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
    "CoMining",
    "CoMiningFCOS",
    "CoMiningGeneralizedRCNN",
    "CoMiningRetinaNet",
    "ExportableDetector",
    "Ignoring",
    "Level",
    "MeanTeacher",
    "Method",
    "Predictions",
    "Published",
    "SecondView",
    "Step",
    "Supervision",
    "Teacher",
    "TorchvisionTrunk",
    "TwoViewDetector",
    "TwoViewsOnly",
]

_PathManager.register_handler(_TorchvisionWeights())
