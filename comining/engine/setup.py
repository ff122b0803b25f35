"""From the command line to a checked configuration."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_setup

from comining.config import add_comining_config
from comining.data import check_datasets, register_from_config
from comining.errors import InputError


def setup(args: argparse.Namespace) -> CfgNode:
    """Load, complete, check and log the configuration of a run.

    Args:
        args: of detectron2's ``default_argument_parser``.

    Returns:
        The frozen config; on a machine without a GPU, for the CPU.

    Raises:
        InputError: a file is missing, a key unknown, a value illegal.
    """
    cfg = load_config(args.config_file, args.opts)
    on_cpu = cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available()
    if on_cpu:
        cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    register_from_config(cfg)
    check_datasets([*(() if args.eval_only else cfg.DATASETS.TRAIN), *cfg.DATASETS.TEST])
    check_weights(cfg.MODEL.WEIGHTS, args.config_file)
    default_setup(cfg, args)
    if on_cpu:
        logging.getLogger(__name__).info("No GPU is available: running on the CPU.")
    return cfg


def load_config(config_file: str, overrides: list[str] | None = None) -> CfgNode:
    """detectron2's and the project's defaults, then a YAML file, then overrides.

    Args:
        config_file: path of a YAML file, read without executing anything in it; "" for none.
        overrides: ``KEY VALUE`` pairs, flat.

    Raises:
        InputError: the file is missing or no YAML, a key unknown, a value of the wrong type.
    """
    cfg = get_cfg()
    add_comining_config(cfg)
    try:
        if config_file:
            cfg.merge_from_file(config_file, allow_unsafe=False)
    except FileNotFoundError as error:
        raise InputError(f"config file {error.filename} does not exist") from error
    except (KeyError, ValueError, AssertionError, yaml.YAMLError) as error:
        raise InputError(f"config file {config_file}: {_text(error)}") from error
    try:
        cfg.merge_from_list(overrides or [])
    except (KeyError, ValueError, AssertionError) as error:
        raise InputError(f"command line: {_text(error)}") from error
    return cfg


def check_gpus(wanted: int) -> int:
    """The number of GPUs to use on this machine.

    Args:
        wanted: what the user asked for.

    Returns:
        ``wanted``, or 0 if that is 1 and there is none.

    Raises:
        InputError: more than one is wanted, and there are fewer.
    """
    present = torch.cuda.device_count()
    if wanted > max(present, 1):
        raise InputError(f"--num-gpus {wanted}, but this machine has {present}")
    return min(wanted, present)


def check_weights(weights: str, config_file: str) -> None:
    """Check that a local weights file exists; addresses such as ``detectron2://`` are let pass.

    Raises:
        InputError: it does not.
    """
    if weights and "://" not in weights and not Path(weights).is_file():
        raise InputError(
            f"the weights file {weights} does not exist: set MODEL.WEIGHTS in "
            f"{config_file or 'the config'} or on the command line, '' to train from scratch"
        )


def _text(error: Exception) -> str:
    # A KeyError's str() is its message's repr.
    return str(error.args[0]) if error.args else type(error).__name__
