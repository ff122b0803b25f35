"""How many iterations there is time for."""

from __future__ import annotations

import math
from typing import NamedTuple

from .mining import LOOKING
from .training import Timing

#: Of the time for training, what is left for the unforeseen.
RESERVE = 0.05
#: Seconds for reading, checkpoints and the report.
ELSE = 10.0
#: A training has at least so many iterations, and sees each image at most so many times; one that
#: begins with trained weights learns by heart earlier.
MIN_ITERATIONS, MAX_EPOCHS, MAX_EPOCHS_TRAINED = 100, 40, 20
#: A training can go on from so many points.
CHECKPOINTS = 20


class Pace(NamedTuple):
    """A schedule.

    Attributes:
        iterations: of the training.
        training, mining: seconds that these will take.
        why: the reason for the number of iterations.
    """

    iterations: int
    training: float
    mining: float
    why: str


def choose_pace(
    minutes: float,
    timing: Timing,
    batch: int,
    num_trained: int,
    num_mined: int,
    passed: float = 0.0,
    has_weights: bool = False,
    num_processes: int = 1,
) -> Pace:
    """A schedule that ends in time, if it can be that short.

    Args:
        minutes: that are wanted.
        timing: of an iteration, and of finding objects on an image.
        batch: images of an iteration.
        num_trained: images that are trained on.
        num_mined: images in all.
        passed: seconds of them.
        has_weights: whether it begins with trained weights.
        num_processes: that mine together.
    """
    per_iteration = timing.iteration
    mining = num_mined * timing.image * (1 + LOOKING) / num_processes
    left = (1 - RESERVE) * (60 * minutes - passed - mining - ELSE)
    by_time = int(left / per_iteration)
    epochs = MAX_EPOCHS_TRAINED if has_weights else MAX_EPOCHS
    by_epochs = epochs * num_trained // batch
    why = f"as many as there is time for, at {per_iteration:.2g} seconds each"
    if by_epochs < by_time:
        why = f"each image is seen {epochs} times: more would learn them by heart"
    number = min(by_time, by_epochs)
    if number < MIN_ITERATIONS:
        number, why = MIN_ITERATIONS, "fewer would learn nothing"
    training = number * per_iteration
    total = passed + training + mining + ELSE
    if by_time < number and total > 60 * minutes:
        why += f"; about {math.ceil(total / 60)} minutes in all, longer than --minutes {minutes:g}"
    return Pace(number, training, mining, why)
