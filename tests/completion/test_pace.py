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
        (1000, True, 871, "10 minutes, 0.6 seconds an iteration"),
    ],
)
def test_iterations(images, has_weights, iterations, why):
    pace = choose_pace(600, 0.6, 8, images, images, has_weights=has_weights)
    assert pace.iterations == pytest.approx(iterations, abs=1)
    assert pace.why.startswith(why)
