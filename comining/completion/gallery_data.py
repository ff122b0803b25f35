"""What the review page shows of a completed data set."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from comining.annotations.coco_file import read_coco
from comining.annotations.completion import MINED, check_scores
from comining.annotations.ids import numbered
from comining.annotations.withheld import full_original, withheld_annotations
from comining.errors import InputError

logger = logging.getLogger(__name__)

#: A box hits another if their IoU is above.
HIT_IOU = 0.5
Annotation = dict[str, Any]


def read_completed(json_file: Path, image_root: Path | None) -> dict[str, Any]:
    """A completed data set in COCO format.

    Args:
        json_file: its file. Annotations with ``origin`` "mined" are mined and have a ``score``.
        image_root: folder of the images, which must be there; None if they don't matter.

    Raises:
        InputError: the file can't be used.
    """
    dataset, report = read_coco(json_file, image_root)
    check_scores(dataset["annotations"], report)
    if report.is_fatal:
        raise InputError(f"{json_file} can't be used. {report}")
    if report.findings:
        print(report, file=sys.stderr)
    return dataset


def gallery_data(
    dataset: dict[str, Any], json_file: Path, full_file: Path | None = None
) -> dict[str, Any]:
    """What the page shows of a data set.

    If the full original is known, annotations that only the original has are shown as withheld,
    and mined boxes that are on no annotation of their class, known or withheld (IoU above 0.5), as
    wrong. Crowds are left out.

    Args:
        dataset: as `read_completed` returns it.
        json_file: what it was read from.
        full_file: the full original; if None, the one that the data set names, if it is there.

    Returns:
        ``kinds`` and ``classes``, lists of names; ``categories``, the ids of the classes; ``key``,
        a text that another data set does not have; and ``images``, a list of ``id``, ``name``,
        ``width``, ``height`` and ``boxes``: [index of the kind, index of the class, x, y, width,
        height, score or None, 1 for a withheld box that was found, id or None for a withheld box].
        The ids are those of the data set, ``numbered``. The image with the lowest score comes
        first.

    Raises:
        InputError: the full original can't be used, or isn't that of the data set.
    """
    annotations = [x for x in dataset["annotations"] if not x.get("iscrowd")]
    mined = [x for x in annotations if x.get("origin") == MINED]
    annotated = [x for x in annotations if x.get("origin") != MINED]
    by_kind = {"annotated": annotated, "mined": mined}
    found: set[int] = set()
    full_file = _full_file(dataset, json_file, full_file)
    if full_file is not None:
        withheld = read_withheld({**dataset, "annotations": annotated}, json_file, full_file)
        by_kind["mined"], by_kind["wrong"], found = judge(mined, annotated, withheld)
        by_kind["withheld"] = withheld

    categories = sorted(dataset["categories"], key=itemgetter("id"))
    return {
        "kinds": list(by_kind),
        "classes": [x["name"] for x in categories],
        "categories": [x["id"] for x in categories],
        "key": _key(dataset),
        "images": _images(dataset, [x["id"] for x in categories], by_kind, found),
    }


def _images(
    dataset: dict[str, Any],
    categories: list[int],
    by_kind: dict[str, list[dict[str, Any]]],
    found: set[int],
) -> list[dict[str, Any]]:
    """The images with their boxes, as `gallery_data` says."""
    class_of = {id_: index for index, id_ in enumerate(categories)}
    ids = _ids(dataset)
    boxes = defaultdict(list)
    for kind, members in enumerate(by_kind.values()):
        for x in members:
            box = [round(value, 1) for value in x["bbox"]]
            score = x["score"] if x.get("origin") == MINED else None
            found_or_not, id_ = int(id(x) in found), ids.get(id(x))
            row = [kind, class_of[x["category_id"]], *box, score, found_or_not, id_]
            boxes[x["image_id"]].append(row)
    images = [
        {
            "id": x["id"],
            "name": x["file_name"],
            "width": x["width"],
            "height": x["height"],
            "boxes": boxes[x["id"]],
        }
        for x in dataset["images"]
    ]
    # As the page sorts them at first: what is seen first is read first.
    images.sort(
        key=lambda image: min((x[6] for x in image["boxes"] if x[6] is not None), default=2)
    )
    return images


def _full_file(dataset: dict[str, Any], json_file: Path, full_file: Path | None) -> Path | None:
    info = dataset.get("info")
    if isinstance(info, dict) and "reviewed" in info:
        # Accepted boxes kept the ids that they were mined with; withheld ones may have the same.
        if full_file is not None:
            raise InputError(
                f"{json_file} was reviewed, so that its ids no longer tell what {full_file} has in "
                "addition: leave --full out, or show the file that was reviewed"
            )
    elif full_file is None:
        full_file = full_original(dataset, json_file)
        if full_file is not None and not full_file.is_file():
            # In the folder of a completion it never lies: nobody expects it there.
            if not json_file.with_name("source.json").exists():
                logger.warning(
                    f"what was withheld is not shown, as {full_file} is not there: "
                    "name it with --full"
                )
            full_file = None
    return full_file


def _ids(dataset: dict[str, Any]) -> dict[int, int]:
    """By the `id()` of each annotation, the id that decisions know it by."""
    pairs = zip(dataset["annotations"], numbered(dataset["annotations"]), strict=True)
    return {id(x): y["id"] for x, y in pairs}


def _key(dataset: dict[str, Any]) -> str:
    fields = itemgetter("image_id", "category_id", "bbox")
    content = [dataset["categories"], [fields(x) for x in dataset["annotations"]]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def read_withheld(dataset: dict[str, Any], json_file: Path, full_file: Path) -> list[Annotation]:
    """The annotations that only the full original has, of the data set's images.

    Args:
        dataset: without mined annotations: their ids may be those of withheld ones.
        json_file: what it was read from.
        full_file: the full original.
    """
    by_image = withheld_annotations(dataset, full_file)
    withheld = [x for image in dataset["images"] for x in by_image.get(image["id"], [])]
    known = {x["id"] for x in dataset["categories"]}
    unknown = sorted({x["category_id"] for x in withheld} - known)
    if unknown:
        raise InputError(
            f"{full_file} uses categories that {json_file} does not list (ids "
            f"{', '.join(map(str, unknown[:5]))}): it is not its full original"
        )
    return withheld


def judge(
    mined: list[Annotation], annotated: list[Annotation], withheld: list[Annotation]
) -> tuple[list[Annotation], list[Annotation], set[int]]:
    """Tell which mined annotations are right.

    Returns:
        The mined annotations that are on an annotated or withheld one of their image and class
        (IoU above 0.5), the others, and the `id()` of each withheld one that a mined one is on.
    """
    right: list[Annotation] = []
    wrong: list[Annotation] = []
    found: set[int] = set()
    mined_of, annotated_of, withheld_of = map(by_image, (mined, annotated, withheld))
    for image_id, candidates in mined_of.items():
        hidden = withheld_of[image_id]
        hits = overlap_any(candidates, hidden + annotated_of[image_id])
        for x, hit in zip(candidates, hits, strict=True):
            (right if hit else wrong).append(x)
        is_found = overlap_any(hidden, candidates)
        found |= {id(x) for x, hit in zip(hidden, is_found, strict=True) if hit}
    return right, wrong, found


def by_image(annotations: Iterable[Annotation]) -> defaultdict[int, list[Annotation]]:
    grouped = defaultdict(list)
    for x in annotations:
        grouped[x["image_id"]].append(x)
    return grouped


def overlap_any(annotations: list[Annotation], others: list[Annotation]) -> list[bool]:
    """Which annotations of an image are on one of the others, of the same class."""
    if not annotations or not others:
        return [False] * len(annotations)
    (start, end, classes), (other_start, other_end, other_classes) = map(
        _edges, (annotations, others)
    )
    common_start = np.maximum(start[:, None], other_start)
    common = (np.minimum(end[:, None], other_end) - common_start).clip(0).prod(-1)
    areas, other_areas = (end - start).prod(-1), (other_end - other_start).prod(-1)
    iou = common / (areas[:, None] + other_areas - common)
    return ((iou > HIT_IOU) & (classes[:, None] == other_classes)).any(1).tolist()


def _edges(annotations: list[Annotation]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(M, 2) first and last corners, and (M,) classes."""
    boxes = np.array([x["bbox"] for x in annotations], dtype=np.float64)
    classes = np.array([x["category_id"] for x in annotations])
    return boxes[:, :2], boxes[:, :2] + boxes[:, 2:], classes
