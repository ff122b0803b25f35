"""Losses of dense detectors, summed per branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from detectron2.layers import ciou_loss, diou_loss
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from fvcore.nn import smooth_l1_loss
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .background import Background, BackgroundWeights, Level, Partial

EPSILON = 1e-7  # as fvcore and torchvision have it


def focal_loss(
    logits: Tensor,
    classes: Tensor,
    *,
    alpha: float,
    gamma: float,
    weights: Tensor | None = None,
    background: Background | None = None,
    partial: Partial | None = None,
) -> Tensor:
    """Sigmoid focal loss (RetinaNet, eq. 5) on a dense head's raw output, without one-hot target.

    Args:
        logits: (V, N, A, K, S) for V branches of N images, A anchor shapes, K classes and S
            positions.
        classes: (V, N, A, S) int64: [0, K) foreground, K background, -1 ignored.
        alpha: weight of foreground in [0, 1]; background weighs ``1 - alpha``. Below 0, as in
            fvcore, both weigh 1.
        gamma: focusing exponent, at least 0.
        weights: (V, N, A, S), what the losses of foreground weigh beside that; those of other
            positions do not matter. None for 1.
        background: what logits teach where their class is absent. None for a weight of 1.
        partial: where classes may be neither; an anchor's number is position * A + shape.

    Returns:
        (V,) sums over everything that is not ignored.
    """
    of_absent = (None, None) if background is None else background
    return _FocalLoss.apply(logits, classes, alpha, gamma, weights, *of_absent, partial)


def dense_focal_loss(
    logits: Sequence[Tensor],
    classes: Tensor,
    *,
    num_branches: int,
    alpha: float,
    gamma: float,
    weights: Tensor | None = None,
    background: BackgroundWeights | None = None,
    overlaps: Tensor | None = None,
    partial: Partial | None = None,
) -> Tensor:
    """`focal_loss` of all levels, of B images that are ``num_branches`` branches' in turn.

    Args:
        logits: per level (B, A * K, H, W), as a dense head makes them.
        classes: (B, R) int64: [0, K) foreground, K background, -1 ignored. Anchors are in
            detectron2's order (levels one after the other, within a level by row, column, shape).
        num_branches: V.
        alpha, gamma: as of `focal_loss`.
        weights: (B, R), what the losses of foreground anchors weigh beside that. None for 1.
        background: tells what absent classes teach. None for a weight of 1, without memory for it.
        overlaps: (B, R), for `background`, as of `Level`.
        partial: of which anchors classes may be neither present nor absent. None if of none.

    Returns:
        (V,) sums over everything that is not ignored.
    """
    num_shapes = classes.shape[1] // sum(x.shape[2] * x.shape[3] for x in logits)
    sizes = [num_shapes * x.shape[2] * x.shape[3] for x in logits]
    total = logits[0].new_zeros(num_branches)

    def by_level(values: Tensor) -> list[Tensor]:
        """(B, R) as (V, N, A, S) of each level."""
        return [
            x.unflatten(1, (-1, num_shapes)).transpose(1, 2).unflatten(0, (num_branches, -1))
            for x in values.split(sizes, dim=1)
        ]

    def by_branch(values: Tensor) -> Tensor:
        """(B, A * K, H, W) as (V, N, A, K, S)."""
        per_branch = values.view(num_branches, -1, *values.shape[1:]).flatten(3)
        return per_branch.unflatten(2, (num_shapes, -1))

    def told(level: Tensor, first: int) -> Background | None:
        if background is None:
            return None
        per_shape = level.detach().unflatten(1, (num_shapes, -1))
        weights, is_present = background(Level(per_shape, classes, overlaps, first))

        def of_logits(values: Tensor) -> Tensor:
            return by_branch(values.expand_as(per_shape).flatten(1, 2))

        return Background(of_logits(weights), None if is_present is None else of_logits(is_present))

    nothing = [None] * len(logits)
    all_weights = nothing if weights is None else by_level(weights)
    partials = nothing if partial is None else partial.by_level(sizes)
    every = zip(logits, by_level(classes), all_weights, partials, sizes, strict=True)
    first = 0
    for level, of_level, its_weights, its_partial, size in every:
        total = total + focal_loss(
            by_branch(level),
            of_level,
            alpha=alpha,
            gamma=gamma,
            weights=its_weights,
            background=told(level, first),
            partial=its_partial,
        )
        first += size
    return total


class _FocalLoss(Function):
    """Computes the gradient together with the loss and keeps nothing else of the logits' size.

    Every logit is first treated as background. Then the one logit per foreground anchor that is
    not, a K-th of all, is corrected: no target of the logits' size is ever made.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        classes: Tensor,
        alpha: float,
        gamma: float,
        weights: Tensor | None,
        background: Tensor | None,
        is_present: Tensor | None,
        partial: Partial | None,
    ) -> Tensor:
        num_classes = logits.shape[3]
        valid = (classes >= 0).unsqueeze(3)
        foreground = ((classes >= 0) & (classes < num_classes)).unsqueeze(3)
        if weights is not None:
            valid = torch.where(foreground, weights.unsqueeze(3), valid)
            foreground = foreground * valid
        index = classes.clamp(0, num_classes - 1).unsqueeze(3)
        chosen = logits.gather(3, index)

        of_background, of_foreground = (1 - alpha, alpha) if alpha >= 0 else (1.0, 1.0)
        # A class is present with a logit as it is absent with the opposite one.
        turned = logits if is_present is None else torch.where(is_present, -logits, logits)
        loss, gradient = _absent(turned, of_background, gamma)
        if is_present is not None:
            gradient = torch.where(is_present, -gradient, gradient)
        if background is not None:
            loss *= background
            gradient *= background
        if partial is not None:
            partial.weigh(loss, gradient)
        absent_loss, absent_gradient = loss.gather(3, index), gradient.gather(3, index)
        total = (loss.sum(3, keepdim=True) * valid).flatten(1).sum(1)
        gradient *= valid

        present_loss, present_gradient = _present(chosen, of_foreground, gamma)
        total = total + ((present_loss - absent_loss) * foreground).flatten(1).sum(1)
        gradient.scatter_add_(3, index, (present_gradient - absent_gradient) * foreground)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output.view(-1, 1, 1, 1, 1), *[None] * 7


def _absent(logits: Tensor, weight: float, gamma: float) -> tuple[Tensor, Tensor]:
    """Loss and gradient of logits whose class is absent."""
    p = logits.sigmoid()
    cross_entropy = F.softplus(logits)
    focus = weight * p**gamma
    gradient = focus * (gamma * (1 - p) * cross_entropy + p)
    return focus * cross_entropy, gradient


def _present(logits: Tensor, weight: float, gamma: float) -> tuple[Tensor, Tensor]:
    """Loss and gradient of logits whose class is present."""
    loss, gradient = _absent(-logits, weight, gamma)
    return loss, -gradient


def box_loss(
    deltas: Tensor,
    anchors: Tensor,
    targets: Tensor,
    transform: Box2BoxTransform | Box2BoxTransformLinear,
    *,
    kind: str,
    smooth_l1_beta: float = 0.0,
) -> Tensor:
    """Regression loss of each foreground anchor.

    Args:
        deltas: (F, 4), predicted.
        anchors, targets: (F, 4) XYXY in pixels.
        transform: between anchors and boxes.
        kind: "smooth_l1", on deltas, or "giou", "diou" or "ciou", on boxes.
        smooth_l1_beta: where smooth L1 turns from quadratic to linear, at least 0.

    Returns:
        (F,) losses.
    """
    if kind == "smooth_l1":
        wanted = transform.get_deltas(anchors, targets)
        return smooth_l1_loss(deltas, wanted, beta=smooth_l1_beta, reduction="none").sum(1)
    return IOU_LOSSES[kind](transform.apply_deltas(deltas, anchors), targets)


def giou_loss(boxes: Tensor, targets: Tensor) -> Tensor:
    """Generalised IoU loss of pairs of boxes (Rezatofighi et al., CVPR 2019).

    fvcore and torchvision compute the same, but select the pairs that overlap, for which the host
    waits for a GPU ten times in a step.

    Args:
        boxes, targets: (F, 4) XYXY.

    Returns:
        (F,) in [0, 2]; not finite where a box is not.
    """
    overlap = torch.minimum(boxes[:, 2:], targets[:, 2:])
    overlap = (overlap - torch.maximum(boxes[:, :2], targets[:, :2])).relu()
    hull = torch.maximum(boxes[:, 2:], targets[:, 2:])
    hull = hull - torch.minimum(boxes[:, :2], targets[:, :2])
    areas = (_area(sides) for sides in (overlap, hull, _sides(boxes), _sides(targets)))
    intersection, of_hull, of_boxes, of_targets = areas
    union = of_boxes + of_targets - intersection
    return 1 - intersection / (union + EPSILON) + (of_hull - union) / (of_hull + EPSILON)


def _sides(boxes: Tensor) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2]


def _area(sides: Tensor) -> Tensor:
    return sides[:, 0] * sides[:, 1]


#: Losses on boxes, by the names of ``MODEL.RETINANET.BBOX_REG_LOSS_TYPE``.
IOU_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "giou": giou_loss,
    "diou": partial(diou_loss, reduction="none"),
    "ciou": partial(ciou_loss, reduction="none"),
}
BOX_LOSSES = ("smooth_l1", *IOU_LOSSES)


def centerness(distances: Tensor) -> Tensor:
    """How central a location lies in its box (FCOS, eq. 3).

    Args:
        distances: (F, 4), from the location to its box's left, top, right and bottom, above 0.

    Returns:
        (F,) in (0, 1]; 1 at the centre.
    """
    near = torch.minimum(distances[:, :2], distances[:, 2:])
    far = torch.maximum(distances[:, :2], distances[:, 2:])
    return (near / far).prod(dim=1).sqrt()
