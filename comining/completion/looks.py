"""What detections look like: what the detector's own feature pyramid has at their places."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetMapper
from detectron2.utils import comm
from torch import Tensor
from torchvision.ops import roi_align

from comining.engine.miner import Mined
from comining.engine.mining_run import read_batches
from comining.engine.waiting import report_progress, wait_for_all
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
    num_workers: int,
    tell: Callable[[float], None],
) -> dict[int, np.ndarray]:
    """What detections look like, as numbers of unit variance that are not correlated.

    Each process of a run looks at its share of the images.

    Args:
        model: in evaluation mode.
        mapper: for inference.
        records: images in detectron2's standard form.
        mined: by image id, what was found on those that could be read.
        num_workers: processes that read images; 0 reads in this one.
        tell: is told the share that is done.

    Returns:
        In the first process, by image id, (M, C) for its M detections, C at most `COMPONENTS`;
        zeros for those of a score below `LOWEST`. Nothing in others.
    """
    # By chance, so that the first ones are like all.
    order = np.random.default_rng(0).permutation(len(records))
    asked = [(records[i], _of_interest(mined.get(records[i]["image_id"]))) for i in order]
    asked = [(record, rows) for record, rows in asked if rows.any()]
    numbers = np.cumsum([rows.sum() for _, rows in asked])
    num_sampled = int(np.searchsorted(numbers, SAMPLE)) + 1

    rank, world = comm.get_rank(), comm.get_world_size()
    own = asked[rank::world]
    stream = _described(model, mapper, own, mined, num_workers, tell)
    own_sample = dict(islice(stream, len(asked[:num_sampled][rank::world])))
    sample = dict(ChainMap(*comm.all_gather(own_sample)))
    features = [sample[x["image_id"]] for x, _ in asked[:num_sampled]]
    features = [x for x in features if x is not None]
    looks = {}
    if features:
        centre, components = _principal(np.concatenate(features).astype(np.float32))
        rows_of = {record["image_id"]: rows for record, rows in own}
        for image_id, described in chain(own_sample.items(), stream):
            if described is not None:
                rows = rows_of[image_id]
                looks[image_id] = np.zeros((len(rows), components.shape[1]), np.float16)
                looks[image_id][rows] = (described - centre) @ components
    wait_for_all()
    return dict(ChainMap(*comm.gather(looks)))


def _of_interest(found: Mined | None) -> np.ndarray:
    """(M,) bool, which detections score enough to matter."""
    return np.array(found.scores if found else []) >= LOWEST


def _described(
    model: TwoViewDetector,
    mapper: DatasetMapper,
    asked: Sequence[tuple[dict[str, Any], np.ndarray]],
    mined: Mapping[int, Mined],
    num_workers: int,
    tell: Callable[[float], None],
) -> Iterator[tuple[int, np.ndarray | None]]:
    """Image ids and the features (M, D) of the detections asked for, as half-precision floats; None
    if an image can no longer be read."""
    images = read_batches([[record] for record, _ in asked], mapper, num_workers)
    pairs = zip(images, asked, strict=True)
    for number, (([record], [item]), (_, rows)) in enumerate(pairs, 1):
        id_ = record["image_id"]
        boxes = np.array(mined[id_].boxes, np.float32)[rows]
        is_read = "unreadable" not in item
        yield id_, features_at(model, item, record, boxes) if is_read else None
        report_progress()
        tell(number / len(asked))


@torch.no_grad()
def features_at(
    model: TwoViewDetector,
    item: dict[str, Any],
    record: Mapping[str, Any],
    boxes: np.ndarray,
) -> np.ndarray:
    """What the feature pyramid has around boxes on an image.

    Args:
        model: in evaluation mode.
        item: of a mapper for inference.
        record: of the image, with its ``width`` and ``height``.
        boxes: (M, 4) XYXY in pixels of the original image.

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
    corners = torch.from_numpy(boxes).reshape(-1, 2, 2) * scale
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
