"""How good mined labels are, where the annotations that were withheld are known."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .labels import Labels, overlap_any

#: A mined box hits a withheld one of its class if their IoU is above.
HIT_IOU = 0.5
#: The share of what was counted that is left after an iteration: about twenty of them matter.
DECAY = 0.95


class MiningQuality:
    """Precision and recall of mined labels over the last twenty iterations or so."""

    def __init__(self) -> None:
        self._counts = np.zeros((4, 2))

    def update(self, mined: Labels, withheld: Labels, num_images: int) -> None:
        """Count the hits among the labels of a batch; waits for the device once.

        Args:
            mined: new labels on 2N images, those of the original branch first.
            withheld: what they should find, in the same frames.
            num_images: N.
        """
        counts = torch.stack(
            [
                _of_branches(mined, torch.ones_like(mined.images), num_images),
                _of_branches(mined, overlap_any(mined, withheld, HIT_IOU), num_images),
                _of_branches(withheld, torch.ones_like(withheld.images), num_images),
                _of_branches(withheld, overlap_any(withheld, mined, HIT_IOU), num_images),
            ]
        )
        self._counts = DECAY * self._counts + np.array(counts.tolist())

    def precision_and_recall(self, branch: int) -> tuple[float | None, float | None]:
        """Of a branch's mined labels, in 0..1; None where there is nothing to take a share of."""
        mined, correct, withheld, found = self._counts[:, branch].tolist()
        return correct / mined if mined else None, found / withheld if withheld else None


def _of_branches(labels: Labels, values: Tensor, num_images: int) -> Tensor:
    branches = labels.images.div(num_images, rounding_mode="floor")
    return torch.zeros(2, device=values.device).index_add(0, branches, values.float())
