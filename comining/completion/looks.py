"""What detections look like: what the detector's own feature pyramid has at their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetMapper
from torch import Tensor
from torchvision.ops import roi_align

from comining.data.tolerant import TolerantMapper
from comining.engine.miner import Mined
from comining.modeling import TwoViewDetector

from .evidence import LOWEST

#: Around a detection, so many times its edges are looked at, in a grid of so many cells.
CONTEXT, CELLS = 1.5, 3
#: Of the feature pyramid, so many of the finest levels.
LEVELS = 2
#: So many principal components tell looks apart; about so many detections decide which these are.
COMPONENTS, SAMPLE = 128, 4_000


def looks_of(
    model: TwoViewDetector,
    mapper: DatasetMapper,
    records: Sequence[dict[str, Any]],
    mined: Mapping[int, Mined],
    tell: Callable[[float], None],
) -> dict[int, np.ndarray]:
    """What detections look like, as numbers of unit variance that are not correlated.

    Args:
        model: in evaluation mode.
        mapper: for inference.
        records: images in detectron2's standard form.
        mined: by image id, what was found on those that could be read.
        tell: is told the share that is done.

    Returns:
        By image id (M, C) for its M detections, C at most `COMPONENTS`; zeros for those of a score
        below `LOWEST`.
    """
    # By chance, so that the first ones are like all.
    order = np.random.default_rng(0).permutation(len(records))
    stream = _described(model, mapper, [records[i] for i in order], mined, tell)
    sample, number = [], 0
    for image_id, described in stream:
        sample.append((image_id, described))
        number += len(described)
        if number >= SAMPLE:
            break
    if number == 0:
        return {}
    centre, components = _principal(np.concatenate([x for _, x in sample]).astype(np.float32))
    looks = {}
    for image_id, described in chain(sample, stream):
        is_of_interest = np.array(mined[image_id].scores) >= LOWEST
        looks[image_id] = np.zeros((len(is_of_interest), components.shape[1]), np.float32)
        looks[image_id][is_of_interest] = (described - centre) @ components
    return looks


def _described(
    model: TwoViewDetector,
    mapper: DatasetMapper,
    records: Sequence[dict[str, Any]],
    mined: Mapping[int, Mined],
    tell: Callable[[float], None],
) -> Iterator[tuple[int, np.ndarray]]:
    """Image ids and, of the detections of interest, (M, D) features as half-precision floats."""
    read = TolerantMapper(mapper)
    for number, record in enumerate(records, 1):
        found = mined.get(record["image_id"])
        boxes = (
            [box for box, score in zip(found.boxes, found.scores, strict=True) if score >= LOWEST]
            if found
            else []
        )
        if boxes:
            item = read(record)
            if "unreadable" not in item:
                yield record["image_id"], features_at(model, item, record, boxes)
        tell(number / len(records))


@torch.no_grad()
def features_at(
    model: TwoViewDetector,
    item: dict[str, Any],
    record: Mapping[str, Any],
    boxes: Sequence[Sequence[float]],
) -> np.ndarray:
    """What the feature pyramid has around boxes on an image.

    Args:
        model: in evaluation mode.
        item: of a mapper for inference.
        record: of the image, with its ``width`` and ``height``.
        boxes: M times XYXY in pixels of the original image.

    Returns:
        (M, D) half-precision floats: of each of the `LEVELS` finest levels, its channels in
        `CELLS` x `CELLS` cells of the box enlarged by `CONTEXT`.
    """
    images = model.preprocess_image([item]).tensor
    pyramid = model.backbone(images)
    strides = {name: shape.stride for name, shape in model.backbone.output_shape().items()}
    finest = sorted(strides, key=strides.__getitem__)[:LEVELS]
    height, width = item["image"].shape[1:]
    scale = torch.tensor([width / record["width"], height / record["height"]])
    corners = torch.tensor(boxes).reshape(-1, 2, 2) * scale
    centre, half = corners.mean(1), (corners[:, 1] - corners[:, 0]) / 2 * CONTEXT
    regions = torch.cat((centre - half, centre + half), dim=1).to(images)
    pooled: list[Tensor] = [
        roi_align(
            pyramid[name].float(),
            [regions],
            CELLS,
            1 / strides[name],
            sampling_ratio=4,
            aligned=True,
        ).flatten(1)
        for name in finest
    ]
    return torch.cat(pooled, dim=1).half().cpu().numpy()


def _principal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean (D,) and the matrix (D, C) that makes principal components of unit variance."""
    centre, scale = features.mean(0), features.std(0) + 1e-3
    _, sizes, axes = np.linalg.svd((features - centre) / scale, full_matrices=False)
    deviations = sizes / np.sqrt(len(features))
    kept = np.flatnonzero(deviations > 1e-3)[:COMPONENTS]
    return centre, axes[kept].T / deviations[kept] / scale[:, None]
