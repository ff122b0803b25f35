"""A review brought home: what a completed data set becomes by the boxes that a reviewer left.

What he left of the mined boxes are annotations like all others in the data set that comes back;
what he deleted is gone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comining.errors import InputError

from .completion import MINED, info_of
from .exchange_boxes import ReviewedBox
from .ids import free_ids
from .known import known_after_review

#: A box that comes back is the same as before if no edge has moved by more than this, in pixels.
#: CVAT rounds to hundredths.
SAME_BOX = 0.05
#: What `apply_review` counts.
COUNTS = (
    "images reviewed",
    "mined, accepted",
    "mined, rejected",
    "mined, image not reviewed: left out",
    "annotated, deleted",
    "drawn or changed",
)
#: Of these, what a reviewer did that didn't leave all as it was.
CHANGES = ("mined, rejected", "annotated, deleted", "drawn or changed")


def apply_review(
    dataset: Mapping[str, Any], reviewed: Mapping[int, Sequence[ReviewedBox]]
) -> tuple[dict[str, Any], dict[str, int]]:
    """The data set that a review makes of a completed one.

    A box that the reviewer left where it was is the annotation that it was before, with all its
    fields and its id, but a mined one loses ``score`` and ``origin``: it is an annotation like the
    others. What he moved, relabelled or drew has a new id. What he deleted is gone. Of an image
    that was not reviewed, the mined boxes are left out.

    Args:
        dataset: the completed one; it isn't changed.
        reviewed: by image id, the boxes that are right.

    Returns:
        The data set, with the counts in ``info["reviewed"]``, and the counts.

    Raises:
        InputError: a box has a category that the data set lacks.
    """
    category_ids = {x["name"]: x["id"] for x in dataset["categories"]}
    counts = Counter(dict.fromkeys(COUNTS, 0))
    # No tool shows regions that are to be ignored for all categories.
    annotations = [x for x in dataset["annotations"] if x["category_id"] is None]
    new = []
    of_image = by_image([x for x in dataset["annotations"] if x["category_id"] is not None])
    for image in dataset["images"]:
        before = of_image[image["id"]]
        boxes = reviewed.get(image["id"])
        if boxes is None:
            mined = [x for x in before if x.get("origin") == MINED]
            annotations += [x for x in before if x.get("origin") != MINED]
            counts["mined, image not reviewed: left out"] += len(mined)
            continue
        counts["images reviewed"] += 1
        left = list(boxes)
        for annotation in before:
            same = next((x for x in left if _is_same(x, annotation, category_ids)), None)
            is_mined = annotation.get("origin") == MINED
            if same is None:
                counts["mined, rejected" if is_mined else "annotated, deleted"] += 1
                continue
            left.remove(same)
            if is_mined:
                counts["mined, accepted"] += 1
                annotation = {k: v for k, v in annotation.items() if k not in ("score", "origin")}
            annotations.append(annotation)
        for box in left:
            if box.category not in category_ids:
                raise InputError(
                    f"{image['file_name']} has a box of {box.category!r}, which is none of the "
                    f"data set's categories: {', '.join(category_ids)}"
                )
            new.append((image["id"], category_ids[box.category], _rounded(box.bbox)))
    counts["drawn or changed"] = len(new)
    annotations += _drawn(new, free_ids(dataset["annotations"]))
    info = {**info_of(dataset), "reviewed": dict(counts)}
    images = known_after_review(dataset, annotations)
    return {**dataset, "info": info, "images": images, "annotations": annotations}, dict(counts)


def _drawn(
    boxes: Sequence[tuple[int, int, list[float]]], ids: Iterator[int]
) -> Iterator[dict[str, Any]]:
    """Annotations with ids of their own, of (image id, category id, XYWH)."""
    for (image_id, category_id, bbox), id_ in zip(boxes, ids, strict=False):
        yield {
            "id": id_,
            "image_id": image_id,
            "category_id": category_id,
            "bbox": bbox,
            "area": round(bbox[2] * bbox[3], 4),
            "iscrowd": 0,
        }


def _is_same(
    box: ReviewedBox, annotation: Mapping[str, Any], category_ids: Mapping[str, int]
) -> bool:
    if category_ids.get(box.category) != annotation["category_id"]:
        return False
    return all(
        abs(a - b) <= SAME_BOX
        for a, b in zip(_edges(box.bbox), _edges(annotation["bbox"]), strict=True)
    )


def _edges(bbox: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = bbox
    return x, y, x + width, y + height


def _rounded(bbox: Sequence[float]) -> list[float]:
    """To thousandths of a pixel, unless nothing were left of the box; ``20`` rather than 20.0."""
    rounded = [round(x, 3) for x in bbox]
    if min(rounded[2:]) <= 0:
        return list(bbox)
    return [int(x) if x == int(x) else x for x in rounded]


def by_image(annotations: Sequence[Mapping[str, Any]]) -> dict[int, list[Any]]:
    """The annotations of each image, by its id; of others, none."""
    of_image = defaultdict(list)
    for annotation in annotations:
        of_image[annotation["image_id"]].append(annotation)
    return of_image
