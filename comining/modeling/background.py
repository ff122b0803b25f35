"""What is learnt where no object is, for methods that doubt it and where it isn't known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .transfer import send


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


class Partial(NamedTuple):
    """Anchors of which it is known of some classes alone whether they are absent; P of B images'.

    Attributes:
        images, anchors: (P,) int64 in [0, B) and [0, R); the latter ascend.
        weights: (P, K), what a logit weighs beside all else where its class is absent: 0 where that
            isn't known. Of foreground, 1 for its class.
    """

    images: Tensor
    anchors: Tensor
    weights: Tensor

    def by_level(self, sizes: Sequence[int]) -> list[Partial]:
        """Those of each level, counted from its first anchor; waits for the device once.

        Args:
            sizes: how many anchors levels have.
        """
        ends = torch.tensor(sizes).cumsum(0)
        up_to = torch.searchsorted(self.anchors, send(ends, self.anchors.device))
        counts = up_to.diff(prepend=up_to.new_zeros(1)).tolist()
        fields = (x.split(counts) for x in self)
        return [
            Partial(images, anchors - int(end) + size, weights)
            for images, anchors, weights, end, size in zip(*fields, ends, sizes, strict=True)
        ]

    def weigh(self, *values: Tensor) -> None:
        """Multiply values (V, N, A, K, S) of the logits of a level by the weights, in place."""
        _, num_images, num_shapes, _, _ = values[0].shape
        branches, images = self.images // num_images, self.images % num_images
        positions, shapes = self.anchors // num_shapes, self.anchors % num_shapes
        for x in values:
            x[branches, images, shapes, :, positions] *= self.weights
