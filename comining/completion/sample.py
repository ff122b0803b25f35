"""Proposals to be judged, so that the precision of all of them can be told."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.errors import InputError
from comining.evaluation.proportion import wilson_interval
from comining.output_file import write_atomically


def draw_sample(data: dict[str, Any], number: int, seed: int) -> list[int]:
    """Draw mined boxes, evenly over their scores.

    In the order of their scores, boxes in equal distances are taken, the first one by chance. So
    each box is drawn with the same chance, and scores of each range are as frequent as among all.

    Args:
        data: as `gallery_data` returns it.
        number: how many, at least 1; of fewer boxes, all.
        seed: fixes which.

    Returns:
        Their ids, in random order, so that the first ones are a sample, too.

    Raises:
        InputError: nothing was mined.
    """
    boxes = [x for image in data["images"] for x in image["boxes"] if x[6] is not None]
    if not boxes:
        raise InputError("nothing was mined: there is nothing to draw a sample of")
    ids = [x[8] for x in sorted(boxes, key=lambda x: (x[6], x[8]))]
    number = min(number, len(ids))
    generator = random.Random(seed)
    first = generator.random()
    drawn = [ids[int((part + first) * len(ids) / number)] for part in range(number)]
    generator.shuffle(drawn)
    return drawn


def with_sample(data: dict[str, Any], number: int, seed: int) -> dict[str, Any]:
    """The page's data with ``sample``: ``ids``, and ``intervals``, by the number of right ones."""
    ids = draw_sample(data, number, seed)
    intervals = [wilson_interval(right, len(ids)) for right in range(len(ids) + 1)]
    return {**data, "sample": {"ids": ids, "intervals": intervals, "level": 0.9}}


def note_sample(path: Path, ids: Sequence[int]) -> None:
    """Add what was drawn to a file: decisions about it, and no others, tell about all proposals.

    Who looks through boxes as they come may decide about the wrong ones alone.
    """
    before = read_json(path) if path.exists() else []
    text = json.dumps(sorted({*before, *ids}))
    write_atomically(path, lambda file: file.write(text.encode()))
