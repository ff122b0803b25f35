"""Images and categories that a data set lists several times.

Some exporters write an image once for each of its boxes or labels, and a category once for each
attribute. To training every entry would be an image of its own that lacks the boxes of the others.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from .report import Report

#: Two boxes of one category whose IoU is at least this are taken for the same object.
SAME_OBJECT_IOU = 0.7
#: If more of the boxes than this share recur in another entry of their file, these are several
#: annotators' versions of an image; if fewer, parts of one.
MAX_RECURRING = 0.1


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
        "image files are listed several times, with different sizes: keep one entry of each",
        map(_named, other_size.items()),
    )
    group_of = {x["id"]: number for number, same in enumerate(repeated.values()) for x in same}
    by_group: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for x in annotations:
        if x["image_id"] in group_of:
            by_group[group_of[x["image_id"]]].append(x)
    copies = {id(x) for members in by_group.values() for x in _copies(members)}
    left = [[x for x in members if id(x) not in copies] for members in by_group.values()]
    if sum(map(_num_recurring, left)) > MAX_RECURRING * sum(map(len, left)):
        report.add(
            "error",
            "image files are listed several times, with versions of the same boxes, as of several "
            "annotators: keep one entry of each file, with one version of its annotations",
            map(_named, repeated.items()),
        )
    elif not other_size:
        report.add(
            "repaired",
            "image files are listed several times: taken for one image each, with the annotations "
            "of all its entries",
            map(_named, repeated.items()),
        )
        report.add(
            "repaired",
            "annotations recur in other entries of their file: dropped",
            (x.get("id", "no id") for x in annotations if id(x) in copies),
        )
        first_id = {x["id"]: same[0]["id"] for same in repeated.values() for x in same}
        dropped = {id(x) for same in repeated.values() for x in same[1:]}
        images = [x for x in images if id(x) not in dropped]
        annotations = [
            {**x, "image_id": first_id[x["image_id"]]}
            if first_id.get(x["image_id"], x["image_id"]) != x["image_id"]
            else x
            for x in annotations
            if id(x) not in copies
        ]
    return images, annotations


def _named(entry: tuple[str, list[dict[str, Any]]]) -> str:
    name, same = entry
    return f"{name}: ids {', '.join(str(x['id']) for x in same)}"


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
