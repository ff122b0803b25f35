"""A review in another program: its annotations to CVAT or Label Studio, and what comes back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.annotations.completion import MINED
from comining.annotations.exchange_boxes import ReviewedBox
from comining.annotations.report import Report
from comining.annotations.review import CHANGES, apply_review
from comining.annotations.review_cvat import cvat_dataset, read_cvat
from comining.annotations.review_label_studio import label_studio_config, label_studio_tasks
from comining.annotations.review_label_studio_export import read_label_studio
from comining.annotations.sparse import encode
from comining.counted import counted
from comining.errors import InputError
from comining.output_file import check_output, write_atomically

from .acceptance import Accepted, write_accepted
from .proposals import read_reviewed
from .review_files import ReviewFiles


def to_cvat(review: ReviewFiles, output: Path) -> str:
    """Write a file that CVAT imports. Returns what its user must know."""
    check_output(output, review.completed)
    dataset = read_reviewed(review, None)
    content = encode(cvat_dataset(dataset))
    write_atomically(output, lambda file: file.writelines(content))
    names = ", ".join(x["name"] for x in dataset["categories"])
    return f"{output}: import it as COCO 1.0 into a task with the labels {names}"


def to_label_studio(review: ReviewFiles, output: Path, image_url: str) -> str:
    """Write tasks for Label Studio, which finds the images below ``image_url``.

    Returns what its user must know, with the labelling interface of the project.
    """
    check_output(output, review.completed)
    dataset = read_reviewed(review, None)
    tasks = label_studio_tasks(dataset, image_url)
    write_atomically(output, lambda file: file.write(json.dumps(tasks).encode()))
    return (
        f"{output}: {counted(len(tasks), 'tasks')}. The labelling interface of the project must "
        "be\n\n"
        f"{label_studio_config(dataset)}"
    )


def take_back(review: ReviewFiles, exported: Path, output: Path | None) -> Accepted:
    """Write the annotations that a review in CVAT or Label Studio leaves.

    Args:
        review: what was sent there.
        exported: from Label Studio as JSON, or from CVAT as COCO 1.0.
        output: the file or folder to write, if it isn't the review's own.

    Raises:
        InputError: a file can't be used or written.
    """
    dataset = read_reviewed(review, None)
    reviewed = read_review(exported, dataset)
    result, counts = apply_review(dataset, reviewed)
    done = write_accepted(review, result, output, counts)
    annotated = sum(
        x["image_id"] in reviewed and x.get("origin") != MINED for x in dataset["annotations"]
    )
    if counts["annotated, deleted"] > annotated / 2:
        done.hints.insert(
            0,
            f"most annotated boxes of these images are not in {exported}: make sure that it is "
            f"the export of a review of {review.completed}",
        )
    if counts["mined, accepted"] and not any(counts[x] for x in CHANGES):
        done.hints.insert(0, f"nothing was changed in {exported}: all of its boxes are accepted")
    return done


def read_review(path: Path, dataset: dict[str, Any]) -> dict[int, list[ReviewedBox]]:
    """The boxes of an export by image id. What was repaired is printed.

    Raises:
        InputError: it can't be used.
    """
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
    if report.is_fatal:
        raise InputError(f"{path} can't be used. {report}")
    if report.findings:
        print(report, file=sys.stderr)
    return reviewed
