"""The data set that a review's decisions make of a completed one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .completion import MINED, info_of
from .decisions import Decisions, Outcome
from .ids import free_ids
from .known import known_after_review

#: What `apply_decisions` counts, beside what became of the boxes that were not reviewed.
COUNTS = (
    "images finished",
    "mined, accepted",
    "mined, accepted with changes",
    "mined, rejected",
    "annotated, confirmed",
    "annotated, changed",
    "annotated, deleted",
    "drawn",
)
#: What becomes of those.
KEPT, LEFT_OUT = "mined, not reviewed: kept as mined", "mined, not reviewed: left out"


def apply_decisions(
    dataset: Mapping[str, Any], decisions: Decisions, *, keep_unreviewed: bool = False
) -> dict[str, Any]:
    """The data set that the decisions make of a completed one.

    A mined box that was accepted, changed or not, keeps its id and loses ``score`` and ``origin``:
    it is an annotation like the others. What was rejected is gone. A box that was moved loses its
    ``segmentation``, which no longer fits. Finished images have ``finished`` true, and all
    categories in ``exhaustive_category_ids``. What was drawn or accepted is no longer absent from
    its image.

    Args:
        dataset: in COCO format, completed and `numbered`; it isn't changed.
        decisions: about it.
        keep_unreviewed: whether mined boxes without a decision stay, as the mined ones that they
            are; otherwise they are left out.

    Returns:
        The data set, with the counts in ``info["reviewed"]``.
    """
    outcomes, finished = decisions.outcomes(), decisions.finished()
    unreviewed = KEPT if keep_unreviewed else LEFT_OUT
    counts = Counter(dict.fromkeys((*COUNTS, unreviewed), 0))
    counts["images finished"] = len(finished)
    annotations = []
    for annotation in dataset["annotations"]:
        outcome = outcomes.get(annotation["id"])
        is_mined = annotation.get("origin") == MINED
        if outcome is None:
            counts[unreviewed] += is_mined
            if keep_unreviewed or not is_mined:
                annotations.append(annotation)
            continue
        counts[_what_became(is_mined, outcome)] += 1
        if outcome.is_right:
            annotations.append(_reviewed(annotation, outcome))
    drawn = list(_drawn(outcomes, dataset["annotations"]))
    counts["drawn"] = len(drawn)
    annotations += drawn
    info = {**info_of(dataset), "reviewed": dict(counts)}
    images = known_after_review(dataset, annotations, finished)
    return {**dataset, "info": info, "images": images, "annotations": annotations}


def _what_became(is_mined: bool, outcome: Outcome) -> str:
    is_changed = outcome.bbox is not None or outcome.category_id is not None
    if is_mined:
        if not outcome.is_right:
            return "mined, rejected"
        return "mined, accepted with changes" if is_changed else "mined, accepted"
    if not outcome.is_right:
        return "annotated, deleted"
    return "annotated, changed" if is_changed else "annotated, confirmed"


def _reviewed(annotation: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    result = {k: v for k, v in annotation.items() if k not in ("score", "origin")}
    if outcome.category_id is not None:
        result["category_id"] = outcome.category_id
    if outcome.bbox is not None:
        result.pop("segmentation", None)
        result |= _placed(outcome.bbox)
    return result


def _placed(bbox: Sequence[float]) -> dict[str, Any]:
    x, y, width, height = (round(value, 2) for value in bbox)
    return {"bbox": [x, y, width, height], "area": round(width * height, 4)}


def _drawn(
    outcomes: Mapping[int | str, Outcome], annotations: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    free = free_ids(annotations)
    for id_, outcome in outcomes.items():
        if isinstance(id_, str) and outcome.is_right and outcome.bbox is not None:
            yield {
                "id": next(free),
                "image_id": outcome.image_id,
                "category_id": outcome.category_id,
                **_placed(outcome.bbox),
                "iscrowd": 0,
            }
