"""What is learnt where no object is, for methods that doubt it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Level(NamedTuple):
    """A level's anchors, or locations, of B images, without gradients.

    Attributes:
        logits: (B, A, K, H, W), of A anchors with K classes at each position of the level.
        classes: (B, R) int64, of the anchors of all levels: [0, K) foreground, K background, -1
            ignored.
        overlaps: (B, R), of the anchors of all levels the highest IoU with an object of the image;
            of a location, 1 if it lies in the box of one, else 0. None if the detector does not
            tell.
        first: the level's first anchor, in [0, R).
    """

    logits: Tensor
    classes: Tensor
    overlaps: Tensor | None
    first: int

    def part(self, values: Tensor) -> Tensor:
        """Of values (B, R) of the anchors of all levels those of this level, (B, A, 1, H, W)."""
        _, shapes, _, height, width = self.logits.shape
        of_level = values[:, self.first : self.first + shapes * height * width]
        return of_level.unflatten(1, (height, width, shapes)).permute(0, 3, 1, 2).unsqueeze(2)


class Background(NamedTuple):
    """What the logits of a `Level` teach where their class is absent.

    Attributes:
        weights: of the loss, at least 0, of a shape that broadcasts to the logits'.
        is_present: where the loss is that of a class that is present, still with the alpha of an
            absent one; bool, of a shape that broadcasts to the logits'. None for nowhere.
    """

    weights: Tensor
    is_present: Tensor | None = None


#: Called for each level of a detector.
BackgroundWeights = Callable[[Level], Background]
