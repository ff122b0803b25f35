"""Training and evaluation.

What it imports registers the package's detectors and data sets with detectron2.
"""

from .checkpoint import Checkpointer
from .exporting import export
from .launch import launch
from .lazy import lazy_keys, load_lazy_config, setup_lazy
from .setup import load_config, setup
from .trainer import Trainer

__all__ = [
    "Checkpointer",
    "Trainer",
    "export",
    "launch",
    "lazy_keys",
    "load_config",
    "load_lazy_config",
    "setup",
    "setup_lazy",
]
