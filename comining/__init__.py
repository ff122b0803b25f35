"""Co-mining for sparsely annotated object detection, an extension of detectron2.

Importing the package registers its detectors and data sets with detectron2 and does nothing else.
"""

import os as _os
import warnings as _warnings
from typing import Any as _Any

__version__ = "0.1.0"

__all__ = [
    "CoMining",
    "CoMiningFCOS",
    "CoMiningGeneralizedRCNN",
    "CoMiningRetinaNet",
    "add_comining_config",
    "complete",
    "register_coco",
]

_missing: ImportError | None = None
# A shell that completes a command asks for its words alone, and at once.
if "_COMINING_COMPLETE" not in _os.environ:
    try:
        with _warnings.catch_warnings():
            # What torch says of detectron2's code, while that is imported: no user can act on it.
            _warnings.filterwarnings(
                "ignore", r"`torch\.jit\.script` is", FutureWarning, r"torch\.jit"
            )
            from .config import add_comining_config
            from .data import register_coco
            from .modeling import (
                CoMining,
                CoMiningFCOS,
                CoMiningGeneralizedRCNN,
                CoMiningRetinaNet,
            )
    except ImportError as error:
        # Commands that need no detectron2 work without it, among them the one that installs it.
        _missing = error


def __getattr__(name: str) -> _Any:
    if name == "complete" and _missing is None:
        from .completion import complete  # only where it is asked for: it imports much

        return complete
    if name in __all__:
        raise ImportError(
            f"comining.{name} needs detectron2, which can't be imported ({_missing}): "
            "`comining install-detectron2` installs it"
        ) from _missing
    raise AttributeError(f"module 'comining' has no attribute {name!r}")
