"""Sums and means of values of each branch."""

from __future__ import annotations

from torch import Tensor


def sum_per_branch(values: Tensor, branches: Tensor, num_branches: int) -> Tensor:
    """Sum ``values`` (F,) of each of the branches (F,) in [0, V); returns (V,)."""
    return values.new_zeros(num_branches).index_add(0, branches, values)


def weighted_sum_per_branch(
    values: Tensor, weights: Tensor, branches: Tensor, num_branches: int
) -> Tensor:
    """Sum weighted ``values`` (F,) of each of the branches (F,) in [0, V).

    Args:
        values: such as the losses of drawn anchors.
        weights: (F,) at least 0. What has none is not counted, whatever its value.
        branches: (F,) int64.
        num_branches: V.

    Returns:
        (V,).
    """
    weighted = (values * weights).where(weights > 0, 0)
    return sum_per_branch(weighted, branches, num_branches)


def mean_per_branch(values: Tensor, weights: Tensor, branches: Tensor, num_branches: int) -> Tensor:
    """The mean of weighted ``values`` (F,), of each of the branches (F,) in [0, V).

    Args:
        values: such as the losses of foreground anchors.
        weights: (F,) at least 0. What has none is not counted, whatever its value; of the others
            the number, not the weight, divides the sum.
        branches: (F,) int64.
        num_branches: V.

    Returns:
        (V,); 0 where nothing is counted.
    """
    is_counted = weights > 0
    number = sum_per_branch(is_counted.to(values.dtype), branches, num_branches)
    total = weighted_sum_per_branch(values, weights, branches, num_branches)
    return total / number.clamp(min=1)
