"""What a completion may add, beside what it adds, and what a person decided about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.annotations.completion import MINED
from comining.annotations.decisions import Decisions
from comining.annotations.ids import numbered
from comining.errors import InputError

from .gallery_data import read_completed
from .review_files import ReviewFiles

#: A changed box was right as it was if its IoU with what it became is at least this.
SAME_IOU = 0.5
Annotation = dict[str, Any]


def read_proposals(path: Path | None) -> list[Annotation]:
    """The annotations of ``proposals.json``; none without it, as beside a file of its own.

    Raises:
        InputError: it can't be used.
    """
    if path is None or not path.is_file():
        return []
    proposals = read_json(path)
    if not isinstance(proposals, list):
        raise InputError(f"{path} must be a list: give the command that made the folder again")
    return proposals


def read_reviewed(review: ReviewFiles, image_root: Path | None) -> dict[str, Any]:
    """The completed data set that a review is about.

    Of a folder, it is what was completed and the proposals that were added, not the completed file:
    that one is as the user's was, which may name images otherwise, describe them as they are stored
    or have no ids.

    Args:
        review: the files.
        image_root: as of `read_completed`.

    Raises:
        InputError: a file can't be used.
    """
    if review.annotations is None:
        return read_completed(review.completed, image_root)
    dataset = read_completed(review.annotations, image_root)
    completed = read_json(review.completed)
    added = {x.get("id") for x in completed["annotations"] if x.get("origin") == MINED}
    new = [x for x in read_proposals(review.proposals) if x["id"] in added]
    annotations = [*dataset["annotations"], *new]
    return {**dataset, "info": completed.get("info", {}), "annotations": annotations}


def with_proposals(
    dataset: Mapping[str, Any],
    proposals: Sequence[Annotation],
    only: Collection[int | str] | None = None,
) -> dict[str, Any]:
    """A completed data set, `numbered`, with the proposals that it lacks.

    Args:
        dataset: in COCO format; it isn't changed.
        proposals: all of them, which fixes the numbers.
        only: the ids of those that are wanted; None for all.
    """
    known = {x["id"] for x in dataset["annotations"] if "id" in x}
    lacking = [x for x in proposals if x["id"] not in known]
    annotations = numbered([*dataset["annotations"], *lacking])
    if only is not None:
        unwanted = {x["id"] for x in lacking} - set(only)
        annotations = [x for x in annotations if x["id"] not in unwanted]
    return {**dataset, "annotations": annotations}


def verdicts(decisions: Decisions, proposals: Sequence[Annotation]) -> dict[int, bool]:
    """By id of those that were decided about, whether a proposal is right as it was proposed.

    Of a finished image, what nobody decided about is wrong: all that is there is annotated.
    """
    outcomes, finished = decisions.outcomes(), decisions.finished()
    result = {}
    for x in proposals:
        outcome = outcomes.get(x["id"])
        if outcome is not None:
            result[x["id"]] = (
                outcome.is_right
                and outcome.category_id in (None, x["category_id"])
                and (outcome.bbox is None or iou_of(outcome.bbox, x["bbox"]) >= SAME_IOU)
            )
        elif x["image_id"] in finished:
            result[x["id"]] = False
    return result


def iou_of(box: Sequence[float], other: Sequence[float]) -> float:
    """Of XYWH boxes."""
    common = 1.0
    for axis in (0, 1):
        end = min(box[axis] + box[axis + 2], other[axis] + other[axis + 2])
        common *= max(0.0, end - max(box[axis], other[axis]))
    return common / (box[2] * box[3] + other[2] * other[3] - common)
