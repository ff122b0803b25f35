"""Detecting objects in images and videos."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.detection_utils import build_augmentation, convert_PIL_to_numpy
from detectron2.data.transforms import AugInput, AugmentationList
from PIL import Image
from torch import nn
from tqdm import tqdm

from comining.data.categories import find_categories
from comining.data.pictures import Picture, count_pictures, read_pictures
from comining.evaluation.drawing import draw
from comining.modeling.build import build_detector

from .checkpoint import Checkpointer
from .device import usable_device
from .predictions import Predictions
from .setup import check_weights

JSON_NAME = "predictions.json"
#: What an interrupted run leaves, so that a complete file is never replaced by a part.
PARTIAL_NAME = "predictions.partial.json"


def predict(
    cfg: CfgNode,
    weights: str,
    inputs: Sequence[Path],
    output: Path,
    *,
    score_thresh: float = 0.5,
    batch_size: int = 1,
    every: int = 1,
    quiet: bool = False,
) -> list[str]:
    """Detect objects in images and videos, draw them and write them into one JSON file.

    Below the common folder of the inputs each picture has a name, and the annotated picture of NAME
    is ``images/NAME`` in the output, with .jpg added to what is neither a JPEG nor a PNG; frame 7
    of the video NAME is ``images/NAME/000007.jpg``. ``predictions.json`` is as `Predictions` says.
    A run that is interrupted leaves ``predictions.partial.json`` instead.

    Args:
        cfg: of the model; its data sets are registered. Without a GPU the model is on the CPU.
        weights: of the model.
        inputs: from `find_inputs`.
        output: folder.
        score_thresh: what scores below is left out; in [0, 1].
        batch_size: how many images the model is given at a time. Those of different sizes are
            padded, which may change scores in the last digits.
        every: of videos, every n-th frame is looked at.
        quiet: show no progress.

    Returns:
        A line about each input that can't be read, or not to its end.

    Raises:
        InputError: the config or the weights do not fit.
        OSError: a file can't be written.
    """
    check_weights(weights)
    output.mkdir(parents=True, exist_ok=True)
    total = count_pictures(inputs, every)
    cfg = _at_inference(cfg, score_thresh)
    model = build_detector(cfg).eval()
    Checkpointer(model, whole=True).load(weights)
    categories = find_categories(cfg, getattr(model, "num_classes", None))
    root = Path(os.path.commonpath([path.parent for path in inputs]))
    predictions = Predictions(categories, root)
    broken: list[str] = []
    pictures = read_pictures(inputs, root, every, broken)
    try:
        with tqdm(total=total, unit="image", disable=quiet or None) as progress, torch.no_grad():
            while batch := list(islice(pictures, batch_size)):
                _detect(model, cfg, batch, score_thresh, predictions, output)
                progress.update(len(batch))
    except BaseException:
        if predictions.images:
            predictions.write(output / PARTIAL_NAME)
            print(f"\n{output / PARTIAL_NAME} has what was found until then", file=sys.stderr)
        raise
    predictions.write(output / JSON_NAME)
    (output / PARTIAL_NAME).unlink(missing_ok=True)
    return broken


def _at_inference(cfg: CfgNode, score_thresh: float) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = usable_device(cfg.MODEL.DEVICE)
    for detector in ("RETINANET", "FCOS", "ROI_HEADS"):
        cfg.MODEL[detector].SCORE_THRESH_TEST = score_thresh
    return cfg


def _detect(
    model: nn.Module,
    cfg: CfgNode,
    batch: list[Picture],
    score_thresh: float,
    predictions: Predictions,
    output: Path,
) -> None:
    """Add what is found in a batch, and draw it."""
    resize = AugmentationList(build_augmentation(cfg, is_train=False))
    found = model([_model_input(x.pixels, resize, cfg.INPUT.FORMAT) for x in batch])
    for picture, one in zip(batch, found, strict=True):
        instances = one["instances"].to("cpu")
        # A detector of one's own may have no such threshold.
        instances = instances[instances.scores >= score_thresh]
        path = output / predictions.add(picture, instances)
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(picture.pixels, instances, predictions.classes).save(path, quality=92)


def _model_input(pixels: np.ndarray, resize: AugmentationList, image_format: str) -> dict[str, Any]:
    """What detectron2's mapper makes of an image for inference."""
    height, width = pixels.shape[:2]
    image = AugInput(convert_PIL_to_numpy(Image.fromarray(pixels), image_format))
    resize(image)
    tensor = torch.as_tensor(np.ascontiguousarray(image.image.transpose(2, 0, 1)))
    return {"image": tensor, "height": height, "width": width}
