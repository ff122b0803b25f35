"""Regions to ignore in the training of detectron2's own detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.structures import Boxes, ImageList
from torch import Tensor

from .known import Known, in_regions, partial_at
from .matching import IGNORED

#: So sure that a class is absent that no loss and no gradient is left.
SURE = -100.0


class IgnoresRegions(DenseDetector):
    """The first base class of one of detectron2's dense detectors, whose loss on classes then
    leaves regions to ignore out, as `limit_to_known` has it.

    Nothing is mined, so it makes no difference which classes are complete.
    """

    _known: Known | None = None

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """detectron2's, with a look at the regions of the batch that it will be asked about."""
        self._known = None
        if self.training:
            self._known = Known.of_batch(batched_inputs, self.num_classes, self.device)
        return super().preprocess_image(batched_inputs)

    def losses(
        self,
        anchors: list[Boxes],
        pred_logits: list[Tensor],
        gt_labels: Sequence[Tensor],
        *others: Any,
    ) -> dict[str, Tensor]:
        """detectron2's, where regions to ignore hide logits (N, R, K) of their classes."""
        if self._known is not None and len(self._known.regions.boxes):
            pred_logits = _hide(pred_logits, torch.stack(list(gt_labels)), anchors, self._known)
        return super().losses(anchors, pred_logits, gt_labels, *others)


def _hide(
    logits: Sequence[Tensor], classes: Tensor, anchors: Sequence[Boxes], known: Known
) -> list[Tensor]:
    """Logits of levels (N, R_l, K), those that may not be called absent replaced by `SURE`."""
    every_anchor = Boxes.cat(list(anchors)).tensor
    rows = in_regions(every_anchor, known)[0] & (classes != IGNORED)
    partial = partial_at(rows, classes, every_anchor, known)
    levels = partial.by_level([x.shape[1] for x in logits])
    result = []
    for of_level, (images, columns, counts) in zip(logits, levels, strict=True):
        visible = of_level[images, columns].where(counts > 0, SURE)
        result.append(of_level.index_put((images, columns), visible))
    return result
