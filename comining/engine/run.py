"""Training or evaluating what a config describes: ``train_net.py`` and ``comining train``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from comining.config_files import find_config
from comining.errors import InputError

from .checkpoint import Checkpointer
from .launch import exit_code, launch
from .lazy import LazyTrainer, lazy_keys, setup_lazy
from .progress import Progress, Tell
from .quiet import quiet_terminal
from .setup import setup
from .trainer import Trainer
from .weight_formats import compare_images


def main(args: argparse.Namespace) -> Any:
    """Train or evaluate, in each of a run's processes.

    Args:
        args: of detectron2's ``default_argument_parser``.

    Returns:
        The results of the evaluation, if there was one.

    Raises:
        InputError: what the user supplied can't be used.
    """
    if args.config_file.endswith(".py"):
        with lazy_keys():
            return _run(*setup_lazy(args), args)
    return _run(setup(args), Trainer, args)


def quiet_main(args: argparse.Namespace) -> Any:
    """As `main`, with a progress bar and warnings in place of the log, which is in
    ``OUTPUT_DIR/log.txt``.
    """
    stage = "evaluating" if args.eval_only else "training"
    progress = Progress({stage: 60.0}, quiet=args.quiet or not comm.is_main_process())
    try:
        with quiet_terminal(tell=progress.note):
            progress.at(stage, 0)
            return _run(setup(args), Trainer, args, lambda share: progress.at(stage, share))
    finally:
        progress.close()


def _run(
    cfg: CfgNode,
    trainer_class: type[Trainer],
    args: argparse.Namespace,
    tell: Callable[[float], None] | None = None,
) -> Any:
    if args.eval_only:
        model = trainer_class.build_model(cfg)
        trainer_class.check_num_classes(cfg, cfg.DATASETS.TEST)
        checkpointer = Checkpointer(model, cfg.OUTPUT_DIR, whole=True)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        return trainer_class.test(cfg, model)
    trainer = trainer_class(cfg)
    trainer.resume_or_load(resume=args.resume)
    # A Lazy config tells elsewhere what its images are like.
    if trainer.checkpointer.has_classifier and not issubclass(trainer_class, LazyTrainer):
        compare_images(cfg)
    if tell is not None and comm.is_main_process():
        trainer.register_hooks([Tell(tell)])
    return trainer.train()


def command(description: str | None = None) -> None:
    """Do what the command line says. Scripts that register more detectors call this, too.

    Args:
        description: for ``--help``.
    """
    try:
        args = default_argument_parser(epilog=description).parse_args()
        if args.config_file and not PathManager.isfile(args.config_file):
            args.config_file = find_config(args.config_file)
        launch(main, args)
    except (InputError, FloatingPointError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    command(__doc__)
