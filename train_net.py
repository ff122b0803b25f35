#!/usr/bin/env python
"""Train or evaluate a detector on sparsely annotated images.

python train_net.py --config-file configs/miss50p_R101.yaml --num-gpus 8
python train_net.py --config-file configs/miss50p_R101.yaml --eval-only MODEL.WEIGHTS model.pth
"""

import argparse
import sys
from typing import Any

from detectron2.engine import default_argument_parser

import comining  # noqa: F401  registers the detectors and data sets
from comining.engine import Checkpointer, Trainer, launch, setup
from comining.errors import InputError


def main(args: argparse.Namespace) -> Any:
    cfg = setup(args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        checkpointer = Checkpointer(model, cfg.OUTPUT_DIR)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        return Trainer.test(cfg, model)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    try:
        launch(main, default_argument_parser().parse_args())
    except (InputError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
