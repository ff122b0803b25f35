"""Proposals to be judged, so that the precision of all of them can be told."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.errors import InputError
from comining.output_file import write_atomically

from .proportion import wilson_interval


def draw_sample(scores: Mapping[int, float], number: int, seed: int) -> list[int]:
    """Draw mined boxes, evenly over their scores.

    In the order of their scores, boxes in equal distances are taken, the first one by chance. So
    each box is drawn with the same chance, and scores of each range are as frequent as among all.

    Args:
        scores: of all that were mined, by id.
        number: how many, at least 1; of fewer boxes, all.
        seed: fixes which.

    Returns:
        Their ids, in random order, so that the first ones are a sample, too.

    Raises:
        InputError: nothing was mined.
    """
    if not scores:
        raise InputError("nothing was mined: there is nothing to draw a sample of")
    ids = sorted(scores, key=lambda id_: (scores[id_], id_))
    number = min(number, len(ids))
    generator = random.Random(seed)
    first = generator.random()
    drawn = [ids[int((part + first) * len(ids) / number)] for part in range(number)]
    generator.shuffle(drawn)
    return drawn


def with_sample(data: dict[str, Any], number: int, seed: int, not_added: int = 0) -> dict[str, Any]:
    """The page's data with ``sample``: ``ids``, and ``intervals``, by the number of right ones.

    Args:
        data: what the page shows, with all that may be added.
        number, seed: as of `draw_sample`.
        not_added: how many of the boxes that may be added were not.
    """
    boxes = [x for image in data["images"] for x in image["boxes"]]
    ids = draw_sample({x[8]: x[6] for x in boxes if x[6] is not None}, number, seed)
    intervals = [wilson_interval(right, len(ids)) for right in range(len(ids) + 1)]
    sample = {"ids": ids, "intervals": intervals, "level": 0.9, "not_added": not_added}
    return {**data, "sample": sample}


def note_sample(path: Path, ids: Sequence[int]) -> None:
    """Add what was drawn to a file: decisions about it, and no others, tell about all proposals.

    Who looks through boxes as they come may decide about the wrong ones alone.
    """
    drawn, samples = sorted(ids), read_samples(path)
    if drawn not in samples:
        text = json.dumps([*samples, drawn])
        write_atomically(path, lambda file: file.write(text.encode()))


def read_samples(path: Path) -> list[list[int]]:
    """The ids of each sample that `note_sample` has noted."""
    return read_json(path) if path.exists() else []
