#!/usr/bin/env python
"""Review a completed data set in Label Studio or CVAT, and bring the result back.

python tools/review.py to-label-studio completed.json --image-url "/data/local-files/?d=train"
    --output tasks.json
python tools/review.py to-cvat completed.json --output instances.json
python tools/review.py back completed.json exported.json --output reviewed.json

Where an image was reviewed, the boxes that the reviewer left or drew come back, mined ones as
annotations like all others; of images that were not, only what had been annotated before.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import Report, read_coco, read_json
from comining.annotations.completion import check_scores
from comining.annotations.exchange_boxes import ReviewedBox
from comining.annotations.review import apply_review
from comining.annotations.review_cvat import cvat_dataset, read_cvat
from comining.annotations.review_label_studio import label_studio_config, label_studio_tasks
from comining.annotations.review_label_studio_export import read_label_studio
from comining.annotations.sparse import encode
from comining.errors import InputError
from comining.output_file import check_output, write_atomically


def read_dataset(path: Path) -> dict[str, Any]:
    """A data set whose annotations can be shown; an `InputError` tells why it is none."""
    dataset, report = read_coco(path)
    check_scores(dataset["annotations"], report)
    tell(report)
    return dataset


def read_review(path: Path, dataset: dict[str, Any]) -> dict[int, list[ReviewedBox]]:
    """The boxes of an export by image id; an `InputError` tells why it can't be used."""
    export = read_json(path)
    if isinstance(export, dict) and "data" in export and "annotations" in export:
        export = [export]  # one task of Label Studio
    report = Report(str(path))
    if isinstance(export, list):
        reviewed = read_label_studio(export, dataset, report)
    elif isinstance(export, dict):
        reviewed = read_cvat(export, dataset, report)
    else:
        raise InputError(f"{path} is neither Label Studio's JSON nor CVAT's COCO 1.0")
    tell(report)
    return reviewed


def tell(report: Report) -> None:
    """Print what was found, unless it is an error: then raise it."""
    if report.is_fatal:
        raise InputError(f"{report.json_file} can't be used. {report}")
    if report.findings:
        print(report, file=sys.stderr)


def to_label_studio(args: argparse.Namespace) -> None:
    dataset = read_dataset(args.dataset)
    tasks = label_studio_tasks(dataset, args.image_url)
    write_atomically(args.output, lambda file: file.write(json.dumps(tasks).encode()))
    print(f"{args.output}: {len(tasks)} tasks. The labelling interface of the project must be\n")
    print(label_studio_config(dataset))


def to_cvat(args: argparse.Namespace) -> None:
    dataset = read_dataset(args.dataset)
    content = encode(cvat_dataset(dataset))
    write_atomically(args.output, lambda file: file.writelines(content))
    names = ", ".join(x["name"] for x in dataset["categories"])
    print(f"{args.output}: import it as COCO 1.0 into a task with the labels {names}")


def back(args: argparse.Namespace) -> None:
    dataset = read_dataset(args.dataset)
    reviewed = read_review(args.exported, dataset)
    result, counts = apply_review(dataset, reviewed)
    write_atomically(args.output, lambda file: file.writelines(encode(result)))
    for name, number in counts.items():
        print(f"{name:38}{number:8}")
    print(args.output)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
        ("to-label-studio", to_label_studio, "make tasks for Label Studio"),
        ("to-cvat", to_cvat, "make annotations for CVAT"),
        ("back", back, "make a data set of what either of them exports"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(function=function)
        command.add_argument("dataset", type=Path, help="completed by `comining mine`")
        if function is back:
            command.add_argument(
                "exported", type=Path, help="from Label Studio as JSON or from CVAT as COCO 1.0"
            )
        if function is to_label_studio:
            command.add_argument(
                "--image-url", required=True, help="what Label Studio finds the images below"
            )
        command.add_argument("--output", type=Path, required=True, help="file to write")
    args = parser.parse_args(argv)
    try:
        inputs = [args.dataset, args.exported] if args.function is back else [args.dataset]
        check_output(args.output, *inputs)
        args.function(args)
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
