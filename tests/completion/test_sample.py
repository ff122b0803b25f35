import pytest

from comining.completion.sample import draw_sample, with_sample
from comining.errors import InputError


def data(scores):
    """One mined box for each score, with ids from 100, and an annotated one."""
    rows = [[1, 0, 0, 0, 9, 9, score, 0, 100 + i] for i, score in enumerate(scores)]
    return {"images": [{"boxes": [[0, 0, 0, 0, 9, 9, None, 0, 1], *rows]}, {"boxes": []}]}


def test_sample_takes_one_of_each_part_of_the_scores():
    scores = [i / 100 for i in range(100)]
    drawn = draw_sample(data(scores), 10, seed=0)
    assert sorted((id_ - 100) // 10 for id_ in drawn) == list(range(10))
    assert drawn != sorted(drawn)


def test_each_box_is_drawn_as_often():
    counts = dict.fromkeys(range(100, 110), 0)
    for seed in range(600):
        for id_ in draw_sample(data([0.5] * 10), 4, seed):
            counts[id_] += 1
    # Expected are 240 of each, with a standard deviation of 12.
    assert all(192 < number < 288 for number in counts.values())


def test_seed_fixes_the_sample():
    many = data([0.5] * 200)
    assert draw_sample(many, 20, seed=3) == draw_sample(many, 20, seed=3)
    assert draw_sample(many, 20, seed=3) != draw_sample(many, 20, seed=4)


def test_of_few_boxes_all_are_drawn():
    assert sorted(draw_sample(data([0.2, 0.9, 0.4]), 40, seed=0)) == [100, 101, 102]
    with pytest.raises(InputError, match="nothing was mined"):
        draw_sample(data([]), 40, seed=0)


def test_page_gets_an_interval_for_each_result():
    sample = with_sample(data([0.2, 0.9, 0.4]), 40, seed=0)["sample"]
    assert [low <= right / 3 <= high for right, (low, high) in enumerate(sample["intervals"])] == [
        True
    ] * 4
