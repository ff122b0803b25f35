"""What the review of an earlier completion rejected, so that nobody has to reject it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from comining.annotations.coco_file import read_json
from comining.annotations.decisions import read_decisions
from comining.errors import InputError
from comining.modeling.labels import HIT_IOU

from .evidence import IMPOSSIBLE, NEW, Evidence
from .folder import Folder
from .gathering import iou_between
from .proposals import iou_of, read_proposals, read_reviewed, verdicts, with_proposals
from .review_files import find_review


class Rejected(NamedTuple):
    """A box that is no object of a category.

    Attributes:
        file_name: of its image, relative to the folder of the images.
        category: the name.
        bbox: XYWH in pixels.
    """

    file_name: str
    category: str
    bbox: list[float]


def rejected_in(path: Path, images: Path, folder: Folder) -> list[Rejected]:
    """What a review rejected: proposals, annotated boxes and what was left in finished images.

    Args:
        path: folder of the completion. What its own earlier one rejected is there, too.
        images: folder of its images.
        folder: of the new completion.

    Raises:
        InputError: it is no such folder, nothing was decided in it, or what was decided in the new
            one would be about other proposals.
    """
    if path.resolve() == folder.path.resolve():
        raise InputError(
            f"--reviewed {path} is the --output, whose review counts anyway: leave it out"
        )
    review = find_review(path, images)
    if not review.decisions.is_file():
        raise InputError(
            f"--reviewed {path}: nothing was decided there. Leave it out, or review that first: "
            f"comining review {path}"
        )
    proposals = read_proposals(review.proposals)
    # Some of its images may be gone since.
    dataset = with_proposals(read_reviewed(review, None), proposals)
    decisions = read_decisions(review.decisions, dataset)
    outcomes = decisions.outcomes()
    unwanted = {id_ for id_, x in outcomes.items() if not x.is_right}
    left = {id_ for id_, is_right in verdicts(decisions, proposals).items() if not is_right}
    unwanted |= left - outcomes.keys()
    files = {x["id"]: x["file_name"] for x in dataset["images"]}
    names = {x["id"]: x["name"] for x in dataset["categories"]}
    # A box that was drawn in the place of one that fits worse is not to be rejected with it.
    right = [x for x in outcomes.values() if x.is_right and x.bbox]
    rejected = read_rejected(Folder(path).rejected) + [
        Rejected(files[x["image_id"]], names[x["category_id"]], x["bbox"])
        for x in dataset["annotations"]
        if x["id"] in unwanted
        and not any(
            y.image_id == x["image_id"]
            and y.category_id in (None, x["category_id"])
            and iou_of(y.bbox or (), x["bbox"]) > HIT_IOU
            for y in right
        )
    ]
    if folder.decisions.exists() and rejected != read_rejected(folder.rejected):
        raise InputError(
            f"--reviewed {path}: in {folder.path} decisions were made about proposals, which "
            "would be others now. Leave it out, or name another --output"
        )
    return rejected


def num_there(rejected: Iterable[Rejected], dataset: Mapping[str, Any]) -> int:
    """How many are in images and of categories of a data set."""
    images = {x["file_name"] for x in dataset["images"]}
    names = {x["name"] for x in dataset["categories"]}
    return sum(x.file_name in images and x.category in names for x in rejected)


def read_rejected(path: Path) -> list[Rejected]:
    """What a completion's ``rejected.json`` holds; nothing without it."""
    return [Rejected(*x) for x in read_json(path)] if path.exists() else []


def without_rejected(
    evidence: Evidence,
    rejected: Iterable[Rejected],
    dataset: Mapping[str, Any],
    category_ids: Sequence[int],
) -> Evidence:
    """The evidence without proposals that are where a box of their category was rejected.

    Args:
        evidence: M detections.
        rejected: boxes, of which those in other images and of other categories don't matter.
        dataset: what is completed.
        category_ids: of the K classes.
    """
    images = {x["file_name"]: x["id"] for x in dataset["images"]}
    ids = {x["name"]: x["id"] for x in dataset["categories"]}
    boxes = defaultdict(list)
    for x in rejected:
        if x.file_name in images and x.category in ids:
            left, top, width, height = x.bbox
            of = images[x.file_name], category_ids.index(ids[x.category])
            boxes[of].append([left, top, left + width, top + height])
    near = evidence.near.copy()
    for (image_id, class_), theirs in boxes.items():
        is_there = (evidence.image_ids == image_id) & (evidence.classes == class_)
        rows = np.flatnonzero(is_there & (near == NEW))
        iou = iou_between(evidence.boxes[rows], np.array(theirs, np.float32))
        near[rows[(iou > HIT_IOU).any(1)]] = IMPOSSIBLE
    return evidence._replace(near=near)
