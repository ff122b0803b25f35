"""A trained detector as one file for other programs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import build_augmentation, read_image
from detectron2.data.transforms import AugInput, AugmentationList
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from torch import Tensor

from comining.annotations.coco_file import read_coco
from comining.annotations.image_files import refuse_deep_image
from comining.data.categories import find_categories
from comining.data.samples import UNREADABLE_OR_ODD
from comining.data.scene_drawing import render_scene
from comining.data.scenes import scene_rng
from comining.errors import InputError, ResultError
from comining.modeling.build import build_detector
from comining.modeling.export import ExportableDetector
from comining.modeling.teacher import evaluated_weights
from comining.output_file import check_output, write_atomically

from .checkpoint import Checkpointer
from .export_formats import FORMATS, Detections, Runner
from .setup import check_weights

#: Detections are the same if edges, in pixels, and scores are as near as this.
SAME_EDGE, SAME_SCORE = 0.1, 1e-3
#: The share of detections that may differ: the last digits decide what is just above a threshold.
MAY_DIFFER = 0.02

logger = logging.getLogger(__name__)


def export(
    cfg: CfgNode,
    weights: str,
    output: Path,
    file_format: str = "onnx",
    *,
    sample: Path | None = None,
) -> Path:
    """Write a trained RetinaNet or FCOS as one file that needs neither detectron2 nor this package.

    The file takes one picture of any size, (H, W, 3), RGB, uint8, and gives what
    `ExportableDetector.forward` says: boxes (N, 4), XYXY in pixels of that picture, scores (N,) and
    classes (N,), from 0. The picture is to be resized as in training by the program that uses the
    file; its metadata tell how, and the names of the classes: see `describe`.

    What is written has found the same as the detector on two pictures. It computes on the CPU; an
    ONNX file wherever its runtime does.

    Args:
        cfg: of the detector; its data sets are registered.
        weights: of the detector.
        output: the file.
        file_format: a key of `FORMATS`: "onnx" or "torchscript".
        sample: a picture with objects, to compare on; by default the first one of the config's
            data sets, and where there is none, a generated scene.

    Returns:
        The path of the file.

    Raises:
        InputError: something does not fit, or a package is missing.
        ResultError: the exported detector finds something else than the detector; nothing is
            written.
    """
    if file_format not in FORMATS:
        raise InputError(f"{file_format!r} is no format: choose one of {', '.join(FORMATS)}")
    chosen = FORMATS[file_format]
    chosen.check_packages()
    check_output(output)
    check_weights(weights)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    picture = _resize(_read(sample) if sample else _any_picture(cfg), cfg)
    detector = build_detector(cfg)
    exportable = ExportableDetector(detector, cfg.INPUT.FORMAT)
    metadata = describe(cfg, detector)
    Checkpointer(detector, whole=True).load(weights)
    with torch.no_grad(), evaluated_weights(detector):
        content = chosen.write(exportable, picture, metadata)
        _compare(detector, chosen.run(content), picture, exportable.is_bgr)
    write_atomically(output, lambda file: file.write(content))
    return output


def describe(cfg: CfgNode, detector: DenseDetector) -> dict[str, Any]:
    """The metadata of an exported detector.

    Returns:
        detector: the class.
        class_names, category_ids: by class, those of the data set.
        shortest_edge, longest_edge: what pictures are to be resized to, in pixels: the shorter edge
            to the first, unless the longer one would exceed the second; 0 for no resizing.
        score_threshold, nms_threshold, max_detections: what the exported detector applies.
        channel_order, pixel_mean, pixel_std: how it normalises the picture that it is given.
    """
    num_classes = detector.num_classes
    categories = find_categories(cfg, num_classes) or [
        {"id": number, "name": str(number)} for number in range(num_classes)
    ]
    return {
        "detector": type(detector).__name__,
        "class_names": [x["name"] for x in categories],
        "category_ids": [x["id"] for x in categories],
        "shortest_edge": cfg.INPUT.MIN_SIZE_TEST,
        "longest_edge": cfg.INPUT.MAX_SIZE_TEST,
        "score_threshold": detector.test_score_thresh,
        "nms_threshold": detector.test_nms_thresh,
        "max_detections": detector.max_detections_per_image,
        "channel_order": cfg.INPUT.FORMAT,
        "pixel_mean": list(cfg.MODEL.PIXEL_MEAN),
        "pixel_std": list(cfg.MODEL.PIXEL_STD),
    }


def _read(path: Path) -> np.ndarray:
    try:
        refuse_deep_image(path)
        return read_image(str(path), "RGB")
    except UNREADABLE_OR_ODD as error:
        raise InputError(
            f"the sample {path} can't be read ({error}): name another picture"
        ) from error


def _any_picture(cfg: CfgNode) -> np.ndarray:
    for path in _pictures_of_the_data(cfg):
        return _read(path)
    return render_scene(scene_rng(0, "val", 0))[0]


def _pictures_of_the_data(cfg: CfgNode) -> Iterator[Path]:
    """Those that are there."""
    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        metadata = MetadataCatalog.get(name) if name in DatasetCatalog.list() else {}
        json_file, folder = metadata.get("json_file"), metadata.get("image_root")
        if json_file and folder and Path(json_file).is_file():
            paths = (Path(folder, x["file_name"]) for x in read_coco(json_file)[0]["images"])
            yield from (path for path in paths if path.is_file())


def _resize(pixels: np.ndarray, cfg: CfgNode) -> Tensor:
    resized = AugInput(pixels)
    AugmentationList(build_augmentation(cfg, is_train=False))(resized)
    return torch.from_numpy(np.array(resized.image))


def _compare(detector: DenseDetector, exported: Runner, picture: Tensor, is_bgr: bool) -> None:
    """Let both look at a picture and at its upper part, whose size is another one.

    Raises:
        ResultError: they don't find the same.
    """
    total = 0
    for image in (picture, picture[: len(picture) * 3 // 4].contiguous()):
        channels = image.permute(2, 0, 1)
        (answer,) = detector([{"image": channels.flip(0) if is_bgr else channels}])
        found = answer["instances"]
        expected = (found.pred_boxes.tensor, found.scores, found.pred_classes)
        different = count_different(expected, exported(image))
        if different > MAY_DIFFER * 2 * len(found):
            raise ResultError(
                f"the exported detector does not find what the {type(detector).__name__} finds: "
                f"{different} detections differ in a picture of {image.shape[1]} x "
                f"{image.shape[0]} pixels with {len(found)}. Nothing is written; try the other "
                "format"
            )
        total += len(found)
    if total:
        logger.info(f"The exported detector finds the same {total} objects as the detector.")
    else:
        logger.warning(
            "No object was found in the sample, so that the comparison of the exported detector "
            "with the detector tells little: name a picture with objects as the sample."
        )


def count_different(one: Detections, other: Detections) -> int:
    """How many detections of either the other has not."""
    same = one[2][:, None] == other[2]
    same &= (one[1][:, None] - other[1]).abs() <= SAME_SCORE
    same &= ((one[0][:, None] - other[0]).abs() <= SAME_EDGE).all(dim=2)
    return int((~same.any(dim=1)).sum() + (~same.any(dim=0)).sum())
