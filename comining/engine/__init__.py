"""Training and evaluation."""

from .checkpoint import Checkpointer
from .launch import launch
from .setup import load_config, setup
from .trainer import Trainer

__all__ = ["Checkpointer", "Trainer", "launch", "load_config", "setup"]
