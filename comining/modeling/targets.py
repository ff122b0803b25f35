"""What the losses of a batch are taken against."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .labels import Labels, cat_rows, split_rows


class Targets(NamedTuple):
    """Boxes to learn from in flat tensors; row m of each field belongs to box m of M.

    Attributes:
        boxes: (M, 4) XYXY in pixels of the image that the box belongs to.
        classes: (M,) int64 in [0, K).
        images: (M,) int64, the index of the image in the batch.
        class_weights: (M,) at least 0; what is matched with the box has this weight in the loss on
            classes. 1 is that of annotated boxes.
        box_weights: the same in the losses on places; 0 leaves it out of their mean.
        ignored: (M,) bool, whether there is neither object nor background, so that no loss applies
            unless an object lies there as well.
    """

    boxes: Tensor
    classes: Tensor
    images: Tensor
    class_weights: Tensor
    box_weights: Tensor
    ignored: Tensor

    @staticmethod
    def learnt(
        labels: Labels, class_weight: float | Tensor = 1.0, box_weight: float | Tensor = 1.0
    ) -> Targets:
        """Objects, with one weight for all or one for each, (M,)."""
        one = torch.ones_like(labels.scores)
        return Targets(
            labels.boxes,
            labels.classes,
            labels.images,
            class_weights=one * class_weight,
            box_weights=one * box_weight,
            ignored=torch.zeros_like(labels.classes, dtype=torch.bool),
        )

    @staticmethod
    def ignoring(labels: Labels) -> Targets:
        """What is neither object nor background, of whatever class."""
        learnt = Targets.learnt(labels)
        return learnt._replace(ignored=torch.ones_like(learnt.ignored))

    @staticmethod
    def cat(parts: list[Targets]) -> Targets:
        """All rows of all ``parts``, in that order."""
        return cat_rows(parts)

    def split(self, num_images: int) -> list[Targets]:
        """One `Targets` per image of the batch, each in the order of its rows here.

        The device is waited for once.
        """
        return split_rows(self, num_images)
