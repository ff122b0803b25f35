#!/usr/bin/env python
"""Train or evaluate a detector on sparsely annotated images.

python train_net.py --config-file configs/miss50p_R101.yaml --num-gpus 8
python train_net.py --config-file configs/miss50p_R101.yaml --eval-only MODEL.WEIGHTS model.pth
python train_net.py --config-file configs/lazy/hard_R50.py --num-gpus 8 train.seed=1

A YAML config is data. One that ends in .py is a detectron2 Lazy config: a Python program, which is
run. Run none that you would not run otherwise.
"""

import comining  # noqa: F401  registers detectors; first, to import detectron2 quietly

# isort: split
import argparse
import sys
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser

from comining.engine import Checkpointer, Trainer, launch, lazy_keys, setup, setup_lazy
from comining.errors import InputError


def main(args: argparse.Namespace) -> Any:
    if args.config_file.endswith(".py"):
        with lazy_keys():
            return run(*setup_lazy(args), args)
    return run(setup(args), Trainer, args)


def run(cfg: CfgNode, trainer_class: type[Trainer], args: argparse.Namespace) -> Any:
    if args.eval_only:
        model = trainer_class.build_model(cfg)
        trainer_class.check_num_classes(cfg, cfg.DATASETS.TEST)
        checkpointer = Checkpointer(model, cfg.OUTPUT_DIR, whole=True)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        return trainer_class.test(cfg, model)
    trainer = trainer_class(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


def command() -> None:
    """Do what the command line says. Scripts that register more detectors call this, too."""
    try:
        launch(main, default_argument_parser(epilog=__doc__).parse_args())
    except (InputError, FloatingPointError, TimeoutError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    command()
