"""Which boxes of two annotations of the same images are the same object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pycocotools.mask import iou

MIN_IOU = 0.5


def same_objects(
    some: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]
) -> dict[int, int]:
    """Pair COCO annotations of two files, one to one, those that overlap most first.

    Args:
        some, others: annotations of the same images and categories, by the same ids of these.

    Returns:
        The id among `others` by the id among `some`, for pairs of one image and category that
        overlap by an IoU of at least `MIN_IOU`. Ties go to the smaller ids.
    """
    by_place: defaultdict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for other in others:
        by_place[other["image_id"], other["category_id"]].append(other)
    pairs = []
    for one in some:
        candidates = by_place[one["image_id"], one["category_id"]]
        if candidates:
            overlaps = iou([one["bbox"]], [c["bbox"] for c in candidates], [0] * len(candidates))
            pairs += [
                (-overlap, one["id"], candidate["id"])
                for overlap, candidate in zip(overlaps[0].tolist(), candidates, strict=True)
                if overlap >= MIN_IOU
            ]
    paired: dict[int, int] = {}
    taken: set[int] = set()
    for _, one_id, other_id in sorted(pairs):
        if one_id not in paired and other_id not in taken:
            paired[one_id] = other_id
            taken.add(other_id)
    return paired
