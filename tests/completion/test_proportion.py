from math import isclose

import pytest

from comining.completion.proportion import wilson_interval
from comining.errors import InputError


@pytest.mark.parametrize(("right", "n"), [(35, 40), (1, 7), (0, 10), (10, 10), (500, 1000)])
def test_ends_are_where_the_score_test_just_rejects(right, n):
    """The ends p solve (right / n - p)² = z² p (1 - p) / n, with z of 1.6448536 for 90 %."""
    for p in wilson_interval(right, n):
        deviation = (right / n - p) ** 2 - 1.6448536269514722**2 * p * (1 - p) / n
        assert isclose(deviation, 0, abs_tol=1e-12)


def test_known_values():
    # Of Brown, Cai and DasGupta's formula with z = 1.959964, worked out by hand for 10 of 10:
    # the lower end is 1 / (1 + z² / 10).
    assert wilson_interval(10, 10, 0.95) == (pytest.approx(1 / (1 + 0.38414588), abs=1e-7), 1.0)
    low, high = wilson_interval(0, 10, 0.95)
    assert (low, high) == (0.0, pytest.approx(0.38414588 / 1.38414588, abs=1e-7))


@pytest.mark.parametrize(
    ("right", "n", "level"), [(5, 4, 0.9), (-1, 4, 0.9), (0, 0, 0.9), (1, 2, 1)]
)
def test_what_is_no_proportion(right, n, level):
    with pytest.raises(InputError):
        wilson_interval(right, n, level)
