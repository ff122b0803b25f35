"""Detectors trained by Co-mining, and the mechanism they share."""

from .adaptive import AdaptiveThresholds
from .comining import CoMining
from .export import ExportableDetector
from .fcos import CoMiningFCOS
from .methods import (
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
    "METHOD_REGISTRY",
    "Adaptive",
    "AdaptiveThresholds",
    "CoMining",
    "CoMiningFCOS",
    "CoMiningRetinaNet",
    "ExportableDetector",
    "Ignoring",
    "Method",
    "Published",
    "SecondView",
    "Step",
    "Supervision",
    "TwoViewsOnly",
]
