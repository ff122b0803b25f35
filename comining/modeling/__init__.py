"""Detectors trained by Co-mining, and the mechanism they share."""

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
    S2Teacher,
    Step,
    Supervision,
    TwoViewsOnly,
)
from .predictions import Predictions
from .retinanet import AveragedRetinaNet, CoMiningRetinaNet
from .teacher import Teacher
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
    "CoMiningRetinaNet",
    "ExportableDetector",
    "Ignoring",
    "Level",
    "MeanTeacher",
    "Method",
    "Predictions",
    "Published",
    "S2Teacher",
    "SecondView",
    "Step",
    "Supervision",
    "Teacher",
    "TwoViewsOnly",
]
