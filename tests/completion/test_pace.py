"""How long a training is."""

import pytest

from comining.completion.pace import choose_pace


@pytest.mark.parametrize(
    ("images", "has_weights", "iterations", "why"),
    [
        (60, False, 300, "each image is seen 40 times"),  # 40 * 60 / 8
        (60, True, 150, "each image is seen 20 times"),
        (8, True, 100, "fewer would learn nothing"),
        # A view takes 0.6 / 16 / 3 seconds forward: mining 25, watching 9 times 64 images 14.4.
        (1000, True, 871, "as many as there is time for, at 0.6 seconds each"),
    ],
)
def test_iterations(images, has_weights, iterations, why):
    pace = choose_pace(600, 0.6, 8, images, images, has_weights=has_weights)
    assert pace.iterations == pytest.approx(iterations, abs=1)
    assert pace.why.startswith(why)


def test_a_training_that_takes_longer_than_asked_tells_how_long():
    # 100 iterations of 3 seconds; a view takes 3 / 16 / 3 seconds forward: mining two of each of
    # 320 images 40, watching 9 times two of 64 images 72; 10 for all else.
    pace = choose_pace(60, 3.0, 8, 320, 320)
    assert pace.iterations == 100
    assert pace.why == "fewer would learn nothing; they take about 7 minutes"


def test_larger_images_than_in_training_take_longer_to_mine():
    # As above 0.0125 seconds for a view as large as in training, four times that for a whole image:
    # mining 100 seconds, watching 57.6, all else 10; 0.95 of the rest.
    assert choose_pace(600, 0.6, 8, 1000, 1000, True, larger=4).iterations == 684
