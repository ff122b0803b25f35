"""In which order, and how often, a training sees its images."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from torch import Tensor

from comining.errors import InputError


def build_sampler(
    images: list[dict[str, Any]],
    seed: int,
    *,
    repeat_thresh: float = 0.0,
    repeat_sqrt: bool = True,
    finished_share: float = 0.0,
) -> TrainingSampler | RepeatFactorTrainingSampler:
    """Endless indices of images, epoch after epoch in an order by chance.

    Args:
        images: in detectron2's data set format.
        seed: of the order, at least 0.
        repeat_thresh, repeat_sqrt, finished_share: as of `build_train_loader`.

    Raises:
        InputError: the share is not legal, or no image is finished.
    """
    if not 0 <= finished_share < 1:
        raise InputError(
            f"DATALOADER.FINISHED_SHARE is {finished_share}; it must be at least 0 and below 1"
        )
    if not repeat_thresh > 0 and not finished_share > 0:
        return TrainingSampler(len(images), seed=seed)
    factors = torch.ones(len(images))
    if repeat_thresh > 0:
        factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
            images, repeat_thresh, **({} if repeat_sqrt else {"sqrt": False})
        )
    if finished_share > 0:
        factors = _with_finished_more_often(factors, images, finished_share)
    return RepeatFactorTrainingSampler(factors, seed=seed)


def _with_finished_more_often(
    factors: Tensor, images: list[dict[str, Any]], share: float
) -> Tensor:
    """How often each image comes in an epoch, so that the finished ones make up the share.

    Args:
        factors: (N,), how often each would come.
        images: N of them, of which some are ``finished``.
        share: above 0 and below 1.

    Raises:
        InputError: no image is finished.
    """
    is_finished = torch.tensor([x.get("finished", False) for x in images])
    if not is_finished.any():
        raise InputError(
            f"DATALOADER.FINISHED_SHARE is {share}, but no training image is finished: say of some "
            "that all categories are exhaustive (comining annotate-known), or set it to 0"
        )
    finished, others = factors[is_finished].sum(), factors[~is_finished].sum()
    more = max(1.0, float(share / (1 - share) * others / finished))
    return torch.where(is_finished, more * factors, factors)
