"""The places that a two-stage detector learns from: a few of its anchors or proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.sampling import subsample_labels
from detectron2.utils.events import get_event_storage
from torch import Tensor

from .known import lies_in
from .labels import cat_rows, select_rows
from .losses import box_loss
from .matching import IGNORED, label_anchors
from .per_branch import weighted_sum_per_branch
from .targets import Targets


class Sample(NamedTuple):
    """Places drawn of a batch, in flat tensors of S rows each.

    Attributes:
        images: (S,) int64, the index of the image in the batch.
        rows: (S,) int64, the place's row among those of its image.
        places: (S, 4) XYXY in pixels.
        classes: (S,) int64: [0, K) foreground, K background.
        boxes: (S, 4), those of the matched targets; undefined for background.
        class_weights: (S,), those of the matched targets; 1 for background.
        box_weights: (S,), those of the matched targets; 0 for background.
    """

    images: Tensor
    rows: Tensor
    places: Tensor
    classes: Tensor
    boxes: Tensor
    class_weights: Tensor
    box_weights: Tensor

    def select(self, rows: Tensor) -> Sample:
        """The places of some row numbers."""
        return Sample(*select_rows(self, rows))


def draw_sample(
    places: Sequence[Tensor],
    targets: Sequence[Targets],
    matcher: Matcher,
    *,
    num_classes: int,
    size: int,
    positive_fraction: float,
    regions: Sequence[Tensor] | None = None,
) -> Sample:
    """Match the places of every image with its targets, and draw some of them.

    The draw is detectron2's ``subsample_labels``, from torch's generator of the device. What is
    ignored is never drawn, and foreground that teaches a class alone (``box_weights`` 0) only where
    other foreground leaves room.

    Args:
        places: of each of B images, (P, 4) XYXY.
        targets: of each of B images.
        matcher: as of `label_anchors`.
        num_classes: K.
        size: so many places of an image, if there are as many.
        positive_fraction: at most that share of them is foreground; in [0, 1].
        regions: of each of B images, (G, 4) XYXY in which nobody knows whether there are objects:
            what lies there and is not foreground is not drawn. None if there are none.
    """
    of_images = []
    for image, (of_image, gt) in enumerate(zip(places, targets, strict=True)):
        matched = label_anchors(of_image, [gt], matcher, num_classes=num_classes)
        classes = matched.classes[0]
        if regions is not None:
            is_hidden = lies_in(of_image, regions[image]).any(1) & (classes == num_classes)
            classes = classes.masked_fill(is_hidden, IGNORED)
        teaches_place = matched.box_weights[0] > 0
        rows = _draw(classes, teaches_place, size, positive_fraction, num_classes)
        classes = classes[rows]
        is_background = classes == num_classes
        of_images.append(
            Sample(
                images=torch.full_like(rows, image),
                rows=rows,
                places=of_image[rows],
                classes=classes,
                boxes=matched.boxes[0, rows],
                class_weights=matched.class_weights[0, rows].masked_fill(is_background, 1),
                box_weights=matched.box_weights[0, rows].masked_fill(is_background, 0),
            )
        )
    return cat_rows(of_images)


def _draw(
    classes: Tensor, teaches_place: Tensor, size: int, positive_fraction: float, num_classes: int
) -> Tensor:
    """The rows that are drawn of P places: at first as if those that teach a class alone were
    ignored; then, of these, as many as there is room for, in place of background.

    So boxes that are mined for their class take no place from those that teach where objects are.
    """
    is_object = (classes >= 0) & (classes < num_classes)
    is_extra = is_object & ~teaches_place
    objects, others = subsample_labels(
        classes.masked_fill(is_extra, IGNORED), size, positive_fraction, num_classes
    )
    extra = is_extra.nonzero().squeeze(1)
    room = int(size * positive_fraction) - len(objects)
    extra = extra[torch.randperm(len(extra), device=extra.device)[:room]]
    return torch.cat((objects, extra, others[: size - len(objects) - len(extra)]))


def log_sample(is_object: Tensor, num_images: int, positive: str, negative: str) -> None:
    """Log how many objects and how much background was drawn of an image, as detectron2 does."""
    number = is_object.sum().item()
    storage = get_event_storage()
    storage.put_scalar(positive, number / num_images)
    storage.put_scalar(negative, (len(is_object) - number) / num_images)


def sample_losses(
    sample: Sample,
    classification: Tensor,
    deltas: Tensor,
    *,
    transform: Box2BoxTransform,
    kind: str,
    smooth_l1_beta: float,
    branches: Tensor,
    num_branches: int,
) -> tuple[Tensor, Tensor]:
    """The losses of a sample on classes and places, as its weights have it.

    Args:
        sample: S places.
        classification: (S,), the loss of each place on its class.
        deltas: (S, 4), predicted by each place, of its class; undefined for background.
        transform: between places and boxes.
        kind, smooth_l1_beta: as of `box_loss`.
        branches: (S,) in [0, V).
        num_branches: V.

    Returns:
        Two sums (V,).
    """
    # Others may have no legal box, of which a loss would not be finite.
    rows = (sample.box_weights > 0).nonzero().squeeze(1)
    learnt = sample.select(rows)
    regression = box_loss(
        deltas[rows],
        learnt.places,
        learnt.boxes,
        transform,
        kind=kind,
        smooth_l1_beta=smooth_l1_beta,
    )
    return (
        weighted_sum_per_branch(classification, sample.class_weights, branches, num_branches),
        weighted_sum_per_branch(regression, learnt.box_weights, branches[rows], num_branches),
    )
