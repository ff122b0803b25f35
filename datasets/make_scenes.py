#!/usr/bin/env python
"""Generate the embedded data set of textured scenes: `make_scenes.py --output FOLDER`.

What the scenes show, and the files: `comining/data/scenes.py`. A folder that already holds the
scenes of these parameters is left alone; one that holds anything else is refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from comining.data.scenes import write_scenes
from comining.errors import InputError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--train", type=int, default=1000, help="number of training images")
    parser.add_argument("--val", type=int, default=200, help="number of validation images")
    parser.add_argument("--size", type=int, default=128, help="edge of the images in pixels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes and of sparsity")
    options = parser.parse_args()
    try:
        written = write_scenes(
            options.output, options.train, options.val, options.size, options.seed
        )
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
    if written:
        print(
            f"{options.output}: wrote {options.train} training and {options.val} validation images"
        )
    else:
        print(f"{options.output} is complete already: nothing to do")


if __name__ == "__main__":
    main()
