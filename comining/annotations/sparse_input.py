"""Which data sets a sparse protocol can be applied to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from comining.counted import counted
from comining.errors import InputError

from .known import check_known, repair_known
from .regions import mark_regions
from .repeats import merge_categories, merge_images
from .report import Report
from .values import is_region, repair_info, repair_records


def repair_dataset(dataset: Any, file_name: str) -> dict[str, Any]:
    """The data set with its values and repeated entries repaired as `read_coco` does.

    Args:
        dataset: what was read from the file; it isn't changed.
        file_name: names the file in the error.

    Raises:
        InputError: as for `check_dataset`, or the entries of one image file contradict each other.
    """
    check_lists(dataset, file_name)
    report = Report(file_name)
    repaired = {**dataset, "annotations": mark_regions(dataset["annotations"])}
    repair_info(repaired, report)
    is_usable = True
    for key in ("images", "annotations", "categories"):
        # What can't be read is told by `check_dataset`, which needs less of a record.
        repaired[key], usable = repair_records(repaired[key], key, Report(file_name))
        is_usable &= len(usable) == len(repaired[key])
    repair_known(repaired, report)
    if is_usable:
        repaired["categories"] = merge_categories(repaired["categories"], report)
        repaired["images"], repaired["annotations"] = merge_images(
            repaired["images"], repaired["annotations"], report
        )
    check_dataset(repaired, file_name)
    check_known(repaired, report)
    if report.is_fatal:
        raise InputError(str(report))
    return repaired


def check_dataset(dataset: Any, file_name: str) -> None:
    """Refuse a data set that a protocol can't be applied to.

    Needed are the lists `images` (each with an `id`), `categories` (`id`, `name`) and
    `annotations` (`id`, `image_id`, `category_id`, `bbox`, and `iscrowd` where it isn't 0) and, if
    there is one, `info` as an object. Ids are integers, unique in their list, and refer to what is
    there. Boxes hold four finite numbers (x, y, width, height). Width and height are not negative
    and not both zero: COCO's train2017 has boxes of zero height. Boxes may leave the image.

    Args:
        dataset: what was read from the file.
        file_name: names the file in the error.

    Raises:
        InputError: gives the number of offenders and the first ids, for each kind of error. A
            record without a usable id is given by its position, the first being `#0`.
    """
    check_lists(dataset, file_name)
    if not isinstance(dataset.get("info"), Mapping | None):
        raise InputError(f"{file_name}: 'info' must be a JSON object")

    errors: defaultdict[str, list[str]] = defaultdict(list)
    image_ids = _check_ids(dataset["images"], "images", errors)
    category_ids = _check_ids(dataset["categories"], "categories", errors)
    _check_ids(dataset["annotations"], "annotations", errors)
    for position, category in enumerate(dataset["categories"]):
        if isinstance(category, dict) and not isinstance(category.get("name"), str):
            errors["categories without a 'name' (text)"].append(_label(category, position))
    for position, annotation in enumerate(dataset["annotations"]):
        if isinstance(annotation, dict):
            for error in _annotation_errors(annotation, image_ids, category_ids):
                errors[error].append(_label(annotation, position))
    if errors:
        lines = [f"{file_name}: correct or remove these records first"]
        for error, labels in errors.items():
            more = ", ..." if len(labels) > 5 else ""
            lines.append(f"  {counted(len(labels), error)}: {', '.join(labels[:5])}{more}")
        raise InputError("\n".join(lines))


def check_lists(dataset: Any, file_name: str) -> None:
    if not isinstance(dataset, Mapping):
        raise InputError(f"{file_name}: a COCO data set is a JSON object")
    for key in ("images", "annotations", "categories"):
        if not isinstance(dataset.get(key), list):
            raise InputError(f"{file_name}: a COCO data set needs '{key}', a list of objects")


def _check_ids(records: list[Any], kind: str, errors: defaultdict[str, list[str]]) -> set[int]:
    """Add the errors of the records' ids to `errors` and return the ids."""
    count: Counter[int] = Counter()
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            errors[f"{kind} in another form than an object"].append(f"#{position}")
        elif type(record.get("id")) is not int:
            errors[f"{kind} without an 'id' (integer)"].append(f"#{position}")
        else:
            count[record["id"]] += 1
    duplicates = [str(id_) for id_, number in count.items() if number > 1]
    if duplicates:
        errors[f"ids that several {kind} share"] = duplicates
    return set(count)


def _annotation_errors(
    annotation: Mapping[str, Any], image_ids: set[int], category_ids: set[int]
) -> Iterator[str]:
    for key, known, what in (
        ("image_id", image_ids, "an image that is missing"),
        ("category_id", category_ids, "a category that is missing"),
    ):
        if key == "category_id" and annotation.get(key, 0) is None and is_region(annotation):
            continue
        if type(annotation.get(key)) is not int:
            yield f"annotations without '{key}' (integer)"
        elif annotation[key] not in known:
            yield f"annotations of {what}"
    for key in ("iscrowd", "ignore"):
        if type(annotation.get(key, 0)) is not int or annotation.get(key, 0) not in (0, 1):
            yield f"annotations whose {key!r} is not 0 or 1"
    box = annotation.get("bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(type(x) in (int, float) for x in box)):
        yield "annotations without 'bbox' (four numbers: x, y, width, height)"
    elif not all(-inf < x < inf for x in box):
        yield "boxes without finite numbers"
    elif min(box[2:]) < 0 or max(box[2:]) == 0:
        yield "boxes without an extent (negative width or height, or both zero)"


def _label(record: Mapping[str, Any], position: int) -> str:
    return str(record["id"]) if type(record.get("id")) is int else f"#{position}"
