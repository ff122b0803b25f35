"""Detection metrics of the COCO challenge."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections import OrderedDict
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm
from tabulate import tabulate

from comining.annotations.coco_file import read_repaired
from comining.annotations.values import LARGEST_AREA, is_region, is_usable_area, read_id
from comining.errors import InputError

from .known import regions_of_predictions

try:
    from faster_coco_eval import COCO
    from faster_coco_eval import COCOeval_faster as COCOeval
except ImportError:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
COLUMNS = 6

logger = logging.getLogger(__name__)


class COCOBoxEvaluator(DatasetEvaluator):
    """Average precision of boxes, over all categories and for each.

    The results are those of detectron2's ``COCOEvaluator``, by the same names, several times
    faster where faster-coco-eval is installed. Two fields that pycocotools needs may be missing
    from the annotations: ``area`` (then that of the box) and ``iscrowd`` (then 0). An area that is
    no positive number counts as missing. Annotations count as the file has them, also those that a
    training would drop or clip, but for boxes that are not finite or whose width or height is
    negative. Where the file says what is known of its images, only that counts, as `box_metrics`
    says.
    """

    def __init__(self, dataset_name: str, output_dir: str | Path) -> None:
        """
        Args:
            dataset_name: a registered data set, in COCO format or any other.
            output_dir: gets the predictions, ``coco_instances_results.json``.

        Raises:
            InputError: the annotation file can't be used.
        """
        metadata = MetadataCatalog.get(dataset_name)
        self.dataset_name = dataset_name
        self.output_dir = Path(output_dir)
        json_file = metadata.get("json_file")
        self.ground_truth = _read(json_file) if json_file else convert_to_coco_dict(dataset_name)
        if metadata.get("thing_classes") is None:
            DatasetCatalog.get(dataset_name)  # loading it makes its categories known
        self.category_names = metadata.thing_classes
        contiguous_ids = metadata.get(
            "thing_dataset_id_to_contiguous_id", {x: x for x in range(len(self.category_names))}
        )
        ids = sorted(contiguous_ids, key=contiguous_ids.__getitem__)
        # Where detectron2 has read the file, they are as in the file.
        self.category_ids = [read_id(x) for x in ids] if json_file else ids
        self.reset()

    def reset(self) -> None:
        self.predictions: list[dict[str, Any]] = []
        self.seen: list[Any] = []

    def process(self, inputs: Iterable[dict[str, Any]], outputs: Iterable[dict[str, Any]]) -> None:
        for item, output in zip(inputs, outputs, strict=True):
            self.seen.append(item["image_id"])
            instances = output["instances"].to("cpu")
            self.predictions += instances_to_coco_json(instances, item["image_id"])

    def evaluate(self) -> OrderedDict[str, dict[str, float]] | None:
        """Gather the predictions of all processes and compare them with the annotations.

        Images that have not been processed, as they can't be read, do not count.

        Returns:
            In the main process, under "bbox" each of ``METRICS`` and ``AP-<category>``, in 0..100
            and NaN where nothing can be computed; nothing where the data set has no annotations.
        """
        predictions = list(chain(*comm.gather(self.predictions)))
        seen = {read_id(x) for x in chain(*comm.gather(self.seen))}
        if not comm.is_main_process():
            return None
        for prediction in predictions:
            prediction["category_id"] = self.category_ids[prediction["category_id"]]
        self.output_dir.mkdir(parents=True, exist_ok=True)
        (self.output_dir / "coco_instances_results.json").write_text(json.dumps(predictions))
        if "annotations" not in self.ground_truth:
            logger.info(f"{self.dataset_name} has no annotations to compare the predictions with")
            return OrderedDict()
        images = [image for image in self.ground_truth["images"] if read_id(image["id"]) in seen]
        results = box_metrics(
            {**self.ground_truth, "images": images},
            [{**x, "image_id": read_id(x["image_id"])} for x in predictions],
            dict(zip(self.category_ids, self.category_names, strict=True)),
        )
        logger.info(f"Box metrics on {self.dataset_name}:\n{_table(results)}")
        return OrderedDict(bbox=results)


def box_metrics(
    ground_truth: dict[str, Any], predictions: list[dict[str, Any]], categories: dict[int, str]
) -> dict[str, float]:
    """COCO's average precision.

    Only what is known counts, as in LVIS's evaluation: where a file says of which categories all
    objects are annotated in an image, or that none is there, predictions of others are no false
    positives. Predictions in regions to ignore, which crowds are, don't count either.

    Args:
        ground_truth: a COCO data set, of which images may also have names as ids. What it may say
            about its images is told in `comining.annotations.known`.
        predictions: in COCO's result format.
        categories: names by id, of those to report.

    Returns:
        Each of ``METRICS`` and, if there are several categories, ``AP-<name>``, in 0..100 and NaN
        where nothing can be computed, as for all of them without predictions.
    """
    names = [*METRICS, *(f"AP-{name}" for name in categories.values() if len(categories) > 1)]
    if not predictions:
        logger.warning("The model predicted nothing.")
        return dict.fromkeys(names, float("nan"))
    # faster-coco-eval makes whole numbers of image ids, which may be names, and some releases of it
    # know no category ids of more than 32 bits.
    image_ids = {x["id"] for x in ground_truth["images"]}
    images = _numbers(sorted(image_ids, key=lambda x: (isinstance(x, str), x)))
    classes = _numbers(sorted({x["id"] for x in ground_truth["categories"]} | categories.keys()))
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = chain(
            filter(_is_countable, ground_truth["annotations"]),
            regions_of_predictions(ground_truth, predictions),
        )
        truth = _indexed(annotations, images, classes)
        found = _indexed(predictions, images, classes)
        judge = COCOeval(truth, found, iouType="bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    values = list(judge.stats[: len(METRICS)])
    if len(categories) > 1:
        # IoU thresholds x recalls x categories x areas x numbers of detections
        precision = judge.eval["precision"][:, :, :, 0, -1]
        for category_id in categories:
            of_category = precision[:, :, judge.params.catIds.index(classes[category_id])]
            of_category = of_category[of_category > -1]
            values.append(of_category.mean() if of_category.size else -1)
    return {
        name: float(value) * 100 if value > -1 else float("nan")
        for name, value in zip(names, np.asarray(values), strict=True)
    }


def _read(json_file: str) -> dict[str, Any]:
    ground_truth, report = read_repaired(json_file, names_as_ids=True)
    if report.is_fatal:
        raise InputError(f"an evaluation can't use its annotations. {report}")
    return ground_truth


def _numbers(ids: list[Any]) -> dict[Any, int]:
    return {id_: number for number, id_ in enumerate(ids, start=1)}


def _is_countable(annotation: dict[str, Any]) -> bool:
    """Whether the width and height of a box are what an area can be made of."""
    box = np.asarray(annotation["bbox"], dtype=np.float64)
    return bool(np.isfinite(box).all() and (box[2:] >= 0).all())


def _area(annotation: dict[str, Any]) -> float:
    area: Any = annotation.get("area")
    _, _, width, height = annotation["bbox"]
    return area if is_usable_area(area) else min(width * height, LARGEST_AREA)


def _indexed(
    annotations: Iterable[dict[str, Any]], images: dict[Any, int], classes: dict[Any, int]
) -> COCO:
    """A COCO data set with the annotations of the images and classes that have the given numbers.

    Where an annotation has no usable area, it is that of its box. Crowds are regions to ignore.
    """
    indexed = COCO()
    indexed.dataset = {
        "info": {},
        "images": [{"id": number} for number in images.values()],
        "categories": [{"id": number} for number in classes.values()],
        # pycocotools takes a match with the annotation of id 0 for no match.
        "annotations": [
            {
                "id": id_,
                "image_id": images[x["image_id"]],
                "category_id": classes[x["category_id"]],
                "bbox": x["bbox"],
                "area": _area(x),
                "iscrowd": int(is_region(x)),
                **({"score": x["score"]} if "score" in x else {}),
            }
            for id_, x in enumerate(annotations, start=1)
            if x["image_id"] in images and x["category_id"] in classes
        ],
    }
    indexed.createIndex()
    return indexed


def _table(results: dict[str, float]) -> str:
    cells = [cell for name, value in results.items() for cell in (name, f"{value:.2f}")]
    rows = [cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)]
    return tabulate(rows, headers=["metric", "value"] * (COLUMNS // 2), tablefmt="pipe",
                    disable_numparse=True)  # fmt: skip
