"""Co-mining for sparsely annotated object detection, an extension of detectron2.

Importing the package registers its detectors and data sets with detectron2 and does nothing else.
"""

from .config import add_comining_config
from .data import register_coco
from .modeling import CoMining, CoMiningFCOS, CoMiningRetinaNet

__version__ = "0.1.0"

__all__ = [
    "CoMining",
    "CoMiningFCOS",
    "CoMiningRetinaNet",
    "add_comining_config",
    "register_coco",
]
