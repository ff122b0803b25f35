"""Co-mining for sparsely annotated object detection, an extension of detectron2.

Importing the package registers its detectors and data sets with detectron2 and does nothing else.
"""

import importlib as _importlib
import os as _os
import sys as _sys
import warnings as _warnings
from contextlib import suppress as _suppress
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
    from .completion.complete import Completion, complete
    from .config import add_comining_config
    from .data import register_coco
    from .modeling import CoMining, CoMiningFCOS, CoMiningGeneralizedRCNN, CoMiningRetinaNet

__version__ = "0.1.0"

__all__ = [
    "CoMining",
    "CoMiningFCOS",
    "CoMiningGeneralizedRCNN",
    "CoMiningRetinaNet",
    "Completion",
    "add_comining_config",
    "complete",
    "register_coco",
]
#: Where the names are that are not in `modeling`.
_PLACES = {
    "Completion": "completion.complete",
    "add_comining_config": "config",
    "complete": "completion.complete",
    "register_coco": "data",
}


def _is_command() -> bool:
    """Whether this process is the command ``comining``, not one that imports the package.

    Its commands import what they need: many need no torch, which takes seconds to import. All that
    builds a detector goes by `comining.engine`, which registers the same.
    """
    program = _sys.argv[0] if _sys.argv else ""
    if program == "-m":  # as it is while Python looks for the module to run
        return ("-m", "comining") in zip(_sys.orig_argv, _sys.orig_argv[1:], strict=False)
    # A process that the command spawns is named like it, but was started otherwise.
    return _os.path.basename(program) == "comining" and program in _sys.orig_argv


def __getattr__(name: str) -> _Any:
    if name not in __all__:
        raise AttributeError(f"module 'comining' has no attribute {name!r}")
    try:
        place = _importlib.import_module(f"comining.{_PLACES.get(name, 'modeling')}")
    except ImportError as error:
        raise ImportError(
            f"comining.{name} needs detectron2, which can't be imported ({error}): "
            "`comining install-detectron2` installs it"
        ) from error
    return getattr(place, name)


if not _is_command():
    # Without detectron2 there is nothing to register with; `__getattr__` tells who needs it.
    with _warnings.catch_warnings(), _suppress(ImportError):
        # What torch says of detectron2's code, while that is imported: no user can act on it.
        _warnings.filterwarnings("ignore", r"`torch\.jit\.script` is", FutureWarning, r"torch\.jit")
        _importlib.import_module("comining.modeling")
        _importlib.import_module("comining.data")
