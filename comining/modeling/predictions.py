"""What a network predicts on a batch, in as much detail as a method asks for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .dense import Detector
from .labels import Labels
from .two_views import TwoViews


class Predictions:
    """Dense predictions on the 2N images, or on the N originals alone; without gradients.

    Nothing is computed before it is asked for. A detector of your own has to define the methods of
    `Detector` for what is not `detections`.
    """

    def __init__(
        self,
        detector: Detector,
        outputs: Any,
        images: TwoViews,
        *,
        floor: float,
        one_per_place: bool,
        of_both: bool,
    ) -> None:
        """
        Args:
            detector: tells the outputs' meaning.
            outputs: of the network, as the detector's methods take them.
            images: the 2N images.
            floor, one_per_place: what `detections` are, as of a `Method`.
            of_both: whether the outputs are of the 2N images; else of the N originals.
        """
        self._detector = detector
        self._outputs = outputs
        self._images = images
        self._floor = floor
        self._one_per_place = one_per_place
        self._of_both = of_both

    @cached_property
    @torch.no_grad()
    def detections(self) -> Labels:
        """After suppression, of each of the 2N images, in its own frame. If the originals alone
        were seen, those of the second views are the same boxes, mirrored if needed."""
        found = self._detector.detections(
            self._outputs, self._floor, one_per_place=self._one_per_place
        )
        return self._everywhere(found)

    @torch.no_grad()
    def candidates(self, score_thresh: float) -> Labels:
        """The same before suppression.

        Args:
            score_thresh: class scores above count; in [0, 1].
        """
        return self._everywhere(self._detector.candidates(self._outputs, score_thresh))

    @cached_property
    @torch.no_grad()
    def boxes(self) -> Tensor:
        """(B, R, 4) XYXY in pixels, the box that each anchor predicts, in detectron2's order.

        B is 2N, or N if the originals alone were seen.
        """
        return self._detector.decoded_boxes(self._outputs)

    @cached_property
    @torch.no_grad()
    def foreground(self) -> Tensor:
        """(B, R) in [0, 1], the highest class score of each anchor, as `boxes` has them."""
        best = [
            x.unflatten(1, (-1, self._detector.num_classes)).amax(2) for x in self._outputs.logits
        ]
        return torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in best], dim=1).sigmoid()

    def _everywhere(self, labels: Labels) -> Labels:
        return labels if self._of_both else self._images.in_both_views(labels)
