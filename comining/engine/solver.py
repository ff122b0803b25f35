"""What ``SOLVER`` says of the optimizer and of mixed precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2 import solver
from detectron2.config import CfgNode
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from torch import nn

from comining.errors import InputError

AMP_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a model's parameters that ``SOLVER.OPTIMIZER`` names.

    Raises:
        InputError: it is not known.
    """
    if cfg.SOLVER.OPTIMIZER == "SGD":
        return solver.build_optimizer(cfg, model)
    if cfg.SOLVER.OPTIMIZER == "AdamW":
        parameters = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay=cfg.SOLVER.WEIGHT_DECAY,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
        )
        return maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(
            parameters, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY
        )
    raise InputError(f"SOLVER.OPTIMIZER is {cfg.SOLVER.OPTIMIZER!r}; it must be 'SGD' or 'AdamW'")


def amp_dtype(cfg: CfgNode) -> torch.dtype | None:
    """The type of mixed precision; None for full precision.

    Raises:
        InputError: it is not known, or the device can't compute with it.
    """
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    name = cfg.SOLVER.AMP.DTYPE
    if name not in AMP_DTYPES:
        raise InputError(f"SOLVER.AMP.DTYPE is {name!r}; it must be one of {', '.join(AMP_DTYPES)}")
    if name == "float16" and torch.device(cfg.MODEL.DEVICE).type == "cpu":
        raise InputError("SOLVER.AMP.DTYPE float16 needs a GPU; use bfloat16 on the CPU")
    return AMP_DTYPES[name]


@contextmanager
def solver_errors() -> Iterator[None]:
    """What detectron2 and fvcore refuse in ``SOLVER``, as an error in what the user supplied."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, AssertionError) as error:
        raise InputError(f"the settings of SOLVER can't be used: {error}") from error
