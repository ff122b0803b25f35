"""Comparing detections with what is annotated, withheld and else known of their images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from comining.data.objects import objects_of
from comining.engine.miner import Mined, known_beside
from comining.modeling.adaptive import CLOSE_IOU
from comining.modeling.labels import HIT_IOU, Labels, pairwise_iou

from .evidence import ANNOTATED, IGNORED, IMPOSSIBLE, NEW, UNDECIDED, WITHHELD, Evidence


def gather_evidence(mined: Mapping[int, Mined], records: Iterable[Mapping[str, Any]]) -> Evidence:
    """Compare detections with what is annotated and what was withheld.

    Args:
        mined: by image id, detections of all scores of interest.
        records: of the images, with ``annotations`` and ``withheld_annotations`` as in a registered
            data set; what else is known of them, too. Images that were not mined are left out.
    """
    nothing = _compare(Mined([], [], [], []), {"image_id": 0, "annotations": []})
    of_images = [_compare(mined[x["image_id"]], x) for x in records if x["image_id"] in mined]
    return Evidence(*map(np.concatenate, zip(nothing, *of_images, strict=True)))


def _compare(found: Mined, record: Mapping[str, Any]) -> Evidence:
    boxes = np.array(found.boxes, dtype=np.float32).reshape(-1, 4)
    classes, scores = np.array(found.classes, dtype=np.int64), np.array(found.scores, dtype=float)
    withheld = objects_of(record.get("withheld_annotations", []))
    near = np.full(len(boxes), NEW)
    right = np.zeros(len(boxes), dtype=bool)
    for kind, (theirs, their_classes) in (
        (WITHHELD, withheld),
        (ANNOTATED, objects_of(record["annotations"])),
    ):
        iou = iou_between(boxes, theirs)
        close = iou.max(1, initial=0) > CLOSE_IOU
        hits = (iou > HIT_IOU) & (classes[:, None] == their_classes)
        near[close], right[close] = kind, hits.any(1)[close]
    is_impossible, is_ignored = _ruled_out(boxes, classes, record)
    near[is_impossible & (near == NEW)] = IMPOSSIBLE
    near[is_ignored & (near == NEW)] = IGNORED
    hits = (iou_between(boxes, withheld[0]) > HIT_IOU) & (classes[:, None] == withheld[1])
    return Evidence(
        image_ids=np.full(len(boxes), record["image_id"], dtype=np.int64),
        classes=classes,
        scores=scores,
        boxes=boxes,
        near=near,
        right=right,
        decided=np.full(len(boxes), UNDECIDED),
        found_at=np.where(hits, scores[:, None], -1.0).max(0, initial=-1),
        withheld_classes=withheld[1],
    )


def _ruled_out(
    boxes: np.ndarray, classes: np.ndarray, record: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Of which detections (M,) the class is complete, and which lie in a region to ignore."""
    listed = [*record.get("exhaustive", ()), *record.get("absent", ())]
    known = known_beside(record, 1 + max([*classes.tolist(), *listed], default=0))
    if known is None:
        return np.zeros(len(classes), dtype=bool), np.zeros(len(classes), dtype=bool)
    every_class = torch.from_numpy(classes)
    image = torch.zeros_like(every_class)
    found = Labels(torch.from_numpy(boxes), every_class, image, image.float())
    return known.is_complete(found).numpy(), known.is_ignored(found).numpy()


def iou_between(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of boxes (M, 4) and (G, 4), XYXY, float32: (M, G); also for none of either."""
    return pairwise_iou(torch.from_numpy(boxes), torch.from_numpy(others)).numpy()
