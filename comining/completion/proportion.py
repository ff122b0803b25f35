"""How sure a measured proportion is."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from comining.errors import InputError


def wilson_interval(right: int, n: int, level: float = 0.9) -> tuple[float, float]:
    """Wilson's score interval of a proportion: meaningful for few trials and near 0 and 1, too.

    Args:
        right: successes, from 0 to ``n``.
        n: independent trials, at least 1.
        level: how often such intervals hold the true proportion, above 0 and below 1.

    Returns:
        Its ends, in [0, 1].

    Raises:
        InputError: a value is not as said.
    """
    if not 0 <= right <= n or n < 1:
        raise InputError(f"{right} of {n} is no proportion")
    if not 0 < level < 1:
        raise InputError(f"the level of an interval must be between 0 and 1, not {level}")
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (right + z2 / 2) / (n + z2)
    reach = sqrt(z2 * (right * (n - right) / n + z2 / 4)) / (n + z2)
    # Where rounding would leave 1e-17.
    low = 0.0 if right == 0 else centre - reach
    high = 1.0 if right == n else centre + reach
    return low, high
