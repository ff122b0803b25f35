"""What is known of the images of a COCO data set besides their boxes.

An image may have these lists of category ids, of which LVIS has the last two:

    exhaustive_category_ids      all objects of these are annotated; "all" stands for all categories
    neg_category_ids             looked for, and none is there
    not_exhaustive_category_ids  some objects of these may not be annotated

``exhaustive_category_ids`` in ``info`` is the default of images without a list of their own, except
for what they say is not exhaustive. Where there is neither, no category is exhaustive, but in
images with ``not_exhaustive_category_ids``, where as in LVIS all annotated categories are that
aren't in this list. Regions to ignore are annotations with ``ignore`` or ``iscrowd`` 1, of one
category or, with ``category_id`` null, of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .completion import MINED
from .report import Report, short
from .values import is_region, read_id

EXHAUSTIVE = "exhaustive_category_ids"
ABSENT = "neg_category_ids"
NOT_EXHAUSTIVE = "not_exhaustive_category_ids"
#: Lists of category ids that an image may have.
LISTS = (EXHAUSTIVE, ABSENT, NOT_EXHAUSTIVE)
ALL = "all"


class Region(NamedTuple):
    """Where it isn't known what is there.

    Attributes:
        bbox: XYWH in pixels.
        category_id: None for all categories.
    """

    bbox: Sequence[float]
    category_id: int | None


@dataclass(frozen=True)
class Known:
    """What is known of each image.

    Attributes:
        exhaustive: by image id, the ids of the categories of which all objects are annotated.
        absent: by image id, the ids of the categories that were looked for and aren't there.
        regions: by image id, of images that have some, the regions to ignore.
        is_stated: whether the file says of any category that it is exhaustive, absent or not
            exhaustive, be it by an empty list.
    """

    exhaustive: dict[Any, frozenset[int]]
    absent: dict[Any, frozenset[int]]
    regions: dict[Any, list[Region]]
    is_stated: bool

    def is_complete(self, image_id: Any, category_id: int) -> bool:
        """Whether no object of the category is without annotation in the image."""
        return category_id in self.exhaustive[image_id] or category_id in self.absent[image_id]

    def finished(self, category_ids: Collection[int]) -> set[Any]:
        """The ids of the images in which all of these categories are complete."""
        return {i for i in self.exhaustive if all(self.is_complete(i, x) for x in category_ids)}


def known_of(dataset: Mapping[str, Any]) -> Known:
    """What a data set says about its images.

    Args:
        dataset: as `read_coco` or `read_repaired` returns it, without errors.
    """
    default = default_of(dataset)
    everything = frozenset(x["id"] for x in dataset["categories"])
    regions: defaultdict[Any, list[Region]] = defaultdict(list)
    annotated: defaultdict[Any, set[int]] = defaultdict(set)
    for x in dataset.get("annotations", []):
        if is_region(x):
            regions[x["image_id"]].append(Region(x["bbox"], x["category_id"]))
        elif x.get("origin") != MINED:
            annotated[x["image_id"]].add(x["category_id"])
    exhaustive, absent = {}, {}
    is_stated = default is not None
    for image in dataset["images"]:
        id_ = image["id"]
        stated = image.get(EXHAUSTIVE, default)
        if stated is None:
            stated = annotated[id_] if NOT_EXHAUSTIVE in image else ()
        known = everything if stated == ALL else frozenset(stated)
        exhaustive[id_] = known.difference(image.get(NOT_EXHAUSTIVE, ()))
        absent[id_] = frozenset(image.get(ABSENT, ()))
        is_stated = is_stated or not image.keys().isdisjoint(LISTS)
    return Known(exhaustive, absent, dict(regions), is_stated)


def default_of(dataset: Mapping[str, Any]) -> Any:
    """The ``exhaustive_category_ids`` of images without a list of their own; None without such."""
    info = dataset.get("info")
    return info.get(EXHAUSTIVE) if isinstance(info, Mapping) else None


def repair_known(dataset: dict[str, Any], report: Report) -> None:
    """Put the lists of category ids of ``images`` and ``info`` into the form that they must have.

    Ids that stand for a number become it, and null counts as missing. What can't be read is left
    out, and the report gets an error.
    """
    faults: list[str] = []
    info = dataset.get("info")
    if isinstance(info, dict) and EXHAUSTIVE in info:
        dataset["info"] = _repaired(info, (EXHAUSTIVE,), "'info'", faults)
    dataset["images"] = [
        x
        if not isinstance(x, dict) or x.keys().isdisjoint(LISTS)
        else _repaired(x, LISTS, f"image {short(x.get('id'))}", faults)
        for x in dataset["images"]
    ]
    report.add(
        "error",
        f'lists of categories can\'t be read: give ids in brackets, or "{ALL}" for {EXHAUSTIVE}',
        faults,
    )


def check_known(dataset: Mapping[str, Any], report: Report) -> None:
    """Add to the report how much is known, and an error for each kind of contradiction.

    Args:
        dataset: with usable records, after `repair_known`.
        report: gets what is found.
    """
    annotations = dataset.get("annotations", [])
    regions = sum(map(is_region, annotations))
    default = default_of(dataset)
    stated = [x for x in dataset["images"] if not x.keys().isdisjoint(LISTS)]
    if stated or default is not None:
        ids = {x["id"] for x in dataset["categories"]}
        report.add(
            "error",
            "categories are said to be known, but the file does not list them",
            _unlisted(stated, default, ids),
        )
        report.add(
            "error",
            f"categories are in both {EXHAUSTIVE} and {NOT_EXHAUSTIVE}: remove them from one",
            _both(stated, ids),
        )
        report.add(
            "error",
            f"annotations are of a category that {ABSENT} says is not in the image: remove one "
            "or the other",
            _present(stated, annotations),
        )
        known = known_of(dataset)
        for what, lists in (("exhaustive", known.exhaustive), ("absent", known.absent)):
            report.known[f"images with {what} categories"] = sum(map(bool, lists.values()))
    if regions:
        report.known["regions to ignore"] = regions


def joined_lists(images: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The lists of category ids of one image that has several entries."""
    joined: dict[str, Any] = {}
    for field in LISTS:
        lists = [x[field] for x in images if field in x]
        if lists:
            ids = {id_ for x in lists if x != ALL for id_ in x}
            joined[field] = ALL if ALL in lists else sorted(ids)
    return joined


def known_after_review(
    dataset: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    finished: Collection[int] = (),
) -> list[dict[str, Any]]:
    """The images of a data set, with what is known of them after a review.

    Args:
        dataset: before it.
        annotations: after it. Categories that they show in an image are no longer absent there.
        finished: ids of the images in which all objects are annotated now.
    """
    known = known_of(dataset)
    categories = sorted(x["id"] for x in dataset["categories"])
    shown: defaultdict[int, set[int]] = defaultdict(set)
    for x in annotations:
        if not is_region(x) and x.get("origin") != MINED:
            shown[x["image_id"]].add(x["category_id"])
    images = []
    for image in dataset["images"]:
        if image["id"] in finished:
            image = {**image, "finished": True, EXHAUSTIVE: categories}
            image.pop(NOT_EXHAUSTIVE, None)
        elif known.is_stated:
            # Where LVIS's meaning holds, it went by what was annotated before the review.
            image = {**image, EXHAUSTIVE: sorted(known.exhaustive[image["id"]])}
        if image.get(ABSENT):
            absent = [x for x in image[ABSENT] if x not in shown[image["id"]]]
            image = {**image, ABSENT: absent}
        images.append(image)
    return images


def _repaired(
    record: Mapping[str, Any], fields: Sequence[str], name: str, faults: list[str]
) -> dict[str, Any]:
    repaired = dict(record)
    for field in fields:
        value = repaired.pop(field, None)
        if value is None:
            continue
        if field == EXHAUSTIVE and value == ALL:
            repaired[field] = value
            continue
        ids = [read_id(x) for x in value] if isinstance(value, list) else [value]
        if all(type(x) is int for x in ids) and isinstance(value, list):
            repaired[field] = ids
        else:
            faults.append(f"{field} of {name}: {short(value)}")
    return repaired


def _unlisted(images: Iterable[Mapping[str, Any]], default: Any, ids: set[int]) -> Iterator[str]:
    if default not in (None, ALL):
        yield from (f"'info': {x}" for x in sorted(set(default) - ids))
    for image in images:
        named = {id_ for field in LISTS if image.get(field) != ALL for id_ in image.get(field, ())}
        yield from (f"image {image['id']}: {x}" for x in sorted(named - ids))


def _both(images: Iterable[Mapping[str, Any]], ids: set[int]) -> Iterator[str]:
    for image in images:
        exhaustive = image.get(EXHAUSTIVE, ())
        exhaustive = ids if exhaustive == ALL else set(exhaustive)
        both = exhaustive & set(image.get(NOT_EXHAUSTIVE, ()))
        yield from (f"image {image['id']}: category {x}" for x in sorted(both))


def _present(
    images: Iterable[Mapping[str, Any]], annotations: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Mined boxes are guesses, which contradict nobody."""
    absent = {x["id"]: set(x[ABSENT]) for x in images if x.get(ABSENT)}
    for x in annotations if absent else ():
        is_object = not is_region(x) and x.get("origin") != MINED
        if is_object and x["category_id"] in absent.get(x["image_id"], ()):
            yield f"{x.get('id', 'no id')}: category {x['category_id']} in image {x['image_id']}"
