#!/usr/bin/env python
"""Detect objects in images and videos: annotated pictures and one JSON file.

python tools/predict.py --config-file configs/demo.yaml --weights output/demo/model_final.pth
    photo.jpg folder 'more/*.png' clip.mp4 --output detected

Inputs are files, folders (with all below them), globs and videos; of folders and globs, files are
taken that have the suffix of a usual picture or video. Below their common folder each has a name,
and the annotated picture of NAME is DIR/images/NAME, with .jpg added to what is neither a JPEG nor
a PNG; frame 7 of the video NAME is DIR/images/NAME/000007.jpg.

DIR/predictions.json is a COCO file:
  images       id, file_name (NAME), width, height (after rotation as EXIF says), annotated (the
               picture's path below DIR); of a frame also video and frame (counted from 0)
  annotations  in COCO's results form (image_id, category_id, bbox, score), with id, area, iscrowd;
               bbox is x, y, width, height in pixels
  categories   id, name: of the config's data sets if an annotation file of theirs is there, else
               the model's class numbers
  info         image_root, the common folder of the inputs

What can't be read is named at the end, and the exit code is 1; all else is done before. A run that
is interrupted leaves DIR/predictions.partial.json instead, with what it has found until then.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from comining.cli.signals import end_as_if_interrupted
from comining.data import register_from_config
from comining.data.pictures import find_inputs
from comining.engine import load_config
from comining.engine.prediction import JSON_NAME, predict
from comining.errors import InputError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", metavar="IMAGES", help="files, folders, globs, videos")
    parser.add_argument("--config-file", required=True, help="of the trained model")
    parser.add_argument("--weights", required=True, help="of the trained model")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--score-thresh", type=float, default=0.5, help="leave out what scores below (default: 0.5)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, help="images at a time, for a GPU (default: 1)"
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="every N-th frame of videos (default: 1)"
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs for the config, last"
    )
    options = parser.parse_args()
    end_as_if_interrupted()
    if not 0 <= options.score_thresh <= 1:
        parser.error("--score-thresh must be between 0 and 1")
    if options.batch_size < 1 or options.every < 1:
        parser.error("--batch-size and --every must be at least 1")
    if not options.weights:
        parser.error("--weights is empty: name the model to predict with")
    try:
        inputs = find_inputs(options.inputs, options.output)
        cfg = load_config(options.config_file, options.opts)
        register_from_config(cfg)
        broken = predict(
            cfg,
            options.weights,
            inputs,
            options.output,
            score_thresh=options.score_thresh,
            batch_size=options.batch_size,
            every=options.every,
        )
        print(options.output / JSON_NAME)
        if broken:
            raise InputError(
                "\n  ".join([f"{len(broken)} of {len(inputs)} inputs can't be read:", *broken])
            )
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
