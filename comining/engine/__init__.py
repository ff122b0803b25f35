"""Training and evaluation."""

from .setup import check_gpus, load_config, setup
from .trainer import Trainer

__all__ = ["Trainer", "check_gpus", "load_config", "setup"]
