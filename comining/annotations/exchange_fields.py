"""Numbers, ids and switches as other tools write them: as such, as text, as null."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

from comining.errors import InputError


def as_number(value: Any) -> float | None:
    """A finite number, also one written as text; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_key(value: Any) -> Hashable | None:
    """What an id stands for: 3, 3.0 and "3" are the same one; a text that is no whole number stands
    for itself. None if it is no id."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return value or None
    return int(value) if isinstance(value, float) and value.is_integer() else None


def is_true(value: Any) -> bool:
    """Whether a switch is on: true or 1, also as text."""
    return str(value).strip().lower() in ("true", "1", "1.0")


def records(whole: Mapping[str, Any], key: str, name: str) -> list[Mapping[str, Any]]:
    """A list of objects in an export.

    Args:
        whole: the export.
        key: of the list.
        name: of the export, for the message.

    Raises:
        InputError: there is no such list, or it holds something else.
    """
    found = whole.get(key)
    if not isinstance(found, list):
        raise InputError(f"{name} is not in COCO format: it needs a list {key!r}")
    for number, record in enumerate(found):
        if not isinstance(record, Mapping):
            raise InputError(f"{name}: entry {number} of {key!r} is {record!r}, not an object")
    return found
