"""What the mechanism asks of a detector."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from torch import Tensor, nn

from .background import BackgroundWeights
from .known import Known
from .labels import HIT_IOU, Labels
from .mining import suppress
from .targets import Targets

#: What a detector brings is not typed, as detectron2 is not.
_Module: Any = nn.Module


class Detector(_Module):
    """A detector that tells what its network's output means, and its losses.

    A detector has ``num_classes`` and ``max_detections_per_image``, defines `mine` and
    `branch_losses` and, for methods that ask for them, `candidates` and `decoded_boxes`.
    """

    def mine(self, outputs: Any, score_thresh: float, max_per_image: int) -> Labels:
        """What the detector is confident of, by its own rules of thresholding and suppression.

        Args:
            outputs: the network's.
            score_thresh: class scores above count; in [0, 1].
            max_per_image: at most that many, the best-scored, of an image.

        Returns:
            Labels of the B images, boxes in the frame of their view. Those of a dense
            detector are not clipped to it.
        """
        raise NotImplementedError

    def branch_losses(
        self,
        outputs: Any,
        targets: Sequence[Targets],
        background: BackgroundWeights | None = None,
        known: Known | None = None,
    ) -> dict[str, Tensor]:
        """The detector's losses against ``targets``, of both branches.

        Args:
            outputs: the network's.
            targets: of each of the 2N images.
            background: what absent classes teach, for `dense_focal_loss`.
            known: what is known of the 2N images, for `limit_to_known`; not given if nothing is.

        Returns:
            By the detector's own loss names, a tensor (2,): the loss of the original branch and
            of the augmented one, each normalised by itself.
        """
        raise NotImplementedError

    def candidates(self, outputs: Any, score_thresh: float) -> Labels:
        """What `mine` suppresses some of; the arguments are its own."""
        raise NotImplementedError

    def decoded_boxes(self, outputs: Any) -> Tensor:
        """The box that each anchor predicts, (B, R, 4) XYXY in pixels of its image.

        Args:
            outputs: the network's.
        """
        raise NotImplementedError

    def detections(self, outputs: Any, score_thresh: float, *, one_per_place: bool) -> Labels:
        """What is mined of what scores above.

        Args:
            outputs: the network's.
            score_thresh: in [0, 1].
            one_per_place: whether a place is one detection, of its best-scored class.
        """
        if not one_per_place:
            return self.mine(outputs, score_thresh, self.max_detections_per_image)
        # Of a crowded image they may be more than the limit, which is meant for places.
        found = self.mine(outputs, score_thresh, sys.maxsize)
        return suppress(found, HIT_IOU, self.max_detections_per_image, class_wise=False)


class Dense(Detector, DenseDetector):
    """A dense detector, which also defines `dense_outputs`: what the others take as outputs."""

    num_classes: int
    max_detections_per_image: int

    def dense_outputs(self, features: list[Tensor], predictions: list[list[Tensor]]) -> Any:
        """The head's predictions in whatever form the detector's other methods want.

        Args:
            features: per level (B, C, H, W).
            predictions: the head's output on them.
        """
        raise NotImplementedError


def decode(
    transform: Box2BoxTransform | Box2BoxTransformLinear, deltas: Tensor, anchors: Tensor
) -> Tensor:
    """The boxes that every anchor of several images predicts.

    Args:
        transform: between anchors and boxes.
        deltas: (B, R, 4), predicted.
        anchors: (R, 4) XYXY, the same for all images.

    Returns:
        (B, R, 4) XYXY.
    """
    every_anchor = anchors.expand_as(deltas).flatten(0, 1)
    return transform.apply_deltas(deltas.flatten(0, 1), every_anchor).view_as(deltas)
