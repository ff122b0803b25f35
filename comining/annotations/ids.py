"""Ids of annotations: free ones, and one for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any

from .values import LARGEST


def free_ids(annotations: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """The ids above all that annotations have, then, where these end, those left from 1 on."""
    used = {x["id"] for x in annotations if x.get("id") is not None}
    above = range(max(used, default=0) + 1, LARGEST + 1)
    return chain(above, (x for x in count(1) if x not in used and x not in above))


def numbered(annotations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The annotations, each with an id of its own, as decisions and other tools need it.

    Those without an id, or with that of an earlier one, get free ones in their order. (CVAT makes
    one box of those that share an id, and Label Studio's editor stops at them.)
    """
    free = free_ids(annotations)
    taken: set[int] = set()
    result = []
    for annotation in annotations:
        if annotation.get("id") is None or annotation["id"] in taken:
            annotation = {**annotation, "id": next(free)}
        taken.add(annotation["id"])
        result.append(annotation)
    return result
