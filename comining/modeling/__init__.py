"""Detectors trained by Co-mining, and the mechanism they share."""

from .comining import CoMining
from .retinanet import CoMiningRetinaNet
from .view import SecondView

__all__ = ["CoMining", "CoMiningRetinaNet", "SecondView"]
