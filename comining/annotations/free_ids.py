"""Ids for annotations that are added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Any

from .values import LARGEST


def free_ids(annotations: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """The ids above all that annotations have, then, where these end, those left from 1 on."""
    used = {x["id"] for x in annotations if "id" in x}
    above = range(max(used, default=0) + 1, LARGEST + 1)
    return chain(above, (x for x in count(1) if x not in used and x not in above))
