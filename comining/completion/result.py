"""What a completion reports."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from comining.annotations.coco_file import read_json

from .evidence import NEW, Evidence
from .folder import Folder
from .thresholds import Chosen


def category_rows(
    dataset: Mapping[str, Any],
    evidence: Evidence,
    chosen: Sequence[Chosen],
    category_ids: Sequence[int],
) -> list[dict[str, Any]]:
    """For each category what `comining.completion.Completion` says of it."""
    annotated = Counter(x["category_id"] for x in dataset["annotations"] if not x.get("iscrowd"))
    names = {x["id"]: x["name"] for x in dataset["categories"]}
    rows = []
    for class_, (id_, choice) in enumerate(zip(category_ids, chosen, strict=True)):
        of_class = evidence.of_class(class_)
        added = (of_class.near == NEW) & (of_class.scores >= choice.threshold)
        rows.append(
            {
                "name": names[id_],
                "annotated": annotated[id_],
                "added": int(added.sum()),
                "precision": _known(choice.precision),
                "recall": _known(choice.recall),
                "threshold": _known(choice.threshold),
            }
        )
    return rows


def read_result(folder: Folder) -> tuple[dict[str, Any], list[dict[str, Any]], dict[int, str]]:
    """What a finished completion has left in its folder."""
    result = read_json(folder.result)
    unreadable = {int(id_): why for id_, why in result["unreadable"].items()}
    return read_json(folder.completed), result["categories"], unreadable


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
