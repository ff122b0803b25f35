"""The state of an optimizer, for a run that has other parameters or other groups of them."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from comining.errors import InputError

logger = logging.getLogger(__name__)


def describe_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Any]:
    """What tells whether its state fits another optimizer.

    Returns:
        ``kind``, the optimizer's class in ``torch.optim``, and ``parameters``, names in the order
        in which its ``state_dict`` numbers them.
    """
    # detectron2 derives a class from it where gradients are clipped.
    kinds = (x.__name__ for x in type(optimizer).__mro__ if x.__module__.startswith("torch.optim"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    numbered = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return {"kind": next(kinds), "parameters": [names[id(parameter)] for parameter in numbered]}


def load_optimizer(
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    saved: dict[str, Any],
    description: dict[str, Any] | None,
) -> None:
    """Restore an optimizer's state; the learning rates may be those of another group then.

    Args:
        optimizer: of ``model``; a schedule has noted its initial learning rates.
        model: of which parameters may be trained that the saved run left alone, or less of them.
        saved: a ``state_dict``.
        description: by `describe_optimizer`; None if it was not saved.

    Raises:
        InputError: without a description, there are other groups of parameters.
    """
    own = describe_optimizer(optimizer, model)
    groups = optimizer.state_dict()["param_groups"]
    sizes, saved_sizes = ([len(x["params"]) for x in y] for y in (groups, saved["param_groups"]))
    if description is None:
        if sizes != saved_sizes:
            raise InputError(
                "the checkpoint's optimizer has other groups of parameters, and the checkpoint "
                "does not name them: resume with the settings of SOLVER and FREEZE_AT that it was "
                "made with, or begin a new training with MODEL.WEIGHTS"
            )
    elif (own, sizes) != (description, saved_sizes):
        saved = _adapted(saved, description, own, groups)
    optimizer.load_state_dict(saved)


def _adapted(
    saved: dict[str, Any],
    description: dict[str, Any],
    own: dict[str, Any],
    groups: list[dict[str, Any]],
) -> dict[str, Any]:
    """``saved`` for other parameters and groups; another kind of optimizer starts anew."""
    of_name = {description["parameters"][i]: state for i, state in saved["state"].items()}
    if own["kind"] != description["kind"]:
        logger.warning(
            f"The checkpoint was made with {description['kind']}, this run has {own['kind']}: "
            "what it knows of the gradients starts anew."
        )
        of_name = {}
    # The schedule has come to the same share of the initial learning rate in every group.
    reached = max(saved["param_groups"], key=lambda group: group["initial_lr"])
    rates = {key: reached[key] for key in ("lr", "initial_lr")}
    return {
        "state": {i: of_name[x] for i, x in enumerate(own["parameters"]) if x in of_name},
        "param_groups": [{**group, **rates} for group in groups],
    }
