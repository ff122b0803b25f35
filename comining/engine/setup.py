"""From the command line to a checked configuration."""

from __future__ import annotations

import argparse
import logging
import socket
from pathlib import Path

import torch
import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger

from comining.config import add_comining_config
from comining.config_files import config_folder
from comining.data import check_datasets, register_from_config
from comining.errors import InputError

from .checkpoint import are_disowned, disown_checkpoints, last_checkpoint, saved_seed
from .config_keys import config_error
from .launch import is_on_several_machines, may_be_restarted, was_restarted
from .lenient_config import LenientConfig

#: Seconds that a server of weights may say nothing.
PATIENCE = 30.0


def setup(args: argparse.Namespace) -> CfgNode:
    """Load, complete, check and log the configuration of a run.

    Args:
        args: of detectron2's ``default_argument_parser``.

    Returns:
        The frozen config; on a machine without a GPU, for the CPU; with a seed.

    Raises:
        InputError: a file is missing, a key unknown, a value illegal.
    """
    cfg = load_config(args.config_file, args.opts)
    check_named(cfg, "TEST" if args.eval_only else "TRAIN", args.config_file)
    complete(cfg, args)
    default_setup(cfg, args)
    return cfg


def complete(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Register and check a run's data sets, check its weights, choose device and seed; freeze.

    Raises:
        InputError: a file is missing, or a value illegal.
    """
    on_cpu = cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available()
    if on_cpu:
        cfg.MODEL.DEVICE = "cpu"
    elif cfg.MODEL.DEVICE == "cpu" and torch.cuda.is_available() and comm.get_world_size() > 1:
        raise InputError(
            "MODEL.DEVICE is cpu, but on this machine several processes communicate over its GPUs: "
            "hide them (CUDA_VISIBLE_DEVICES= in the environment) or run one process"
        )
    check_data(cfg, args.eval_only)
    if not args.eval_only and cfg.SOLVER.MAX_ITER < 1:
        raise InputError(f"SOLVER.MAX_ITER is {cfg.SOLVER.MAX_ITER}; it must be at least 1")
    if not args.eval_only and cfg.SOLVER.CHECKPOINT_PERIOD < 1:
        raise InputError(
            f"SOLVER.CHECKPOINT_PERIOD is {cfg.SOLVER.CHECKPOINT_PERIOD}; it must be at least 1"
        )
    _make_folder(cfg.OUTPUT_DIR)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="comining")
    logger = logging.getLogger(__name__)
    if on_cpu:
        logger.info("No GPU is available: running on the CPU.")
    if not (args.resume or args.eval_only) and last_checkpoint(cfg.OUTPUT_DIR):
        advice = "give --resume to go on from those, or another output folder"
        if is_on_several_machines():
            # They may be this training's own: such a restart can't be told from a beginning.
            raise InputError(f"{cfg.OUTPUT_DIR} holds checkpoints: {advice}")
        if may_be_restarted():
            # A restart, which resumes by itself, must not take them for those of this training.
            if comm.is_main_process():
                disown_checkpoints(cfg.OUTPUT_DIR)
            advice = f"remove the file last_checkpoint there and {advice}"
        logger.warning(
            f"{cfg.OUTPUT_DIR} holds the checkpoints of another training, which this one will "
            f"overwrite: stop it and {advice}"
        )
    checkpoint = _common_checkpoint(cfg.OUTPUT_DIR) if args.resume else None
    if args.resume and not was_restarted() and are_disowned(cfg.OUTPUT_DIR):
        raise InputError(
            f"{cfg.OUTPUT_DIR} holds the checkpoints of a training, and the last run there was to "
            "begin anew, without --resume, but saved none. To go on from them, remove the file "
            "last_checkpoint there; else name another output folder"
        )
    if checkpoint is None:
        check_weights(cfg.MODEL.WEIGHTS, args.config_file)
    if cfg.SEED < 0:
        # A run without a seed is given one, which it keeps when it is resumed.
        seed = saved_seed(checkpoint) if checkpoint else None
        cfg.SEED = comm.shared_random_seed() if seed is None else seed
    cfg.freeze()


def _make_folder(path: str) -> None:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"OUTPUT_DIR {path} can't be made: {error.strerror}") from error


def _common_checkpoint(folder: str) -> Path | None:
    """The checkpoint to go on from, if there is one.

    Raises:
        InputError: the processes of a run don't see the same one.
    """
    checkpoint = last_checkpoint(folder)
    seen = comm.all_gather(checkpoint and checkpoint.name)
    if len(set(seen)) > 1:
        raise InputError(
            f"the processes see different last checkpoints in {folder}: "
            f"{', '.join(map(str, seen))}. It must be a folder that all machines share; if it is, "
            "try again when they see the same files"
        )
    return checkpoint


def load_config(config_file: str, overrides: list[str] | None = None) -> CfgNode:
    """detectron2's and the project's defaults, then a YAML file, then overrides.

    Args:
        config_file: path of a YAML file, read without executing anything in it; "" for none.
        overrides: ``KEY VALUE`` pairs, flat.

    Raises:
        InputError: the file is missing or no YAML, a key unknown, a value of the wrong type.
    """
    if config_file.endswith(".py"):
        raise InputError(
            f"config file {config_file} is a Lazy config, which train_net.py alone takes: name a "
            "YAML one"
        )
    defaults = get_cfg()
    add_comining_config(defaults)
    cfg = LenientConfig(defaults)
    try:
        if config_file:
            cfg.merge_from_file(config_file, allow_unsafe=False)
    except FileNotFoundError as error:
        of_package = config_folder() / Path(error.filename).name
        hint = f": the package has {of_package}" if of_package.is_file() else ""
        raise InputError(f"config file {error.filename} does not exist{hint}") from error
    except (KeyError, ValueError, AssertionError, yaml.YAMLError) as error:
        raise InputError(f"config file {config_file}: {config_error(error, cfg)}") from error
    except RecursionError as error:
        raise InputError(f"config file {config_file}: its _BASE_ files name each other") from error
    except (AttributeError, TypeError) as error:
        raise InputError(f"config file {config_file} must consist of KEY: value lines") from error
    try:
        cfg.merge_from_list(overrides or [])
    except (KeyError, ValueError, AssertionError) as error:
        raise InputError(f"command line: {config_error(error, cfg)}") from error
    except (AttributeError, TypeError) as error:
        keys = ", ".join(map(str, (overrides or [])[::2]))
        raise InputError(f"command line: a key goes on below a value: {keys}") from error
    return CfgNode(cfg)  # yacs merges nodes of the very same type alone


def check_data(cfg: CfgNode, eval_only: bool) -> None:
    """Register a run's data sets, and check that they are in place.

    Raises:
        InputError: one is not.
    """
    register_from_config(cfg)
    names = {*cfg.DATASETS.TEST, *(() if eval_only else cfg.DATASETS.TRAIN)}
    if cfg.TEST.FOUND:
        names.update(cfg.DATASETS.TRAIN[:1])  # is evaluated, too
    check_datasets(sorted(names))


def check_named(cfg: CfgNode, key: str, config_file: str) -> None:
    """Check that ``cfg.DATASETS`` names a data set under ``key``.

    Raises:
        InputError: it does not.
    """
    if not cfg.DATASETS[key]:
        raise InputError(
            f"DATASETS.{key} names no data set: set it in {config_file or 'a config file'} "
            "or on the command line"
        )


def weights_file(weights: str) -> Path:
    """Where a weights file lies; an address such as ``detectron2://`` is downloaded, once.

    Raises:
        OSError, RuntimeError: it can't be, or the server is silent for `PATIENCE` seconds.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # else urllib waits forever
    try:
        # detectron2 takes "?matching_heuristics=True" and the like after a name.
        return Path(PathManager.get_local_path(weights.partition("?")[0]))
    finally:
        socket.setdefaulttimeout(before)


def check_weights(weights: str, config_file: str | None = None) -> None:
    """Check that a weights file exists, if one is named; an address is downloaded.

    Args:
        weights: a path or an address.
        config_file: where MODEL.WEIGHTS names it, "" for a config that is not told; None if
            --weights names it.

    Raises:
        InputError: it does not, or can't be downloaded.
    """
    where = f"in {config_file or 'a config file'} or on the command line ('' for random ones)"
    by_option = config_file is None
    try:
        path = weights_file(weights) if weights else None
    except (OSError, RuntimeError) as error:
        advice = (
            "name it with --weights" if by_option else f"set MODEL.WEIGHTS to its path, {where}"
        )
        raise InputError(
            f"the weights {weights} can't be downloaded ({error}): fetch the file by other means "
            f"and {advice}"
        ) from error
    if path is not None and not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        advice = "name another with --weights" if by_option else f"set MODEL.WEIGHTS {where}"
        raise InputError(f"the weights file {weights} {problem}: {advice}")
