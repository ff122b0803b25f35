#!/usr/bin/env python
"""The former name of `comining review FILE --to ...` and `--from ...`.

python tools/review.py to-label-studio completed.json --image-url URL --output tasks.json
python tools/review.py to-cvat completed.json --output instances.json
python tools/review.py back completed.json exported.json --output reviewed.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from comining.completion.exchange import take_back, to_cvat, to_label_studio
from comining.completion.review_files import ReviewFiles
from comining.errors import InputError
from comining.output_file import check_output


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("to-label-studio", "to-cvat", "back"))
    parser.add_argument("dataset", type=Path)
    parser.add_argument("exported", type=Path, nargs="?")
    parser.add_argument("--image-url")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    if (args.command == "to-label-studio") != (args.image_url is not None):
        parser.error("to-label-studio and --image-url go together")
    if (args.command == "back") != (args.exported is not None):
        parser.error("back needs the exported file, the others have none")
    review = ReviewFiles(args.dataset, args.dataset.parent, args.dataset, args.dataset)
    try:
        check_output(args.output, args.dataset, *([args.exported] if args.exported else []))
        if args.command == "back":
            counts = take_back(review, args.exported, args.output).counts
            for name, number in counts.items():
                print(f"{name:38}{number:8}")
            print(args.output)
        elif args.command == "to-cvat":
            print(to_cvat(review, args.output))
        else:
            print(to_label_studio(review, args.output, args.image_url))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
