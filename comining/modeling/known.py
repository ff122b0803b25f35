"""What is known of the images of a batch beside their annotated boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .background import Background, BackgroundWeights, Level, Partial
from .labels import Labels, annotated_labels, box_areas
from .matching import IGNORED
from .transfer import send

#: A box lies in a region to ignore if more than this share of it does, as in an evaluation.
IN_REGION = 0.5
#: So many regions are compared with all anchors at a time, for the memory that takes.
REGIONS_AT_ONCE = 32


class Known(NamedTuple):
    """What is known of B images.

    Attributes:
        complete: (B, K) bool, whether all objects of a class are annotated in an image, or were
            looked for and there are none. What else is detected of the class is a mistake.
        regions: where it isn't known whether there are objects of a class or, if that is -1, of
            any class.
    """

    complete: Tensor
    regions: Labels

    @staticmethod
    def of_batch(
        items: Sequence[dict[str, Any]], num_classes: int, device: torch.device
    ) -> Known | None:
        """What items of a mapper tell.

        Args:
            items: N of them, which may have ``exhaustive`` and ``absent``, lists of classes, and
                ``ignored``, ``Instances``, as `comining.data.KnownMapper` makes them.
            num_classes: K.
            device: where to.

        Returns:
            None if nothing is known.
        """
        classes = [[*x.get("exhaustive", ()), *x.get("absent", ())] for x in items]
        regions = [(i, x["ignored"]) for i, x in enumerate(items) if len(x.get("ignored", ()))]
        if not regions and not any(classes):
            return None
        complete = torch.zeros(len(items), num_classes, dtype=torch.bool)
        for image, of_image in enumerate(classes):
            complete[image, of_image] = True
        nothing = torch.zeros(0, device=device)
        labels = Labels(nothing.view(0, 4), nothing.long(), nothing.long(), nothing)
        if regions:
            images = send(torch.tensor([image for image, _ in regions]), device)
            labels = annotated_labels([x.to(device) for _, x in regions])
            labels = labels._replace(images=images[labels.images])
        return Known(send(complete, device), labels)

    def is_complete(self, labels: Labels) -> Tensor:
        """Which labels (M,) are of a class that is complete in their image."""
        return self.complete[labels.images, labels.classes]

    def is_finished(self, images: Tensor) -> Tensor:
        """In which of the images (M,) all classes are complete."""
        return self.complete.all(1)[images]

    def is_ignored(self, labels: Labels) -> Tensor:
        """Which labels (M,) lie in a region to ignore of their class."""
        regions = self.regions
        same = labels.images[:, None] == regions.images
        same &= (labels.classes[:, None] == regions.classes) | (regions.classes < 0)
        return (same & lies_in(labels.boxes, regions.boxes)).any(1)

    def with_full_weight(self, background: BackgroundWeights) -> BackgroundWeights:
        """What absent classes teach, of which complete ones are learnt to be absent as ever."""
        is_complete = self.complete[:, None, :, None, None]

        def told(level: Level) -> Background:
            weights, is_present = background(level)
            return Background(
                torch.where(is_complete, 1.0, weights),
                None if is_present is None else is_present & ~is_complete,
            )

        return told


def lies_in(boxes: Tensor, regions: Tensor) -> Tensor:
    """Which of the boxes (M, 4) lie in which of the regions (G, 4), all XYXY.

    Returns:
        (M, G) bool.
    """
    low = torch.maximum(boxes[:, None, :2], regions[:, :2])
    width, height = (
        (torch.minimum(boxes[:, None, 2:], regions[:, 2:]) - low).clamp_(min=0).unbind(2)
    )
    return width * height > IN_REGION * box_areas(boxes)[:, None]


def limit_to_known(
    classes: Tensor, doubtful: Tensor, anchors: Tensor, known: Known | None
) -> tuple[Tensor, Partial | None]:
    """What anchors are to learn, where something is known of their images.

    - In a region to ignore of all classes, what is not foreground is ignored; in one of a class,
      the absence of that class. Annotated objects are learnt there as elsewhere.
    - What an ignored target keeps from being background is ignored for those classes alone that
      aren't complete in the image.

    Args:
        classes: (B, R) int64: [0, K) foreground, K background, -1 ignored.
        doubtful: (B, R) bool, whether it would be background but for ignored targets.
        anchors: (R, 4) XYXY, the same for all images.
        known: of the B images; None changes nothing.

    Returns:
        The classes, and where these hold for some classes alone, for `dense_focal_loss`.
    """
    if known is None:
        return classes, None
    num_classes = known.complete.shape[1]
    is_foreground = (classes >= 0) & (classes < num_classes)
    in_any, in_all = in_regions(anchors, known)
    is_nothing = in_all & ~is_foreground
    is_doubtful = doubtful & known.complete.any(1)[:, None] & ~is_nothing
    classes = classes.masked_fill(is_nothing, IGNORED).masked_fill(is_doubtful, num_classes)
    is_partial = is_doubtful | (in_any & (classes != IGNORED))
    return classes, partial_at(is_partial, classes, anchors, known, is_doubtful)


def in_regions(anchors: Tensor, known: Known) -> tuple[Tensor, Tensor]:
    """Which of R anchors lie in a region of any kind in B images, and in one of all classes.

    Returns:
        (B, R) and (B, R) bool.
    """
    regions, num_images = known.regions, len(known.complete)
    inside = anchors.new_zeros(2, num_images, len(anchors))
    for part in torch.arange(len(regions.boxes), device=anchors.device).split(REGIONS_AT_ONCE):
        images, is_of_all = regions.images[part], regions.classes[part, None] < 0
        there = lies_in(anchors, regions.boxes[part]).T.to(inside.dtype)
        inside[0].index_add_(0, images, there)
        inside[1].index_add_(0, images, there * is_of_all)
    in_any, in_all = inside > 0
    return in_any, in_all


def partial_at(
    rows: Tensor, classes: Tensor, anchors: Tensor, known: Known, doubtful: Tensor | None = None
) -> Partial:
    """Of which classes the absence counts at some of R anchors of B images.

    Args:
        rows: (B, R) bool, which ones.
        classes: (B, R) int64, what they are to learn.
        anchors: (R, 4) XYXY.
        known: of the images.
        doubtful: (B, R) bool, whether the absence of complete classes alone counts there.
    """
    columns, images = rows.T.nonzero(as_tuple=True)
    regions, num_classes = known.regions, known.complete.shape[1]
    every_class = torch.arange(num_classes, device=anchors.device)
    of_class = (regions.classes < 0)[:, None] | (regions.classes[:, None] == every_class)
    is_there = lies_in(anchors[columns], regions.boxes) & (images[:, None] == regions.images)
    counts = is_there.to(anchors.dtype) @ of_class.to(anchors.dtype) == 0
    if doubtful is not None:
        counts &= known.complete[images] | ~doubtful[images, columns, None]
    counts |= classes[images, columns, None] == every_class
    return Partial(images, columns, counts.to(anchors.dtype))
