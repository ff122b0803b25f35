"""Detectors trained by Co-mining, and the mechanism they share."""

from .adaptive import AdaptiveThresholds
from .comining import CoMining
from .export import ExportableDetector
from .fcos import CoMiningFCOS
from .retinanet import CoMiningRetinaNet
from .view import SecondView

__all__ = [
    "AdaptiveThresholds",
    "CoMining",
    "CoMiningFCOS",
    "CoMiningRetinaNet",
    "ExportableDetector",
    "SecondView",
]
