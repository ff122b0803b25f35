"""Adding mined boxes to a data set in COCO format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from comining.errors import InputError

from .ids import free_ids
from .report import Report

#: What the field ``origin`` of an added annotation says.
MINED = "mined"
#: What ``info`` of a completed or reviewed data set has, whose annotations are not all the
#: original's.
CHANGED = ("mined", "reviewed")


def info_of(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``info`` of a data set in COCO format holds, perhaps nothing.

    Raises:
        InputError: it is not an object.
    """
    info = dataset.get("info")
    if info is None:
        return {}
    if not isinstance(info, Mapping):
        raise InputError("'info' of a data set in COCO format must be an object")
    return info


def check_scores(annotations: Iterable[Mapping[str, Any]], report: Report) -> None:
    """Add an error to the report if mined annotations have no score from 0 to 1."""
    report.add(
        "error",
        "mined annotations have no 'score' from 0 to 1",
        (
            x.get("id", "no id")
            for x in annotations
            if x.get("origin") == MINED and not _is_score(x.get("score"))
        ),
    )


def _is_score(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def complete(
    dataset: Mapping[str, Any],
    mined: Mapping[int, Sequence[Mapping[str, Any]]],
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """Add mined boxes to a data set.

    What is there stays as it is. An added annotation has the id of its box or a new one, ``bbox``
    clipped to its image and rounded to hundredths of a pixel, ``area``, ``iscrowd`` 0, ``score``
    and ``origin`` "mined". Boxes without area inside their image are left out.

    Args:
        dataset: in COCO format; it isn't changed.
        mined: by image id, boxes with ``category_id``, ``score``, ``box``, XYXY in pixels, and,
            all or none of them, an ``id`` that is new to the data set.
        record: what ``info["mined"]`` will hold. If the input has one of an earlier completion,
            that will stand under its ``input_mined``.

    Raises:
        InputError: ``info`` is not an object.
    """
    info = info_of(dataset)
    earlier = {"input_mined": info["mined"]} if "mined" in info else {}
    annotations = list(dataset.get("annotations", []))
    free = free_ids(annotations)
    for image in dataset["images"]:
        for found in mined.get(image["id"], []):
            x0, y0, x1, y1 = found["box"]
            left, right = (round(min(max(x, 0), image["width"]), 2) for x in (x0, x1))
            top, bottom = (round(min(max(y, 0), image["height"]), 2) for y in (y0, y1))
            width, height = round(right - left, 2), round(bottom - top, 2)
            if width <= 0 or height <= 0:
                continue
            annotations.append(
                {
                    "id": found["id"] if "id" in found else next(free),
                    "image_id": image["id"],
                    "category_id": found["category_id"],
                    "bbox": [left, top, width, height],
                    "area": round(width * height, 4),
                    "iscrowd": 0,
                    "score": found["score"],
                    "origin": MINED,
                }
            )
    return {
        **dataset,
        "info": {**info, "mined": {**record, **earlier}},
        "annotations": annotations,
    }
