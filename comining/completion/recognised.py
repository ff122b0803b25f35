"""The boxes of a review, recognised in annotations that may have been replaced since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from comining.annotations.formats import Source
from comining.annotations.ids import free_ids
from comining.annotations.report import some
from comining.counted import counted
from comining.errors import InputError

#: Edges that differ by less, in pixels, are the same: formats round, some to whole pixels.
SAME = 1.0
Annotation = Mapping[str, Any]


class Recognised(NamedTuple):
    """A reviewed data set with the ids that its source has now.

    Attributes:
        dataset: in COCO format.
        gone: ids of annotated boxes that nobody changed and that the source has no more.
    """

    dataset: dict[str, Any]
    gone: set[int]


def recognised(
    source: Source,
    dataset: dict[str, Any],
    annotated: Iterable[Annotation],
    others: Iterable[Annotation],
) -> Recognised:
    """A reviewed data set with the ids that its images, categories and boxes have in the source.

    Most formats have no ids, so that these count what is there: where what was accepted before took
    the place of what was completed, they are others.

    Args:
        source: the annotations as they are now.
        dataset: what the review left of what they were.
        annotated: what was annotated, as it was completed.
        others: what else was there, or was proposed.

    Raises:
        InputError: the source has boxes that are none of these, made since: they would be lost.
    """
    ids = _Ids(source, dataset)
    names = {x["id"]: x["file_name"] for x in source.dataset["images"]}
    now: defaultdict[tuple[int, Any], list[Annotation]] = defaultdict(list)
    for x in source.dataset["annotations"]:
        now[_group(x)].append(x)
    before = {x["id"]: x for x in ids.now(annotated)}
    taken = {x["id"] for x in source.dataset["annotations"]}
    free = free_ids([*source.dataset["annotations"], *dataset["annotations"]])
    annotations, gone = [], set()
    for x in ids.now(dataset["annotations"]):
        former = before.get(x["id"])
        same, is_as_it_was = _take(now, x), former is not None and _is_as(former, x)
        if same is not None and is_as_it_was:
            x = {**x, **{k: same[k] for k in ("bbox", "area", "segmentation") if k in same}}
        elif former is not None and same is None:
            same = _take(now, former)
            if same is None and is_as_it_was:
                gone.add(x["id"])
        id_ = x["id"] if same is None else same["id"]
        annotations.append({**x, "id": next(free) if same is None and id_ in taken else id_})
    for x in (*before.values(), *ids.now(others)):
        _take(now, x)
    left = [x for of_group in now.values() for x in of_group]
    if left:
        where = some(sorted({names[x["image_id"]] for x in left}))
        raise InputError(
            f"{source.path} has {counted(len(left), 'boxes')}, new or changed since the "
            f"completion, which would be lost: in {where}. Draw or change them in `comining "
            "review` and take them back there, or complete what is changed into another folder"
        )
    numbered = [{**x, "id": ids.images[x["id"]]} for x in dataset["images"]]
    categories = [{**x, "id": ids.categories[x["id"]]} for x in dataset["categories"]]
    new = {"images": numbered, "categories": categories, "annotations": annotations}
    return Recognised({**dataset, **new}, gone)


class _Ids:
    """The ids that images and categories of a data set have in its source, by their names."""

    def __init__(self, source: Source, dataset: Mapping[str, Any]) -> None:
        # What is gone keeps its number, and is told when the rest is written.
        files = {x["file_name"]: x["id"] for x in source.dataset["images"]}
        self.images = {x["id"]: files.get(x["file_name"], x["id"]) for x in dataset["images"]}
        names = {x["name"]: x["id"] for x in source.dataset["categories"]}
        free = free_ids([*source.dataset["categories"], *dataset["categories"]])
        self.categories = {
            x["id"]: names[x["name"]] if x["name"] in names else next(free)
            for x in dataset["categories"]
        }

    def now(self, annotations: Iterable[Annotation]) -> Iterator[dict[str, Any]]:
        for x in annotations:
            image_id, category_id = x["image_id"], x["category_id"]
            category_id = self.categories.get(category_id, category_id)
            yield {**x, "image_id": self.images[image_id], "category_id": category_id}


def _is_as(former: Annotation, now: Annotation) -> bool:
    return _group(former) == _group(now) and former["bbox"] == now["bbox"]


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
