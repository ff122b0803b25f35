import pytest

from comining.errors import InputError
from comining.studies.choice import choose_cells


def names(cells):
    return [cell.name for cell in cells]


def test_all_unless_told(study):
    planned = study()
    assert choose_cells(planned) == list(planned.cells)


def test_a_part_in_the_order_of_the_study(study):
    planned = study()
    chosen = choose_cells(planned, ["comining"], ["hard", "full"], [1])
    assert names(chosen) == ["full/comining/seed1", "hard/comining/seed1"]
    assert names(choose_cells(planned, seeds=[0], protocols=["hard"])) == [
        "hard/plain/seed0",
        "hard/comining/seed0",
    ]


def test_unknown(study):
    with pytest.raises(InputError, match=r"--method gone: .* it has plain, comining"):
        choose_cells(study(), ["gone", "plain"])
    with pytest.raises(InputError, match=r"--seed 2: .* it has 0, 1"):
        choose_cells(study(), seeds=[2])


def test_skipped(study):
    planned = study(skip=[["comining", "full"]])
    with pytest.raises(InputError, match=r"skips all"):
        choose_cells(planned, ["comining"], ["full"])
