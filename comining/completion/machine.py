"""What a training runs on, and what it begins with."""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch

from comining.engine.setup import weights_file

COCO_WEIGHTS = "detectron2://COCO-Detection/retinanet_R_50_FPN_3x/190397829/model_final_5bd44e.pkl"

logger = logging.getLogger(__name__)


class Machine(NamedTuple):
    """A device and the number of processes on it.

    Attributes:
        device: as torch names it.
        num_processes: one for each GPU; one on a CPU.
        weights: of a detector that the training begins with; "" for none.
    """

    device: str
    num_processes: int
    weights: str = ""

    @property
    def kind(self) -> str:
        return torch.device(self.device).type

    @property
    def is_gpu(self) -> bool:
        return self.kind == "cuda"

    @property
    def base(self) -> str:
        """The name of the config that a plan starts from."""
        return "Base-CoMining-RetinaNet" if self.weights else "Base-Small"


def this_machine(device: str | None = None) -> Machine:
    """The GPUs of this machine if it has any, else its CPU; or the device that is asked for."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    every_gpu = device == "cuda"
    return Machine(device, torch.cuda.device_count() if every_gpu else 1)


def with_weights(machine: Machine) -> Machine:
    """Add the weights that fit a machine, if they can be had: on a GPU, COCO's.

    They are downloaded, once.
    """
    if not machine.is_gpu:
        return machine
    try:
        weights_file(COCO_WEIGHTS)
    except (OSError, RuntimeError) as error:
        logger.warning(f"{COCO_WEIGHTS} can't be downloaded ({error})")
        return machine
    return machine._replace(weights=COCO_WEIGHTS)
