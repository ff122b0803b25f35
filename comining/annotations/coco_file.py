"""Reading and checking COCO annotation files of any quality."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from comining.errors import InputError

#: How many offenders of a kind a report names.
NUM_NAMED = 5
#: More pixels than that are taken for a decompression bomb by Pillow.
MAX_PIXELS = 178_956_970


@dataclass(frozen=True)
class Finding:
    """One kind of problem.

    Attributes:
        severity: "error" (the file can't be used), "repaired" or "note".
        text: what is wrong and, if repaired, by which rule.
        offenders: ids or names.
    """

    severity: str
    text: str
    offenders: list[Any]

    def __str__(self) -> str:
        named = ", ".join(str(x) for x in self.offenders[:NUM_NAMED])
        more = ", ..." if len(self.offenders) > NUM_NAMED else ""
        return f"{self.severity}: {len(self.offenders)} {self.text} ({named}{more})"


@dataclass
class Report:
    """What the check of an annotation file found."""

    json_file: str
    num_images: int = 0
    num_annotations: int = 0
    num_categories: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, severity: str, text: str, offenders: Iterable[Any]) -> None:
        """Add a `Finding` if there are offenders."""
        offenders = list(offenders)
        if offenders:
            self.findings.append(Finding(severity, text, offenders))

    @property
    def is_fatal(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def __str__(self) -> str:
        head = (
            f"{self.json_file}: {self.num_images} images, {self.num_annotations} annotations, "
            f"{self.num_categories} categories"
        )
        return "\n  ".join([head, *map(str, self.findings)])


def read_coco(
    json_file: str | Path, image_root: str | Path | None = None
) -> tuple[dict[str, Any], Report]:
    """Read an annotation file, check all that its text tells, and repair what can be repaired.

    Boxes that reach beyond their image are clipped. Annotations are dropped whose box is not
    finite, has no area or lies outside the image, or whose image is not listed. The report counts
    everything; the error that it may contain is the caller's to raise.

    Args:
        json_file: in COCO format. Of annotations, ``image_id``, ``category_id`` and ``bbox`` are
            read, and ``id`` and ``iscrowd`` where there are any.
        image_root: folder of the images; without it, files are not looked for.

    Returns:
        ``images``, ``annotations`` and ``categories``, sound if the report has no error, and the
        report.

    Raises:
        InputError: the file is missing, no JSON, or its lists or records have the wrong form.
    """
    name = str(json_file)
    dataset = read_json(Path(json_file))
    images, annotations, categories = (_records(name, dataset, key) for key in _FIELDS)
    report = Report(name, len(images), len(annotations), len(categories))
    report.add("error", "image ids occur twice", _repeated(x["id"] for x in images))
    report.add("error", "category ids occur twice", _repeated(x["id"] for x in categories))
    # Results, thresholds and reviews tell categories by their names.
    report.add(
        "error",
        "category names occur twice: rename or merge these categories",
        _same_names(categories),
    )
    report.add(
        "note",
        "annotation ids occur twice: they do not matter here",
        _repeated(x["id"] for x in annotations if "id" in x),
    )
    if not images:
        raise InputError(f"{name} lists no images: at least one is needed")
    if not categories:
        raise InputError(f"{name} lists no categories: at least one is needed")
    _check_images(images, image_root, report)
    return {
        **dataset,
        "images": images,
        "categories": categories,
        "annotations": _sound_annotations(images, annotations, categories, report),
    }, report


def read_categories(json_file: str | Path) -> list[dict[str, Any]]:
    """The categories of an annotation file by id, whatever else is in it.

    Raises:
        InputError: the file is missing, no JSON, or they have the wrong form.
    """
    dataset = read_json(Path(json_file))
    categories = _records(str(json_file), dataset, "categories")
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


_FIELDS: dict[str, dict[str, type]] = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "annotations": {"image_id": int, "category_id": int, "bbox": list},
    "categories": {"id": int, "name": str},
}


def _records(name: str, dataset: Any, key: str) -> list[dict[str, Any]]:
    """One of the three lists of a data set, each record with fields of the right types."""
    if not isinstance(dataset, dict):
        raise InputError(f"{name} is not in COCO format: it must be an object with lists in it")
    # Images to be evaluated elsewhere come without annotations.
    records = dataset.get(key, [] if key == "annotations" else None)
    if not isinstance(records, list):
        raise InputError(f"{name} is not in COCO format: it needs a list {key!r}")
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError(f"{name}: entry {number} of {key!r} is {record!r}, not an object")
        optional = {x: int for x in ("id", "iscrowd") if x in record}
        for wanted, kind in {**_FIELDS[key], **optional}.items():
            value = record.get(wanted)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise InputError(
                    f"{name}: entry {number} of {key!r} (id {record.get('id')}) has "
                    f"{wanted!r} {_short(value)}; it must be {_KIND_NAMES[kind]}"
                )
    return records


_KIND_NAMES = {int: "an integer", str: "a text", list: "a list of four numbers"}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _repeated(ids: Iterable[Any]) -> list[Any]:
    return [id_ for id_, number in Counter(ids).items() if number > 1]


def _same_names(categories: list[dict[str, Any]]) -> list[str]:
    ids = defaultdict(set)
    for x in categories:
        ids[x["name"]].add(x["id"])
    return [
        f"{name!r}: ids {', '.join(map(str, sorted(same)))}"
        for name, same in ids.items()
        if len(same) > 1
    ]


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
    outside = {x["file_name"] for x in images if leads_outside(x["file_name"])}
    report.add("error", "file names lead outside the image folder", sorted(outside))
    if image_root is not None:
        missing = _missing({x["file_name"] for x in images} - outside, Path(image_root))
        report.add("error", f"image files are not in {image_root}", sorted(missing))


def leads_outside(file_name: str) -> bool:
    """Whether a path, taken relative to a folder, leaves that folder (symbolic links apart)."""
    normal = os.path.normpath(file_name.replace("\\", "/"))
    return os.path.isabs(normal) or normal.split("/")[0] == ".." or "\0" in file_name


def _missing(names: Iterable[str], root: Path) -> list[str]:
    """The files that are not there. Every folder is listed once: that takes less than a look at
    each of a hundred thousand files."""
    listed: dict[str, set[str]] = {}
    missing = []
    for name in names:
        folder, base = os.path.split(name)
        if folder not in listed:
            try:
                listed[folder] = set(os.listdir(root / folder))
            except OSError:
                listed[folder] = set()
        if base not in listed[folder]:
            missing.append(name)
    return missing


def _sound_annotations(
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    report: Report,
) -> list[dict[str, Any]]:
    boxes = _boxes(annotations, report.json_file)
    sizes = {x["id"]: (x["width"], x["height"]) for x in images}
    known = {x["id"] for x in categories}

    def name(rows: np.ndarray) -> list[Any]:
        return [annotations[i].get("id", f"entry {i}") for i in np.flatnonzero(rows)]

    report.add(
        "error",
        "annotations have a category that is not listed",
        name(np.array([x["category_id"] not in known for x in annotations], dtype=bool)),
    )
    lost = np.array([x["image_id"] not in sizes for x in annotations], dtype=bool)
    limits = np.array([sizes.get(x["image_id"], (1, 1)) for x in annotations]).reshape(-1, 2)
    finite = np.isfinite(boxes).all(axis=1)
    flat = finite & (boxes[:, 2:] <= 0).any(axis=1)
    sound = finite & ~flat & ~lost
    start = boxes[:, :2]
    with np.errstate(invalid="ignore", over="ignore"):
        end = start + boxes[:, 2:]
        clipped_start, clipped_end = start.clip(0, limits), end.clip(0, limits)
        off = sound & ~(clipped_end > clipped_start).all(axis=1)
        # Files round to some decimals; that is no mistake worth a word.
        beyond = sound & ~off & ((start < -0.5) | (end > limits + 0.5)).any(axis=1)
    inexact = sound & ~off & ((start < 0) | (end > limits)).any(axis=1)
    report.add("repaired", "annotations of images that are not listed: dropped", name(lost))
    report.add("repaired", "boxes are not finite: dropped", name(~finite & ~lost))
    report.add("repaired", "boxes have no area: dropped", name(flat & ~lost))
    report.add("repaired", "boxes lie outside their image: dropped", name(off))
    report.add("repaired", "boxes reach beyond their image: clipped", name(beyond))
    for row in np.flatnonzero(inexact):
        corner, extent = clipped_start[row], clipped_end[row] - clipped_start[row]
        annotations[row] = {**annotations[row], "bbox": [*corner.tolist(), *extent.tolist()]}
    if (sound & ~off).all():
        return annotations
    return [annotations[row] for row in np.flatnonzero(sound & ~off)]


def _boxes(annotations: list[dict[str, Any]], name: str) -> np.ndarray:
    """(M, 4) float64, XYWH."""
    for number, annotation in enumerate(annotations):
        box = annotation["bbox"]
        if len(box) != 4 or not all(
            isinstance(x, (int, float)) and not isinstance(x, bool) for x in box
        ):
            raise InputError(
                f"{name}: entry {number} of 'annotations' (id {annotation.get('id')}) has the "
                f"bbox {_short(box)}; it must be a list of four numbers"
            )
    try:
        return np.array([x["bbox"] for x in annotations], dtype=np.float64).reshape(-1, 4)
    except OverflowError as error:
        raise InputError(f"{name}: a bbox holds an integer too large for a number") from error
