"""What is logged of mining."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from .labels import HIT_IOU, Labels, overlap_any

#: The share of what was counted that is left after an iteration: about twenty of them matter.
DECAY = 0.95


class MiningStatistics:
    """Shares and means over the last twenty iterations or so, of each branch."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}
        #: How many were mined in the last iteration, for each branch.
        self.last_mined = [0.0, 0.0]
        #: The method's scalars of the last iteration.
        self.last_scalars: dict[str, float] = {}

    def update(
        self,
        *,
        confident: Labels,
        others: Labels,
        annotated: Labels,
        mined: Labels,
        judged: Labels,
        withheld: Labels,
        num_images: int,
        scalars: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """Count what is in a batch of 2N images, all in the same frames; waits for the device once.

        Args:
            confident: what each view's detector is confident of.
            others: the same of the other view.
            annotated: the annotated boxes.
            mined: what is new to the branch of that view.
            judged: what was mined in images of which it is known what is missing.
            withheld: what is missing there among the annotated boxes.
            num_images: N.
            scalars: of the method, by name.
        """
        sums = {
            "confident": _count(confident, num_images),
            "agreed": _count(confident, num_images, overlap_any(confident, others, HIT_IOU)),
            "annotated": _count(annotated, num_images),
            "rediscovered": _count(
                annotated, num_images, overlap_any(annotated, confident, HIT_IOU)
            ),
            "mined": _count(mined, num_images),
            "score": _count(mined, num_images, mined.scores),
            "judged": _count(judged, num_images),
            "correct": _count(judged, num_images, overlap_any(judged, withheld, HIT_IOU)),
            "withheld": _count(withheld, num_images),
            "found": _count(withheld, num_images, overlap_any(withheld, judged, HIT_IOU)),
        }
        of_both = [x.expand(2) for x in scalars.values()]
        numbers = torch.stack([*sums.values(), *of_both]).tolist()
        self.last_scalars = dict(zip(scalars, (x for x, _ in numbers[len(sums) :]), strict=True))
        numbers = numbers[: len(sums)]
        for name, values in zip(sums, numbers, strict=True):
            before = self._sums.get(name, [0.0, 0.0])
            self._sums[name] = [DECAY * x + y for x, y in zip(before, values, strict=True)]
        self.last_mined = numbers[list(sums).index("mined")]

    def of_branch(self, branch: int) -> dict[str, float]:
        """Those of which there is enough to take a mean of, all in 0..1.

        Returns:
            ``mined_score``, the mean of mined boxes; ``rediscovered``, the share of the annotated
            boxes that the view's own detector is confident of; ``agreement``, the share of what it
            is confident of that the other view's is, too; ``mined_precision`` and
            ``mined_recall`` of the mined boxes against the withheld ones.
        """
        ratios = {
            "mined_score": ("score", "mined"),
            "rediscovered": ("rediscovered", "annotated"),
            "agreement": ("agreed", "confident"),
            "mined_precision": ("correct", "judged"),
            "mined_recall": ("found", "withheld"),
        }
        sums = {name: values[branch] for name, values in self._sums.items()}
        # What has nearly faded would be shown for ever.
        return {name: sums[a] / sums[b] for name, (a, b) in ratios.items() if sums.get(b, 0) >= 1}


def _count(labels: Labels, num_images: int, values: Tensor | None = None) -> Tensor:
    """The sum of ``values``, or of ones, of each branch, (2,)."""
    if values is None:
        values = torch.ones_like(labels.scores)
    branches = labels.images.div(num_images, rounding_mode="floor")
    return torch.zeros(2, device=values.device).index_add(0, branches, values.float())
