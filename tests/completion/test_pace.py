"""How long a training is."""

import pytest

from comining.completion.pace import choose_pace
from comining.completion.training import Timing


@pytest.mark.parametrize(
    ("images", "has_weights", "iterations", "why"),
    [
        (60, False, 300, "each image is seen 40 times"),  # 40 * 60 / 8
        (60, True, 150, "each image is seen 20 times"),
        (8, True, 100, "fewer would learn nothing"),
        # Mining 25 seconds, seeing what was found 7.5, all else 10; 0.95 of the rest.
        (1000, True, 882, "as many as there is time for, at 0.6 seconds each"),
    ],
)
def test_iterations(images, has_weights, iterations, why):
    pace = choose_pace(10, Timing(0.6, 0.025), 8, images, images, has_weights=has_weights)
    assert pace.iterations == pytest.approx(iterations, abs=1)
    assert pace.why.startswith(why)


def test_a_training_that_takes_longer_than_asked_says_so():
    # 100 iterations of 3 seconds; mining 320 images 52 in all; 10 for all else: 362 seconds.
    pace = choose_pace(1.5, Timing(3.0, 0.125), 8, 320, 320)
    assert pace.iterations == 100
    assert (
        pace.why == "fewer would learn nothing; about 7 minutes in all, longer than --minutes 1.5"
    )
    assert pace.training == 300


def test_processes_mine_together():
    # Mining 130 seconds in place of 520; all else 10; 0.95 of the rest.
    timing = Timing(0.6, 0.1)
    assert choose_pace(11, timing, 8, 4000, 4000, 60, True, num_processes=4).iterations == 728
