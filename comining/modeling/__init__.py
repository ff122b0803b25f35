"""Detectors trained by Co-mining, and the mechanism they share."""

from .adaptive import AdaptiveThresholds
from .background import Background, Level
from .comining import CoMining
from .export import ExportableDetector
from .fcos import CoMiningFCOS
from .methods import (
    BRL,
    METHOD_REGISTRY,
    Adaptive,
    Ignoring,
    Method,
    Published,
    Step,
    Supervision,
    TwoViewsOnly,
)
from .retinanet import CoMiningRetinaNet
from .view import SecondView

__all__ = [
    "BRL",
    "METHOD_REGISTRY",
    "Adaptive",
    "AdaptiveThresholds",
    "Background",
    "CoMining",
    "CoMiningFCOS",
    "CoMiningRetinaNet",
    "ExportableDetector",
    "Ignoring",
    "Level",
    "Method",
    "Published",
    "SecondView",
    "Step",
    "Supervision",
    "TwoViewsOnly",
]
