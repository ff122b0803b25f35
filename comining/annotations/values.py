"""Values of COCO records, as exporters write them and as they are meant.

Many write numbers as text or with a decimal point, flags as true and false, and null for what is
not known. Where such a value has one meaning only, it is put in its right form.
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .report import Report, short

#: Stands for a value that can't be read.
UNUSABLE = object()
#: Stands for the value of a field that may as well be missing.
ABSENT = object()
#: Programs that know no whole numbers, as those that run in browsers, round larger ones.
LARGEST = 2**53
#: Beyond it, an object counts as neither small nor medium nor large.
LARGEST_AREA = 1e10

_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,20}(\.0*)?\s*")
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
#: What makes an annotation a region to ignore; the last two are Open Images'.
_REGION_FLAGS = ("iscrowd", "ignore", "IsGroupOf", "isgroupof")
_FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


class _Field(NamedTuple):
    """A field of a record.

    Attributes:
        read: gives the value itself if it is in the right form, else what it means or one of
            ``UNUSABLE`` and ``ABSENT``.
        kind: what the value must be.
    """

    name: str
    read: Callable[[Any], Any]
    kind: str
    is_optional: bool = False


def repair_records(
    records: list[Any], key: str, report: Report, *, names_as_ids: bool = False
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Put the fields of records into the form that COCO's format gives them.

    Args:
        records: what a list of a data set holds; they aren't changed.
        key: of the list: "images", "annotations" or "categories".
        report: gets, by field, what was repaired and what can't be read.
        names_as_ids: whether images may have texts for ids.

    Returns:
        All records, repaired as far as possible, and those that can be used.
    """
    image_id = "id" if key == "images" else "image_id"
    fields = [
        field._replace(read=read_id) if names_as_ids and field.name == image_id else field
        for field in _FIELDS[key]
    ]
    faults, repairs = defaultdict(list), defaultdict(list)
    everything, usable = [], []
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            faults["have another form than an object"].append(f"entry {position}: {short(record)}")
            everything.append(record)
            continue
        changed, is_usable = record, True
        for name, read, kind, is_optional in fields:
            value = record.get(name)
            if value is None and is_optional and name not in record:
                continue
            if value is None and name == "category_id" and _is_of_all_categories(record):
                continue
            meant = read(value)
            if meant is value:
                continue
            offender = f"{label(record, position)}: {short(value)}"
            if meant is UNUSABLE:
                is_usable = False
                faults[f"have no usable {name!r}: it must be {kind}"].append(offender)
                continue
            text = f"have {name!r} in another form: read as what it stands for"
            repairs[text].append(offender)
            changed = {**changed, name: meant}
            if meant is ABSENT:
                del changed[name]
        everything.append(changed)
        if is_usable:
            usable.append(changed)
    for severity, found in (("error", faults), ("repaired", repairs)):
        for text, offenders in found.items():
            report.add(severity, f"{key} {text}", offenders)
    return everything, usable


def repair_info(dataset: dict[str, Any], report: Report) -> None:
    """Make an object of ``info`` of a data set, if it is none."""
    info = dataset.get("info")
    if info is not None and not isinstance(info, dict):
        dataset["info"] = {"description": info} if info else {}
        report.add_whole("repaired", "'info' is no object: kept as its description")


def label(record: dict[str, Any], position: int) -> Any:
    """How a report names a record: its id or, if it has none, its place in the list."""
    id_ = record.get("id")
    return id_ if type(id_) in (int, str) else f"entry {position}"


def read_flag(value: Any) -> Any:
    """``iscrowd`` as 0 or 1; null is 0."""
    if type(value) is int and value in (0, 1):
        return value
    if value is None or value is False:
        return 0
    if value is True:
        return 1
    if isinstance(value, float) and value in (0, 1):
        return int(value)
    return _FLAGS.get(value.strip().lower(), UNUSABLE) if isinstance(value, str) else UNUSABLE


def is_region(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation is a region to ignore, not an object."""
    return 1 in [read_flag(annotation[flag]) for flag in _REGION_FLAGS if flag in annotation]


def read_id(value: Any) -> Any:
    """The number that an id stands for or, if it is a name, the name."""
    number = _read_whole(value)
    return value if number is UNUSABLE and isinstance(value, str) else number


def is_usable_area(value: Any) -> bool:
    """Whether it is a positive number, and none that COCO's evaluation ignores as too large."""
    return type(value) in (int, float) and 0 < value <= LARGEST_AREA


def _is_of_all_categories(record: dict[str, Any]) -> bool:
    return "category_id" in record and is_region(record)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all that a float can be
        return False


def _read_whole(value: Any) -> Any:
    if type(value) is int:
        return value if -LARGEST <= value <= LARGEST else UNUSABLE
    if isinstance(value, float) and value.is_integer():
        return _read_whole(int(value))
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return _read_whole(int(value.split(".")[0]))
    return UNUSABLE


def _read_optional_whole(value: Any) -> Any:
    return ABSENT if value is None else _read_whole(value)


def _read_number(value: Any) -> Any:
    if type(value) is float:
        return value
    if type(value) is int:
        return value if _is_finite(value) else UNUSABLE
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return UNUSABLE


def _read_box(value: Any) -> Any:
    if not isinstance(value, list) or len(value) != 4:
        return UNUSABLE
    a, b, c, d = value
    if type(a) is type(b) is type(c) is type(d) is float:  # most are; a loop takes its time
        return value
    numbers = [_read_number(x) for x in value]
    if any(x is UNUSABLE for x in numbers):
        return UNUSABLE
    return value if all(x is y for x, y in zip(numbers, value, strict=True)) else numbers


def _read_score(value: Any) -> Any:
    """What is no score matters only for mined boxes, of which `check_scores` tells."""
    if value is None:
        return ABSENT
    number = _read_number(value)
    return value if number is UNUSABLE else number


def _read_file_name(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return UNUSABLE
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return UNUSABLE
    return value


def _read_name(value: Any) -> Any:
    if type(value) is int:
        return str(value) if abs(value) <= LARGEST else UNUSABLE
    if not isinstance(value, str):
        return UNUSABLE
    try:
        value.encode()
    except UnicodeEncodeError:
        return UNUSABLE
    return value


_WHOLE_KIND = "a whole number of at most 2^53"
_FIELDS = {
    "images": [
        _Field("id", _read_whole, _WHOLE_KIND),
        _Field("file_name", _read_file_name, "a text"),
        _Field("width", _read_whole, _WHOLE_KIND),
        _Field("height", _read_whole, _WHOLE_KIND),
    ],
    "categories": [
        _Field("id", _read_whole, _WHOLE_KIND),
        _Field("name", _read_name, "a text"),
    ],
    "annotations": [
        _Field("id", _read_optional_whole, f"{_WHOLE_KIND}, or missing", is_optional=True),
        _Field("image_id", _read_whole, _WHOLE_KIND),
        _Field("category_id", _read_whole, _WHOLE_KIND),
        _Field("bbox", _read_box, "a list of four numbers: x, y, width and height"),
        _Field("iscrowd", read_flag, "0 or 1", is_optional=True),
        _Field("ignore", read_flag, "0 or 1", is_optional=True),
        _Field("score", _read_score, "a number, or missing", is_optional=True),
    ],
}
