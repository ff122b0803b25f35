"""A batch of images and their second views."""

from __future__ import annotations

import math

import torch
from detectron2.structures import ImageList, Instances
from torch import Tensor

from .known import Known
from .labels import Labels, annotated_labels, flip_boxes
from .origin import Origin
from .transfer import send


class TwoViews(ImageList):
    """A padded batch of 2N images: N originals, then their second views in the same order."""

    def __init__(
        self,
        tensor: Tensor,
        image_sizes: list[tuple[int, int]],
        flipped: list[bool],
        withheld: list[Instances | None],
        known: Known | None = None,
        origins: list[Origin | None] | None = None,
    ) -> None:
        """
        Args:
            tensor: (2N, C, H, W).
            image_sizes: 2N times (height, width) before padding, in pixels.
            flipped: N flags, whether an image's second view is mirrored left to right.
            withheld: of the N originals, the objects that are known not to be annotated; None
                where that is not known.
            known: what else is known of the N originals. As the attribute ``known`` it is of both
                views, each in its own frame.
            origins: where the N originals come from; None where that is not known.
        """
        super().__init__(tensor, image_sizes)
        self.flipped = flipped
        self.withheld = withheld
        self.origins = [None] * len(withheld) if origins is None else origins
        if any(flipped):
            mirrors = [
                width if flip else math.nan
                for (_, width), flip in zip(image_sizes, flipped * 2, strict=True)
            ]
            self._mirrors = send(torch.tensor(mirrors), tensor.device)
        self.known = known and Known(known.complete.repeat(2, 1), self.in_both_views(known.regions))

    def in_both_views(self, labels: Labels) -> Labels:
        """Labels on the N originals, followed by the same on their second views."""
        return Labels.cat((labels, self.to_other_view(labels)))

    def clip(self, labels: Labels) -> Labels:
        """Labels on any of the 2N images, without what reaches beyond it."""
        sizes = send(torch.tensor(self.image_sizes), labels.boxes.device)
        limits = sizes.flip(1).repeat(1, 2)[labels.images]
        return labels._replace(boxes=labels.boxes.clamp(min=0).minimum(limits))

    def judge(self, mined: Labels) -> tuple[Labels, Labels]:
        """What is known of the objects that are not annotated.

        Args:
            mined: labels on any of the 2N images.

        Returns:
            Those of ``mined`` that are on images of which it is known, and the objects there.
        """
        known = [i for i, objects in enumerate(self.withheld) if objects is not None]
        if not known:
            nothing = mined.select(mined.images[:0])
            return nothing, nothing
        withheld = annotated_labels([x for x in self.withheld if x is not None])
        if len(known) < len(self.withheld):
            images = send(torch.tensor(known), self.tensor.device)
            withheld = withheld._replace(images=images[withheld.images])
            mined = mined.select(torch.isin(mined.images % len(self.withheld), images))
        return mined, self.in_both_views(withheld)

    def to_other_view(self, labels: Labels) -> Labels:
        """Labels on any of the 2N images, moved to the other view of the same image."""
        num_images = len(self.flipped)
        images = (labels.images + num_images) % (2 * num_images)
        if not any(self.flipped):
            return labels._replace(images=images)
        widths = self._mirrors[images]
        boxes = torch.where(widths.isnan()[:, None], labels.boxes, flip_boxes(labels.boxes, widths))
        return labels._replace(boxes=boxes, images=images)
