"""How many of the objects that annotations lack a detector finds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import BoxMode
from detectron2.utils import comm
from numpy.typing import NDArray

from comining.data.objects import objects_of
from comining.errors import InputError
from comining.modeling.known import lies_in
from comining.modeling.labels import HIT_IOU, pairwise_iou

#: The share of the boxes found that are to be right.
PRECISION = 0.9
#: What a box found is; the last two don't count.
WRONG, RIGHT, ANNOTATED, UNKNOWN = range(4)


class FoundEvaluator(DatasetEvaluator):
    """The share of the withheld objects of a sparse data set that a detector finds at a score above
    which nine in ten of what is not annotated are right.

    It says what mining with the trained detector could give at best, had somebody set the
    threshold who knows the truth. One threshold is for all classes.

    A box that is on no object does not count where it isn't known what is there: in a region to
    ignore and, if the full original says what is known of its images, of a class that is neither
    exhaustive nor absent in the image.
    """

    def __init__(self, dataset_name: str) -> None:
        """
        Args:
            dataset_name: a registered data set of which it is known what was withheld.

        Raises:
            InputError: that isn't known.
        """
        self.records = {x["image_id"]: x for x in DatasetCatalog.get(dataset_name)}
        if not all("withheld_annotations" in x for x in self.records.values()):
            raise InputError(
                f"with TEST.FOUND it must be known what {dataset_name} lacks: make its file by "
                "comining sparsify --record-name, and leave the original beside it"
            )
        self.reset()

    def reset(self) -> None:
        self.seen: list[Any] = []
        self.scores: list[float] = []
        self.kinds: list[int] = []

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        for item, output in zip(inputs, outputs, strict=True):
            record, found = self.records[item["image_id"]], output["instances"].to("cpu")
            order = found.scores.argsort(descending=True, stable=True).numpy()
            self.seen.append(item["image_id"])
            self.scores += found.scores.numpy()[order].tolist()
            boxes = found.pred_boxes.tensor.numpy()[order]
            classes = found.pred_classes.numpy()[order]
            annotated, withheld = record["annotations"], record["withheld_annotations"]
            kinds = judge(boxes, classes, *objects_of(annotated), *objects_of(withheld))
            kinds[(kinds == WRONG) & ~are_known(boxes, classes, record)] = UNKNOWN
            self.kinds += kinds.tolist()

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Gather what all processes have found.

        Returns:
            In the main process, under "withheld" ``found``, in 0..100, and NaN where nothing was
            withheld.
        """
        scores = np.array(list(chain(*comm.gather(self.scores))))
        kinds = np.array(list(chain(*comm.gather(self.kinds))), dtype=np.int64)
        seen = set(chain(*comm.gather(self.seen)))
        if not comm.is_main_process():
            return None
        number = sum(len(objects_of(self.records[x]["withheld_annotations"])[0]) for x in seen)
        is_new = (kinds == RIGHT) | (kinds == WRONG)
        found = recall_at_precision(scores[is_new], kinds[is_new] == RIGHT, number, PRECISION)
        return OrderedDict(withheld={"found": 100 * found})


def judge(
    boxes: NDArray[Any],
    classes: NDArray[Any],
    annotated_boxes: NDArray[Any],
    annotated_classes: NDArray[Any],
    withheld_boxes: NDArray[Any],
    withheld_classes: NDArray[Any],
) -> NDArray[np.int64]:
    """What each box found in an image is.

    A box belongs to the object of its class that it overlaps most, with an IoU of at least 0.5.

    Args:
        boxes, classes: (M, 4) XYXY and (M,), found, the best-scored first.
        annotated_boxes, annotated_classes, withheld_boxes, withheld_classes: the objects.

    Returns:
        (M,): `ANNOTATED` for what belongs to an annotated object; `RIGHT` for the first that
        belongs to a withheld one; `WRONG` for all else.
    """
    objects = np.concatenate([annotated_boxes, withheld_boxes])
    their_classes = np.concatenate([annotated_classes, withheld_classes])
    kinds = np.full(len(boxes), WRONG)
    if len(objects) == 0:
        return kinds
    iou = pairwise_iou(torch.from_numpy(boxes), torch.from_numpy(objects)).numpy()
    iou = np.where(classes[:, None] == their_classes, iou, 0)
    taken = set()
    for row, (best, overlap) in enumerate(zip(iou.argmax(1), iou.max(1), strict=True)):
        if overlap < HIT_IOU:
            continue
        if best < len(annotated_boxes):
            kinds[row] = ANNOTATED
        elif best not in taken:
            kinds[row] = RIGHT
            taken.add(best)
    return kinds


def are_known(
    boxes: NDArray[Any], classes: NDArray[Any], record: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """For which boxes found it is known whether an object is there.

    Args:
        boxes, classes: (M, 4) XYXY and (M,).
        record: of their image. Its ``ignored_regions`` and ``judged`` classes are those of
            `comining.data.register_coco`; it needs to have neither.

    Returns:
        (M,).
    """
    known = np.isin(classes, record["judged"]) if "judged" in record else classes >= 0
    for region in record.get("ignored_regions", ()):
        area = BoxMode.convert(
            [float(x) for x in region["bbox"]], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS
        )
        is_there = lies_in(torch.from_numpy(boxes), torch.tensor([area], dtype=torch.float32))
        of_class = region["category_id"]
        is_meant = (classes == of_class) | (of_class is None)
        known &= ~(is_there[:, 0].numpy() & is_meant)
    return known


def recall_at_precision(
    scores: NDArray[Any], is_right: NDArray[Any], number: int, precision: float
) -> float:
    """The largest share of objects that are found above a score with at least some precision.

    Args:
        scores, is_right: (M,), of what was found.
        number: of objects.
        precision: in [0, 1].

    Returns:
        In [0, 1]; NaN without objects.
    """
    if number == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(is_right[order])
    # Of equal scores, no threshold takes some alone.
    is_last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]
    is_precise = right >= precision * np.arange(1, len(order) + 1)
    return float(max(right[is_last & is_precise], default=0)) / number
