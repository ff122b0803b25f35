"""How often a training sees its images."""

from collections import Counter
from itertools import islice

import pytest

from comining.data.sampling import build_sampler
from comining.errors import InputError


def image(*classes, **known):
    return {"annotations": [{"category_id": x, "iscrowd": 0} for x in classes], **known}


IMAGES = [
    image(0, finished=True),
    image(finished=True),
    image(1, finished=False),
    *(image(0, 1) for _ in range(5)),
]


def test_finished_images_make_up_the_wanted_share():
    """Two of eight: each three times in an epoch of twelve."""
    seen = Counter(islice(build_sampler(IMAGES, 0, finished_share=0.5), 4 * 12))
    assert [seen[x] for x in range(8)] == [12, 12, 4, 4, 4, 4, 4, 4]


def test_finished_images_come_no_less_often_than_others():
    seen = Counter(islice(build_sampler(IMAGES, 0, finished_share=0.1), 8))
    assert seen == dict.fromkeys(range(8), 1)


def test_with_rare_categories_too():
    """Each image comes twice for its rare category, and each finished one three times as often."""
    images = [{**x, "annotations": [{"category_id": i}]} for i, x in enumerate(IMAGES)]
    thresh = 0.5  # of 1 / 8: sqrt(0.5 / 0.125)
    factors = {"repeat_thresh": thresh, "finished_share": 0.5}
    seen = Counter(islice(build_sampler(images, 0, **factors), 24))
    assert [seen[x] for x in range(8)] == [6, 6, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (1.0, "DATALOADER.FINISHED_SHARE is 1.0; it must be at least 0 and below 1"),
        (-0.1, "DATALOADER.FINISHED_SHARE is -0.1"),
        (0.5, "no training image is finished: say of some that all categories are exhaustive"),
    ],
)
def test_mistakes(share, message):
    with pytest.raises(InputError, match=message):
        build_sampler(IMAGES[2:], 0, finished_share=share)
