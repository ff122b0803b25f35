"""Score thresholds that mined boxes of a wanted precision lie above."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from detectron2.structures import BoxMode
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

#: A mined box is correct if its IoU with an object of its class is at least this.
CORRECT_IOU = 0.5


class Judged(NamedTuple):
    """Detections of one class and whether they are right.

    Attributes:
        scores: (M,) in [0, 1].
        correct: (M,) bool.
    """

    scores: np.ndarray
    correct: np.ndarray


def judge(
    records: Sequence[dict[str, Any]], detections: Iterable[dict[str, Any]], num_classes: int
) -> list[Judged]:
    """Compare detections with the objects of fully annotated images, as COCO's evaluation does.

    Of several detections of an object, the best-scored is correct. Those in a crowd do not count.

    Args:
        records: of the images, in detectron2's standard form.
        detections: each with ``image_id``, ``category_id`` in [0, K), ``bbox`` XYWH and ``score``.
        num_classes: K.

    Returns:
        The detections of each class.
    """
    truth = [
        {
            "bbox": BoxMode.convert(x["bbox"], x["bbox_mode"], BoxMode.XYWH_ABS),
            "category_id": x["category_id"],
            "image_id": record["image_id"],
            "iscrowd": x.get("iscrowd", 0),
        }
        for record in records
        for x in record["annotations"]
    ]
    images = [{"id": record["image_id"]} for record in records]
    with contextlib.redirect_stdout(io.StringIO()):
        judging = COCOeval(
            _indexed(images, truth, num_classes),
            _indexed(images, detections, num_classes),
            iouType="bbox",
        )
        judging.params.iouThrs = np.array([CORRECT_IOU])
        judging.params.maxDets = [10**6]
        judging.params.areaRng = [[0, 1e10]]
        judging.params.areaRngLbl = ["all"]
        judging.evaluate()
    judged: list[list[tuple[float, bool]]] = [[] for _ in range(num_classes)]
    for image in judging.evalImgs:
        if image is not None:
            matches, ignored = image["dtMatches"][0], image["dtIgnore"][0]
            for score, match, ignore in zip(image["dtScores"], matches, ignored, strict=True):
                if not ignore:
                    judged[image["category_id"]].append((score, match > 0))
    return [
        Judged(np.array([score for score, _ in of_class]), np.array([hit for _, hit in of_class]))
        for of_class in judged
    ]


def _indexed(
    images: list[dict[str, Any]], boxes: Iterable[dict[str, Any]], num_classes: int
) -> COCO:
    annotations = []
    for number, box in enumerate(boxes, start=1):
        area = box["bbox"][2] * box["bbox"][3]
        annotations.append({"iscrowd": 0, **box, "id": number, "area": area})
    indexed = COCO()
    indexed.dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number} for number in range(num_classes)],
    }
    indexed.createIndex()
    return indexed


def threshold_for_precision(
    calibration: Judged, scores: np.ndarray, is_new: np.ndarray, precision: float
) -> float | None:
    """The lowest score from which on new boxes of one class have a wanted precision.

    On the images to complete, some of the mined boxes only find an annotated object again. These
    are correct and not added, so the share of mistakes among the added ones is higher than among
    all mined boxes: by the factor (number mined) / (number new), since the mistakes are all new.
    The share of mistakes among all of them is taken from the calibration images.

    Args:
        calibration: what was mined on fully annotated images.
        scores: (M,) of what was mined on the images to complete.
        is_new: (M,) bool, whether it is not annotated there.
        precision: the wanted share of correct boxes among the new ones, in (0, 1].

    Returns:
        A score of the calibration images; boxes that reach it are to be added. None if no
        threshold will do, or nothing new reaches it.
    """
    for threshold in np.unique(calibration.scores):
        wrong = 1 - calibration.correct[calibration.scores >= threshold].mean()
        num_mined = np.count_nonzero(scores >= threshold)
        num_new = np.count_nonzero(is_new & (scores >= threshold))
        # The tolerance is for binary fractions: 1 - 0.1 is not 0.9.
        if num_new and 1 - wrong * num_mined / num_new >= precision - 1e-9:
            return float(threshold)
    return None
