"""Scores by how often what looks like a detection is annotated."""

import numpy as np
import pytest

from comining import completion
from comining.completion.resemblance import FORGOTTEN, resemblance


def kinds(*counts):
    """Detections of kinds that look alike: of each, so many annotated and so many new ones.

    Returns:
        (M, C) looks, (M,) the kind, (M,) which is annotated, in an order that mixes all.
    """
    kind = np.concatenate([np.full(sum(pair), i) for i, pair in enumerate(counts)])
    is_annotated = np.concatenate([np.arange(sum(pair)) < pair[0] for pair in counts])
    order = np.random.default_rng(0).permutation(len(kind))
    # Of unit variance, as if there were as many of each kind.
    looks = np.eye(len(counts))[kind] * len(counts)
    return looks[order], kind[order], is_annotated[order]


def factors_of(looks, is_annotated, classes=None, images=None):
    number = len(looks)
    return resemblance(
        looks,
        np.zeros(number, dtype=int) if classes is None else classes,
        np.arange(number) if images is None else images,
        is_annotated=is_annotated,
        is_new=~is_annotated,
        is_asked=np.ones(number, dtype=bool),
    )


def test_what_is_never_annotated_scores_low_and_what_is_forgotten_keeps_its_score():
    # Annotated: 60 % of the usual kind, 45 % of what is hard to see, 12 % of another kind, and none
    # of what only looks like an object.
    looks, kind, is_annotated = kinds((6000, 4000), (1350, 1650), (360, 2640), (0, 3000))
    factors = factors_of(looks, is_annotated)
    of_kind = [factors[kind == i].mean() for i in range(4)]
    assert of_kind[0] == 1
    assert of_kind[1] == 1  # 1.5 * 45 / 60 is more
    assert of_kind[2] == pytest.approx(FORGOTTEN * 12 / 60, rel=0.1)
    assert of_kind[3] < 0.05


def test_an_annotated_object_does_not_speak_for_its_own_image():
    """What is annotated in one image only, however often, is annotated nowhere else."""
    looks, kind, is_annotated = kinds((3000, 2000), (2000, 6000))
    images = np.arange(len(looks))
    images[(kind == 1) & is_annotated] = -1
    factors = factors_of(looks, is_annotated, images=images)
    # Images by their places in the order of ids, five parts: -1 is of the first, as is every fifth
    # of the others, so that for another part 2000 are annotated and 4800 new.
    part = (np.unique(images, return_inverse=True)[1]) % 5
    assert factors[(kind == 1) & (part == 0)].max() < 0.1
    assert factors[(kind == 1) & (part == 1)].min() == pytest.approx(
        FORGOTTEN * (2000 / 6800) / 0.6, rel=0.1
    )


def test_of_many_some_are_enough(monkeypatch):
    looks, kind, is_annotated = kinds((6000, 4000), (360, 2640), (0, 3000))
    monkeypatch.setattr(completion.resemblance, "MOST", 5_000)
    factors = factors_of(looks, is_annotated)
    assert factors[kind == 0].mean() == 1
    assert factors[kind == 1].mean() == pytest.approx(FORGOTTEN * 12 / 60, rel=0.2)
    assert factors[kind == 2].mean() < 0.08


def test_classes_are_judged_apart():
    looks, kind, is_annotated = kinds((2000, 1000), (0, 3000))
    other, their_kind, theirs = kinds((0, 3000), (2000, 1000))
    classes = np.repeat((0, 1), (len(looks), len(other)))
    factors = factors_of(
        np.concatenate((looks, other)), np.concatenate((is_annotated, theirs)), classes
    )
    expected = np.concatenate((kind == 0, their_kind == 1))
    assert ((factors == 1) == expected).all()


@pytest.mark.parametrize("counts", [((19, 500), (0, 500)), ((500, 10), (0, 9))])
def test_of_few_nothing_is_learnt(counts):
    looks, _, is_annotated = kinds(*counts)
    assert (factors_of(looks, is_annotated) == 1).all()


def test_what_is_not_asked_for_keeps_its_score():
    looks, kind, is_annotated = kinds((8000, 4000), (0, 4000))
    is_asked = np.arange(len(looks)) % 2 == 0
    factors = resemblance(
        looks,
        np.zeros(len(looks), dtype=int),
        np.arange(len(looks)),
        is_annotated=is_annotated & is_asked,
        is_new=~is_annotated & is_asked,
        is_asked=is_asked,
    )
    assert (factors[~is_asked] == 1).all()
    assert (factors[is_asked & (kind == 1)] < 0.1).all()
