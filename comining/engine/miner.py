"""What a trained Co-mining detector finds on images, and what of it is new there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.structures import Boxes, Instances

from comining.data.objects import objects_of
from comining.errors import InputError
from comining.modeling import TwoViewDetector
from comining.modeling.known import Known
from comining.modeling.labels import Labels

from .checkpoint import Checkpointer
from .device import usable_device
from .setup import check_weights
from .trainer import Trainer

#: Finer differences come from the order in which a machine adds numbers up.
SCORE_DIGITS = 4


class Mined(NamedTuple):
    """What was mined on an image: M boxes by descending score.

    Attributes:
        boxes: M times XYXY in pixels of the original image, not clipped to it.
        classes: M classes in [0, K).
        scores: M scores in [0, 1].
        is_new: M flags, whether a box is a label in addition to the annotated ones, by
            ``TwoViewDetector.is_known``, and may be one by what else is known of the image.
    """

    boxes: list[list[float]]
    classes: list[int]
    scores: list[float]
    is_new: list[bool]


def build_miner(cfg: CfgNode) -> TwoViewDetector:
    """The trained model of a config, in evaluation mode; without a GPU, on the CPU.

    Args:
        cfg: of a model trained by Co-mining, with its weights.

    Raises:
        InputError: the model does not mine, or has no weights, or they can't be read or are
            another model's.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = usable_device(cfg.MODEL.DEVICE)
    model = Trainer.build_model(cfg).eval()
    if not isinstance(model, TwoViewDetector):
        raise InputError(f"{cfg.MODEL.META_ARCHITECTURE} does not mine: name a Co-mining config")
    check_weights(cfg.MODEL.WEIGHTS)
    Checkpointer(model, whole=True).load(cfg.MODEL.WEIGHTS)
    return model


def why_nothing_is_mined(model: TwoViewDetector) -> str:
    """Why no score is above the model's thresholds; empty if one may be."""
    if min(model.score_thresholds()) < 1:
        return ""
    return model.method.why_nothing_is_mined()


def mine_batch(
    model: TwoViewDetector,
    items: Sequence[dict[str, Any]],
    records: Sequence[dict[str, Any]],
    score_thresh: float | None = None,
) -> list[Mined]:
    """Mine N images, and compare with their annotations as in training.

    Args:
        model: in evaluation mode.
        items: what the model takes, made of ``records`` by a mapper for inference.
        records: the images', in detectron2's standard form.
        score_thresh: in [0, 1]; None for the thresholds of the training.
    """
    mined = model.mine_images(list(items), score_thresh)
    return [
        _compare(model, item, record, labels)
        for item, record, labels in zip(items, records, mined, strict=True)
    ]


def _compare(
    model: TwoViewDetector, item: dict[str, Any], record: dict[str, Any], found: Labels
) -> Mined:
    height, width = item["image"].shape[1:]
    scale = torch.tensor([record["width"] / width, record["height"] / height]).repeat(2)
    classes, scores = found.classes.cpu(), found.scores.cpu()
    mined = Labels(found.boxes.cpu() * scale, classes, torch.zeros_like(classes), scores)
    known_boxes, known_classes = map(torch.from_numpy, objects_of(record["annotations"]))
    image = torch.zeros_like(known_classes)
    known = Labels(known_boxes, known_classes, image, scores=torch.ones(len(image)))
    is_new = ~model.is_known(mined, known)
    besides = known_beside(record, model.num_classes)
    if besides is not None:
        is_new &= ~besides.is_complete(mined) & ~besides.is_ignored(mined)
    return Mined(
        boxes=mined.boxes.tolist(),
        classes=classes.tolist(),
        scores=[round(score, SCORE_DIGITS) for score in scores.tolist()],
        is_new=is_new.tolist(),
    )


def known_beside(record: Mapping[str, Any], num_classes: int) -> Known | None:
    """What a record tells of its image beside the annotations, in pixels of the image; K classes.

    Returns:
        That of the image as the only one; None if nothing is known.
    """
    item = {key: record.get(key, ()) for key in ("exhaustive", "absent")}
    regions = record.get("ignored_regions")
    if regions:
        boxes = torch.tensor([x["bbox"] for x in regions], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        classes = [-1 if x["category_id"] is None else x["category_id"] for x in regions]
        item["ignored"] = Instances((0, 0), gt_boxes=Boxes(boxes), gt_classes=torch.tensor(classes))
    return Known.of_batch([item], num_classes, torch.device("cpu"))
