import pytest

from comining.modeling.statistics import DECAY, MiningStatistics
from tests.modeling.helpers import make_labels

NOTHING = make_labels([])
# Two objects on the first of two images, and the same on its second view.
OBJECTS = make_labels(
    [[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 10], [20, 0, 30, 10]], images=[0, 0, 2, 2]
)


def after(*updates):
    """The statistics of both branches after iterations, of what is not named there is nothing."""
    statistics = MiningStatistics()
    for update in updates:
        names = ("confident", "others", "annotated", "mined", "withheld")
        given = {name: update.get(name, NOTHING) for name in names}
        judged = given["mined"] if "withheld" in update else NOTHING
        statistics.update(**given, judged=judged, num_images=2)
    return statistics.of_branch(0), statistics.of_branch(1)


def test_precision_and_recall_of_each_branch():
    # A hit (IoU 0.9), another class, another image; in the second view, a miss (IoU 0.5).
    mined = make_labels(
        [[0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 10], [20, 0, 30, 5]],
        classes=[0, 1, 0, 0],
        images=[0, 0, 1, 2],
    )
    original, view = after({"mined": mined, "withheld": OBJECTS})
    assert original["mined_precision"] == pytest.approx(1 / 3)
    assert original["mined_recall"] == pytest.approx(1 / 2)
    assert view["mined_precision"] == view["mined_recall"] == 0


def test_two_boxes_on_one_object_find_one():
    mined = make_labels([[0, 0, 10, 9], [0, 0, 10, 8]])
    original, _ = after({"mined": mined, "withheld": OBJECTS})
    assert (original["mined_precision"], original["mined_recall"]) == (1, 0.5)


def test_score_agreement_and_rediscovery():
    confident = make_labels([[0, 0, 10, 10], [50, 0, 60, 10], [0, 0, 10, 9]], images=[0, 0, 2])
    others = make_labels([[0, 0, 10, 9], [0, 0, 10, 10]], images=[0, 2])
    mined = make_labels([[50, 0, 60, 10], [0, 0, 5, 5]], scores=[0.5, 0.75])
    original, view = after(
        {"confident": confident, "others": others, "annotated": OBJECTS, "mined": mined}
    )
    assert original == {"mined_score": 0.625, "rediscovered": 0.5, "agreement": 0.5}
    assert view == {"rediscovered": 0.5, "agreement": 1}


def test_earlier_iterations_fade():
    hit, miss = make_labels([[0, 0, 10, 10]]), make_labels([[40, 0, 50, 10]])
    original, _ = after({"mined": hit, "withheld": OBJECTS}, {"mined": miss, "withheld": OBJECTS})
    assert original["mined_precision"] == pytest.approx(DECAY / (DECAY + 1))
    assert original["mined_recall"] == pytest.approx(DECAY / (2 * DECAY + 2))


def test_what_has_faded_is_told_no_more():
    one, many = make_labels([[0, 0, 10, 10]]), make_labels([[0, 0, 10, 10]] * 3)
    assert "mined_score" in after({"mined": one})[0]
    assert "mined_score" not in after({"mined": one}, {})[0]
    assert "mined_score" in after({"mined": many}, *[{}] * 20)[0]
    assert "mined_score" not in after({"mined": many}, *[{}] * 22)[0]  # 3 * 0.95 ** 22 < 1


def test_images_of_which_nothing_is_known_do_not_count():
    hit, miss = make_labels([[0, 0, 10, 10]] * 2), make_labels([[40, 0, 50, 10]])
    original, _ = after({"mined": hit, "withheld": OBJECTS}, {"mined": miss})
    assert original["mined_precision"] == 1


def test_no_share_of_nothing():
    assert after({}) == ({}, {})
    original, _ = after({"withheld": OBJECTS})
    assert original == {"mined_recall": 0}
