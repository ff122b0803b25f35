"""Regions to ignore: annotations that say where nothing is known, of one category or of all."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

from .values import is_region, read_flag


def mark_regions(records: list[Any]) -> list[Any]:
    """Put regions to ignore into one form: crowds with a box.

    Args:
        records: annotations as a file has them; they aren't changed.

    Returns:
        The records, of which those that `is_region` tells have ``iscrowd`` 1 and, where the file
        gives none, the ``bbox`` around their ``segmentation``: polygons or RLE.
    """
    return [_marked(x) if isinstance(x, dict) and is_region(x) else x for x in records]


def _marked(record: dict[str, Any]) -> dict[str, Any]:
    if read_flag(record.get("iscrowd")) == 0:
        record = {**record, "iscrowd": 1}
    if record.get("bbox") is None:
        box = box_around(record.get("segmentation"))
        if box is not None:
            record = {**record, "bbox": box}
    return record


def box_around(segmentation: Any) -> list[float] | None:
    """The smallest box, XYWH in pixels, around polygons or an RLE; None if it is neither.

    Args:
        segmentation: lists of x and y in turn, or an object with ``size`` (height, width) and
            ``counts``, a list of runs or COCO's compressed text.
    """
    try:
        if isinstance(segmentation, Mapping):
            return _box_around_runs(segmentation)
        x = [float(value) for polygon in segmentation for value in polygon[0::2]]
        y = [float(value) for polygon in segmentation for value in polygon[1::2]]
        return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _box_around_runs(rle: Mapping[str, Any]) -> list[float] | None:
    """Runs go down the columns, from the left; every second one is inside."""
    height, width = (int(x) for x in rle["size"])
    counts = rle["counts"]
    runs = _decompressed(counts) if isinstance(counts, str) else [int(x) for x in counts]
    if height <= 0 or min(runs) < 0 or sum(runs) != height * width:
        return None
    edges = pairwise(accumulate(runs))
    inside = [(a, b - 1) for i, (a, b) in enumerate(edges) if i % 2 == 0 and b > a]
    columns = [edge // height for run in inside for edge in run]
    rows = [edge % height for run in inside for edge in run]
    if any(a // height < b // height for a, b in inside):
        rows += [0, height - 1]
    left, top = min(columns), min(rows)
    return [float(x) for x in (left, top, max(columns) + 1 - left, max(rows) + 1 - top)]


def _decompressed(text: str) -> list[int]:
    """Runs of COCO's text: five bits a character, the lowest first; from the fourth number on,
    differences to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:  # the sign
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
