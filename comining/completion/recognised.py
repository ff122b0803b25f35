"""The boxes of a review, recognised in annotations that may have been replaced since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from comining.annotations.formats import Source
from comining.annotations.ids import free_ids
from comining.annotations.report import some
from comining.counted import counted
from comining.errors import InputError

#: Edges that differ by less, in pixels, are the same: formats round, some to whole pixels.
SAME = 1.0
Annotation = Mapping[str, Any]


def recognised(
    source: Source, dataset: dict[str, Any], others: Iterable[Annotation]
) -> dict[str, Any]:
    """A reviewed data set with the ids that its images and annotations have in their source now.

    Most formats have no ids, so that these count images and boxes: where what was accepted before
    took the place of what was completed, they are others.

    Args:
        source: the annotations as they are now.
        dataset: what the review left of what they were.
        others: what else was there, or was proposed.

    Raises:
        InputError: the source has boxes that are none of these, made since: they would be lost.
    """
    names = {x["id"]: x["file_name"] for x in source.dataset["images"]}
    ids = {name: id_ for id_, name in names.items()}
    # What is gone keeps its number, and is told when the rest is written.
    images = {x["id"]: ids.get(x["file_name"], x["id"]) for x in dataset["images"]}
    now: defaultdict[tuple[int, Any], list[Annotation]] = defaultdict(list)
    for x in source.dataset["annotations"]:
        now[_group(x)].append(x)
    taken = {x["id"] for x in source.dataset["annotations"]}
    free = free_ids([*source.dataset["annotations"], *dataset["annotations"]])
    annotations = []
    for x in _in_images(images, dataset["annotations"]):
        same = _take(now, x)
        id_ = x["id"] if same is None else same["id"]
        annotations.append({**x, "id": next(free) if same is None and id_ in taken else id_})
    for x in _in_images(images, others):
        _take(now, x)
    left = [x for of_group in now.values() for x in of_group]
    if left:
        where = some(sorted({names[x["image_id"]] for x in left}))
        raise InputError(
            f"{source.path} has {counted(len(left), 'boxes')}, new or changed since the "
            f"completion, which would be lost: in {where}. Draw or change them in `comining "
            "review` and take them back there, or complete what is changed into another folder"
        )
    numbered = [{**x, "id": images[x["id"]]} for x in dataset["images"]]
    return {**dataset, "images": numbered, "annotations": annotations}


def _in_images(ids: Mapping[int, int], annotations: Iterable[Annotation]) -> Iterator[Annotation]:
    return ({**x, "image_id": ids[x["image_id"]]} for x in annotations)


def _group(annotation: Annotation) -> tuple[int, Any]:
    return annotation["image_id"], annotation["category_id"]


def _take(
    now: defaultdict[tuple[int, Any], list[Annotation]], annotation: Annotation
) -> Annotation | None:
    """The annotation that is the same box, which no other one will be; that of its id first."""
    alike = [x for x in now[_group(annotation)] if _is_same(x["bbox"], annotation["bbox"])]
    same = next((x for x in alike if x["id"] == annotation.get("id")), alike[0] if alike else None)
    if same is not None:
        now[_group(annotation)].remove(same)
    return same


def _is_same(box: Any, other: Any) -> bool:
    return all(abs(a - b) < SAME for a, b in zip(_edges(box), _edges(other), strict=True))


def _edges(box: Any) -> tuple[float, ...]:
    x, y, width, height = box
    return x, y, x + width, y + height
