#!/usr/bin/env python
"""Train or evaluate a detector on sparsely annotated images.

python train_net.py --config-file configs/miss50p_R101.yaml --num-gpus 8
python train_net.py --config-file configs/miss50p_R101.yaml --eval-only MODEL.WEIGHTS model.pth
"""

import argparse
import sys
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import default_argument_parser, launch

import comining  # noqa: F401  registers the detectors and data sets
from comining.engine import Trainer, check_gpus, setup
from comining.errors import InputError


def main(args: argparse.Namespace) -> Any:
    cfg = setup(args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        checkpointer = DetectionCheckpointer(model, cfg.OUTPUT_DIR)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        return Trainer.test(cfg, model)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    try:
        launch(
            main,
            check_gpus(args.num_gpus, args.num_machines),
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except InputError as error:
        sys.exit(f"error: {error}")
