"""Reading and checking COCO annotation files of any quality."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any

from comining.errors import InputError

from .boxes import sound_annotations
from .image_files import is_leftover, leads_outside, missing_files, named_by_address
from .known import check_known, repair_known
from .regions import mark_regions
from .repeats import merge_categories, merge_images
from .report import Report
from .values import repair_info, repair_records

#: More pixels than that are taken for a decompression bomb by Pillow.
MAX_PIXELS = 178_956_970


def read_coco(
    json_file: str | Path, image_root: str | Path | None = None
) -> tuple[dict[str, Any], Report]:
    """Read an annotation file, check all that its text tells, and repair what can be repaired.

    Values are repaired as `read_repaired` says. Boxes that reach beyond their image are clipped.
    Annotations are dropped whose box is not finite, has no area or lies outside the image, or whose
    image is not listed. The report counts everything; the error that it may contain is the caller's
    to raise.

    Args:
        json_file: in COCO format. Of annotations, ``image_id``, ``category_id`` and ``bbox`` are
            read, and ``id``, ``iscrowd``, ``ignore`` and ``area`` where there are any.
        image_root: folder of the images; without it, files are not looked for.

    Returns:
        ``images``, ``annotations`` and ``categories``, sound if the report has no error, and the
        report. Only crowds, which are regions to ignore, may have the ``category_id`` None: they
        are of all categories. What an error was found in is left out as far as that goes.

    Raises:
        InputError: the file is missing, no JSON, or no object.
    """
    dataset, report = read_repaired(json_file)
    images, categories = dataset["images"], dataset["categories"]
    _check_images(images, image_root, report)
    annotations = sound_annotations(images, dataset.get("annotations", []), categories, report)
    return {**dataset, "annotations": annotations}, report


def read_repaired(
    json_file: str | Path, *, names_as_ids: bool = False
) -> tuple[dict[str, Any], Report]:
    """Read an annotation file with all of its annotations, in the form of COCO's format.

    Ids, sizes, coordinates and ``iscrowd`` that stand for a number, such as "7", 7.0 or false,
    become that number. Images of LVIS are named as `named_by_address` says. Regions to ignore
    become crowds with a box, as `mark_regions` says. What the file says besides, as
    `comining.annotations.known` tells, must make sense. Categories of the same id and name become
    one, and so do images of the same file and size, with the annotations of all.

    Args:
        json_file: in COCO format.
        names_as_ids: whether images may have texts for ids, as detectron2 allows.

    Returns:
        The data set with ``images`` and ``categories``, and ``annotations`` if it has any, and the
        report. Records that can't be read are left out and reported as errors.

    Raises:
        InputError: the file is missing, no JSON, or no object.
    """
    name = str(json_file)
    dataset = read_json(Path(json_file))
    if not isinstance(dataset, dict):
        raise InputError(
            f"{name} is not in COCO format: it must be an object with lists in it. "
            "`comining convert` makes a COCO file of other formats"
        )
    report = Report(name)
    usable = {}
    for key in ("images", "annotations", "categories"):
        records = _list(dataset, key, report)
        setattr(report, f"num_{key}", len(records))
        if key == "images":
            records = named_by_address(records, report)
        elif key == "annotations":
            records = mark_regions(records)
        usable[key] = repair_records(records, key, report, names_as_ids=names_as_ids)[1]
    categories = merge_categories(usable["categories"], report)
    _check_categories(categories, report)
    repaired = {**dataset, "images": usable["images"], "categories": categories}
    repair_info(repaired, report)
    repair_known(repaired, report)
    images, annotations = merge_images(repaired["images"], usable["annotations"], report)
    report.add("error", "image ids occur twice", repeated(x["id"] for x in images))
    report.add(
        "note",
        "annotation ids occur twice: give each its own, as `comining sparsify` needs",
        repeated(x["id"] for x in annotations if "id" in x),
    )
    repaired["images"] = images
    # Images to be evaluated elsewhere come without annotations.
    if repaired.pop("annotations", None) is not None:
        repaired["annotations"] = annotations
    check_known(repaired, report)
    return repaired, report


def read_categories(json_file: str | Path) -> list[dict[str, Any]]:
    """The categories of an annotation file by id, whatever else is in it.

    Raises:
        InputError: the file is missing, no JSON, or they have the wrong form.
    """
    dataset = read_json(Path(json_file))
    report = Report(str(json_file))
    if not isinstance(dataset, dict):
        raise InputError(f"{json_file} is not in COCO format: it must be an object")
    records = _list(dataset, "categories", report)
    categories = merge_categories(repair_records(records, "categories", report)[1], report)
    if report.is_fatal:
        raise InputError("\n  ".join([str(json_file), *map(str, report.findings)]))
    return sorted(categories, key=itemgetter("id"))


def read_json(path: Path) -> Any:
    """What a JSON file holds; an `InputError` names a file that can't be read or is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    except RecursionError as error:
        raise InputError(f"{path} is nested too deeply for an annotation file") from error
    except ValueError as error:  # not JSON, not UTF-8, or an integer of thousands of digits
        raise InputError(f"{path} is not a JSON file: {error}") from error


def repeated(ids: Iterable[Any]) -> list[Any]:
    return [id_ for id_, number in Counter(ids).items() if number > 1]


def _list(dataset: dict[str, Any], key: str, report: Report) -> list[Any]:
    records = dataset.get(key)
    if isinstance(records, list):
        if not records and key != "annotations":
            report.add_whole("error", f"the file lists no {key}: at least one is needed")
        return records
    if records is not None or key != "annotations":
        report.add_whole("error", f"the file is not in COCO format: it needs a list {key!r}")
    return []


def _check_categories(categories: list[dict[str, Any]], report: Report) -> None:
    report.add("error", "category ids occur twice", repeated(x["id"] for x in categories))
    # Results, thresholds and reviews tell categories by their names.
    ids = defaultdict(set)
    for x in categories:
        ids[x["name"]].add(x["id"])
    report.add(
        "error",
        "category names occur twice: rename or merge them",
        (
            f"{name!r}: ids {', '.join(map(str, sorted(same)))}"
            for name, same in ids.items()
            if len(same) > 1
        ),
    )


def _check_images(
    images: list[dict[str, Any]], image_root: str | Path | None, report: Report
) -> None:
    report.add(
        "error",
        "images have no area",
        (x["id"] for x in images if x["width"] <= 0 or x["height"] <= 0),
    )
    report.add(
        "error",
        f"images have more than {MAX_PIXELS} pixels: cut them into tiles",
        (x["id"] for x in images if x["width"] * x["height"] > MAX_PIXELS),
    )
    names = {x["file_name"] for x in images}
    outside = {name for name in names if leads_outside(name)}
    report.add("error", "files are outside the image folder", sorted(outside))
    leftovers = {name for name in names if is_leftover(name)}
    report.add(
        "error",
        "image files are none, but what macOS leaves beside images: remove their entries",
        sorted(leftovers),
    )
    if image_root is not None:
        missing = missing_files(names - outside - leftovers, Path(image_root))
        report.add("error", f"image files are not in {image_root}", sorted(missing))
