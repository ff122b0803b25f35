"""What a training runs on, and what it begins with."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import torch
import torchvision

from comining.engine import load_config
from comining.engine.device import check_device
from comining.engine.setup import check_weights, weights_file
from comining.engine.weight_formats import TRUNK, read_weights, strip_prefixes
from comining.errors import InputError

TRUNK_WEIGHTS = "torchvision://mobilenet_v2/IMAGENET1K_V1"
TRUNK_URL = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.url
COCO_WEIGHTS = "detectron2://COCO-Detection/retinanet_R_50_FPN_3x/190397829/model_final_5bd44e.pkl"

logger = logging.getLogger(__name__)


class Machine(NamedTuple):
    """A device and the number of processes on it.

    Attributes:
        device: as torch names it.
        num_processes: one for each GPU; one on a CPU.
        weights: of a detector that the training begins with; "" for none.
        trunk: weights of MobileNetV2, as torchvision names them, that it begins with else; "" for
            none.
    """

    device: str
    num_processes: int
    weights: str = ""
    trunk: str = ""

    @property
    def kind(self) -> str:
        return torch.device(self.device).type

    @property
    def is_gpu(self) -> bool:
        return self.kind == "cuda"

    @property
    def base(self) -> str:
        """The name of the config that a plan starts from."""
        if self.weights:
            return "Base-CoMining-RetinaNet"
        return "Base-SmallTrunk" if self.trunk else "Base-SmallData"

    @property
    def begins(self) -> str:
        """With what a training begins, in words."""
        if self.weights:
            return "with a RetinaNet trained on COCO"
        if self.trunk == TRUNK_WEIGHTS:
            return f"with a MobileNetV2 trained on ImageNet ({self.trunk})"
        if self.trunk:
            return f"with the MobileNetV2 of {self.trunk}"
        return "from scratch"


def this_machine(device: str | None = None) -> Machine:
    """The GPUs of this machine if it has any, else its CPU; or the device that is asked for.

    Raises:
        InputError: that is not there.
    """
    check_device(device)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    every_gpu = device == "cuda"
    return Machine(device, torch.cuda.device_count() if every_gpu else 1)


def with_weights(machine: Machine, given: str | None = None) -> Machine:
    """Add the weights that fit a machine, if they can be had.

    They are downloaded, once: on a GPU those of a detector trained on COCO, else those of a trunk
    trained on ImageNet.

    Args:
        machine: has none.
        given: the trunk's weights, as `checked_trunk` returns them, or "" to begin from scratch;
            None for those that can be downloaded.
    """
    if given is not None:
        return machine._replace(trunk=given)
    if machine.is_gpu and _can_be_had(COCO_WEIGHTS):
        return machine._replace(weights=COCO_WEIGHTS)
    return machine._replace(trunk=TRUNK_WEIGHTS) if _can_be_had(TRUNK_WEIGHTS) else machine


def checked_trunk(weights: str) -> str:
    """How a config names weights that a user gives, wherever it is used.

    Args:
        weights: a path or an address.

    Raises:
        InputError: they can't be had, or aren't a MobileNetV2's.
    """
    check_weights(weights)
    file = weights_file(weights)
    theirs = read_weights(str(file))["model"]
    with torch.device("meta"):
        wanted = torchvision.models.mobilenet_v2().features.state_dict(prefix="features.")
    strip_prefixes(theirs, {*wanted, *(TRUNK + name for name in wanted)})
    for name, value in wanted.items():
        # Of a detector, such as an earlier completion's, the trunk is taken.
        found = theirs.get(name, theirs.get(TRUNK + name))
        if (found is None or found.shape != value.shape) and value.dim():
            raise InputError(
                f"--weights {weights} is not of a MobileNetV2 as torchvision names it: {name} "
                f"{'is missing' if found is None else 'has another shape'}"
            )
    return weights if "://" in weights else str(file.resolve())


def check_planned(config: Path, weights: str | None) -> None:
    """Check that a plan begins with what a user gives: other weights need other settings, too.

    Args:
        config: file of the plan.
        weights: as `checked_trunk` returns them, or ""; None for what is planned.

    Raises:
        InputError: it begins with something else.
    """
    planned = load_config(str(config)).MODEL.WEIGHTS
    if weights not in (None, planned):
        raise InputError(
            f"--weights: the plan {config} begins with {planned or 'none'}. Leave --weights out "
            "or remove that file, to have another plan"
        )


def _can_be_had(weights: str) -> bool:
    try:
        weights_file(weights)
    except (OSError, RuntimeError) as error:
        logger.warning(f"{weights} can't be downloaded ({error})")
        return False
    return True
