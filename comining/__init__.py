"""Co-mining for sparsely annotated object detection, an extension of detectron2.

Importing the package registers its detectors and data sets with detectron2 and does nothing else.
"""

import warnings

with warnings.catch_warnings():
    # What torch says of detectron2's code, while that is imported: no user can act on it.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is", FutureWarning, r"torch\.jit")

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
