"""``comining prepare``; the data sets themselves are tested in tests/data."""

import json

import pytest

from comining.cli.prepare import NAMES
from comining.data.prepare import PREPARERS
from comining.data.scenes import write_scenes


def test_every_data_set_has_its_name():
    assert list(PREPARERS) == list(NAMES)


def test_options_are_those_of_the_scenes(command_line, tmp_path):
    output = tmp_path / "made"
    words = ("--output", output, "--train", 2, "--val", 1, "--size", 96, "--seed", 3)
    done = command_line("prepare", "scenes", *words)
    assert done.stdout == f"{output}: wrote 2 training and 1 validation images\n"
    write_scenes(tmp_path / "expected", train=2, val=1, size=96, seed=3)
    recipes = [(tmp_path / x / "recipe.json").read_text() for x in ("made", "expected")]
    assert recipes[0] == recipes[1]
    assert len(json.loads((output / "train_full.json").read_text())["images"]) == 2
    again = command_line("prepare", "scenes", *words)
    assert again.stdout == f"{output} is complete already: nothing to do\n"
    assert command_line("prepare", "scenes", *words, "--quiet").output == ""


def test_options_reach_the_preparer(command_line, tmp_path, monkeypatch):
    def prepare(output, source=None, *, max_size=None):
        return [str((output, source, max_size))]

    monkeypatch.setitem(PREPARERS, "nuclei", prepare)
    words = ("--source", tmp_path, "--max-size", 256)
    done = command_line("prepare", "nuclei", "--output", tmp_path / "made", *words)
    assert done.stdout == f"{(tmp_path / 'made', tmp_path, 256)}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scenes", "--size", 95], "error: size 95: must be at least 96"),
        (["scenes", "--source", "wheel"], "--source has no meaning for scenes"),
        (["nuclei", "--category", "RBC"], "--category has no meaning for nuclei"),
        (["circuits", "--max-size", 256], "--max-size has no meaning for circuits"),
        (["blood-cells", "--category", "red"], "no category 'red': choose one of RBC, "),
        (["trees", "--source", "gone.whl"], "error: gone.whl: no such file; --source takes"),
        (["tree"], "'tree' is not one of 'scenes', 'trees', "),
    ],
)
def test_wrong_use(command_line, tmp_path, words, message):
    done = command_line("prepare", *words, "--output", tmp_path / "made")
    assert done.exit_code == 2
    assert message in done.stderr
    assert not any(tmp_path.iterdir())
