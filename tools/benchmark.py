#!/usr/bin/env python
"""Measure the project against its references, both sides in one run, and print ratios.

python tools/benchmark.py step      a training step, against detectron2's detector on 2N images
python tools/benchmark.py known     the same with what is known of the images, against nothing known
python tools/benchmark.py methods   a training step of each method, against the plain detector's
python tools/benchmark.py amp       losses and mined labels in bfloat16, against float32
python tools/benchmark.py view      the second view, against torchvision's ColorJitter on PIL images
python tools/benchmark.py loader    the project's train loader, against detectron2's
python tools/benchmark.py startup   reading a data set of COCO's size, against detectron2
python tools/benchmark.py eval      COCO metrics, against pycocotools
"""

from __future__ import annotations

import argparse

import torch
from benchmarks.amp import benchmark_amp
from benchmarks.data import FULL_CONFIGS
from benchmarks.evaluation import benchmark_eval
from benchmarks.known import benchmark_known
from benchmarks.loader import benchmark_loader
from benchmarks.methods import benchmark_methods
from benchmarks.startup import benchmark_startup
from benchmarks.step import LAYOUTS, benchmark_step
from benchmarks.view import benchmark_view


def _size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="threads on the CPU")
    parser.add_argument("--repeats", type=int, default=7, help="of which the median is printed")
    what = parser.add_subparsers(dest="what", required=True)

    sizes = argparse.ArgumentParser(add_help=False)
    sizes.add_argument("--sizes", type=_size, nargs="+", default=[(512, 640), (800, 1216)],
                       metavar="HxW", help="image sizes in pixels")  # fmt: skip

    step = what.add_parser("step", parents=[sizes])
    step.add_argument("--detector", choices=FULL_CONFIGS, default="RetinaNet")
    step.add_argument("--threshold", choices=("fixed", "adaptive"), default="fixed")
    step.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4], help="images N")
    step.add_argument("--classes", type=int, nargs="+", default=[80], help="number of classes")
    step.add_argument("--confident", type=int, nargs="+", default=[50],
                      help="(anchor, class) pairs per image that mining finds")  # fmt: skip
    step.add_argument("--layout", choices=LAYOUTS, default="plain", help="of both sides")

    known = what.add_parser("known", parents=[sizes])
    known.add_argument("--detector", choices=FULL_CONFIGS, default="RetinaNet")
    known.add_argument("--images", type=int, default=2, help="images N")
    known.add_argument("--classes", type=int, default=80, help="number of classes")

    methods = what.add_parser("methods")
    methods.add_argument("--study", default="configs/studies/methods.yaml")
    methods.add_argument("--edge", type=int, default=96, help="of the images, in pixels")
    methods.add_argument("--images", type=int, default=8, help="of a batch")

    amp = what.add_parser("amp")
    amp.add_argument("--config-file", required=True)
    amp.add_argument("--weights", required=True, help="of a trained model")
    amp.add_argument("--batches", type=int, default=20, help="how many to compare")

    what.add_parser("view", parents=[sizes])
    what.add_parser("loader")

    for name, images in (("startup", 118_000), ("eval", 5000)):
        what.add_parser(name).add_argument("--images", type=int, default=images)

    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.what == "step":
        benchmark_step(
            options.sizes,
            options.batches,
            options.classes,
            options.confident,
            detector=options.detector,
            threshold=options.threshold,
            layout=options.layout,
            repeats=options.repeats,
        )
    elif options.what == "known":
        benchmark_known(
            options.sizes,
            options.images,
            options.classes,
            detector=options.detector,
            repeats=options.repeats,
        )
    elif options.what == "methods":
        benchmark_methods(options.study, options.edge, options.images, options.repeats)
    elif options.what == "amp":
        benchmark_amp(options.config_file, options.weights, options.batches)
    elif options.what == "view":
        benchmark_view(options.sizes, options.repeats)
    elif options.what == "loader":
        benchmark_loader(options.repeats)
    elif options.what == "startup":
        benchmark_startup(options.images)
    else:
        benchmark_eval(options.images)


if __name__ == "__main__":
    main()
