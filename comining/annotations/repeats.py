"""Images and categories that a data set lists several times.

Some exporters write an image once for each of its boxes or labels, and a category once for each
attribute. To training every entry would be an image of its own that lacks the boxes of the others.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .known import joined_lists
from .report import Report, some

#: Two boxes of one category whose IoU is at least this are taken for the same object.
SAME_OBJECT_IOU = 0.7
#: If more of the boxes than this share recur in another entry of their file, these are several
#: annotators' versions of an image; if fewer, parts of one.
MAX_RECURRING = 0.1
#: Of how many boxes that is found out, of one image and in all.
NUM_COMPARED = 1_000, 10_000


def merge_categories(categories: Sequence[dict[str, Any]], report: Report) -> list[dict[str, Any]]:
    """Keep one entry of each category whose id and name are those of another."""
    entries: defaultdict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for x in categories:
        entries[x["id"], x["name"]].append(x)
    report.add(
        "repaired",
        "categories are listed several times with the same id and name: taken for one",
        (f"{id_}: {name!r}" for (id_, name), same in entries.items() if len(same) > 1),
    )
    return [same[0] for same in entries.values()]


def merge_images(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]], report: Report
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Make one image of entries that name the same file, with the annotations of all.

    An annotation that several entries have alike is kept once. Nothing is merged, and the report
    gets an error, if the entries tell different sizes or show versions of the same annotations.

    Args:
        images: usable records. Those without ``file_name`` are left alone.
        annotations: usable records.
        report: gets what was merged.

    Returns:
        Images and annotations.
    """
    entries: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for x in images:
        if isinstance(x.get("file_name"), str):
            entries[os.path.normpath(x["file_name"])].append(x)
    repeated = {name: same for name, same in entries.items() if len(same) > 1}
    if not repeated or _share_ids(images):
        return images, annotations
    other_size = {
        name: same
        for name, same in repeated.items()
        if len({(x.get("width"), x.get("height")) for x in same}) > 1
    }
    report.add(
        "error",
        "image files are listed several times, with different sizes: keep one entry per file",
        map(_named, other_size.items()),
    )
    by_file = _by_file(repeated, annotations)
    copies = {id(x) for members in by_file for x in _copies(members)}
    if _are_versions([x for x in members if id(x) not in copies] for members in by_file):
        report.add(
            "error",
            "image files are listed several times, with versions of the same boxes, as of several "
            "annotators: keep one entry of each file, with one version of its annotations",
            map(_named, repeated.items()),
        )
    elif not other_size:
        report.add(
            "repaired",
            "image files are listed several times: taken for one image per file, with the "
            "annotations of all its entries",
            map(_named, repeated.items()),
        )
        report.add(
            "repaired",
            "annotations are in other entries of their file, too: dropped",
            (x.get("id", "no id") for x in annotations if id(x) in copies),
        )
        left = [x for x in annotations if id(x) not in copies]
        return _joined(repeated.values(), images, left)
    return images, annotations


def _by_file(
    entries: dict[str, list[dict[str, Any]]], annotations: list[dict[str, Any]]
) -> list[list[dict[str, Any]]]:
    number_of = {x["id"]: number for number, same in enumerate(entries.values()) for x in same}
    groups: list[list[dict[str, Any]]] = [[] for _ in entries]
    for x in annotations:
        if x["image_id"] in number_of:
            groups[number_of[x["image_id"]]].append(x)
    return groups


def _joined(
    groups: Iterable[list[dict[str, Any]]],
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first image of each group in place of all, which is what annotations refer to."""
    first_id: dict[int, int] = {}
    others: set[int] = set()
    lists: dict[int, dict[str, Any]] = {}
    for first, *more in groups:
        lists[id(first)] = joined_lists([first, *more])
        first_id.update((x["id"], first["id"]) for x in more)
        others.update(map(id, more))
    left = [{**x, **lists.get(id(x), {})} for x in images if id(x) not in others]
    return left, [
        {**x, "image_id": first_id[x["image_id"]]} if x["image_id"] in first_id else x
        for x in annotations
    ]


def _named(entry: tuple[str, list[dict[str, Any]]]) -> str:
    name, same = entry
    return f"{name}: ids {some(x['id'] for x in same)}"


def _share_ids(images: list[dict[str, Any]]) -> bool:
    """Whether an id stands for several files, so that nobody knows whose annotations it has."""
    names: dict[int, str] = {}
    return any(
        names.setdefault(x["id"], name) != name
        for x in images
        if (name := os.path.normpath(str(x.get("file_name"))))
    )


def _copies(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of annotations of one file, those that an earlier entry of it has alike."""
    first: dict[tuple[Any, ...], int] = {}
    return [
        x
        for x in annotations
        if first.setdefault((x["category_id"], x.get("iscrowd", 0), *x["bbox"]), x["image_id"])
        != x["image_id"]
    ]


def _are_versions(groups: Iterable[list[dict[str, Any]]]) -> bool:
    """Whether most entries of a file show the same objects, each in its own way.

    Args:
        groups: by file, the annotations of its entries.
    """
    of_one, of_all = NUM_COMPARED
    compared = recurring = 0
    for members in groups:
        compared += len(members[:of_one])
        recurring += _num_recurring(members[:of_one])
        if compared >= of_all:
            break
    return recurring > MAX_RECURRING * compared


def _num_recurring(annotations: list[dict[str, Any]]) -> int:
    """Of annotations of one file, how many have much the same box in another entry of it."""
    if not annotations:
        return 0
    entry = np.array([x["image_id"] for x in annotations])
    category = np.array([x["category_id"] for x in annotations])
    boxes = np.array([x["bbox"] for x in annotations], dtype=np.float64)
    recurring = 0
    with np.errstate(all="ignore"):
        for number, (x, y, width, height) in enumerate(boxes):
            others = (entry != entry[number]) & (category == category[number])
            left, top, w, h = boxes[others].T
            across = np.minimum(left + w, x + width) - np.maximum(left, x)
            down = np.minimum(top + h, y + height) - np.maximum(top, y)
            shared = np.maximum(across, 0) * np.maximum(down, 0)
            recurring += bool((shared >= SAME_OBJECT_IOU * (w * h + width * height - shared)).any())
    return recurring
