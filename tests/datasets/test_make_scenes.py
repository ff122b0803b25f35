"""The command that makes the scenes."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from comining.data.scenes import write_scenes

SCRIPT = Path(__file__).parents[2] / "datasets" / "make_scenes.py"


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command; returns what it printed."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_options_are_those_of_the_scenes(command, tmp_path):
    output = tmp_path / "made"
    words = ("--output", output, "--train", 2, "--val", 1, "--size", 96, "--seed", 3)
    assert command(*words) == f"{output}: wrote 2 training and 1 validation images\n"
    write_scenes(tmp_path / "expected", train=2, val=1, size=96, seed=3)
    recipes = [(tmp_path / x / "recipe.json").read_text() for x in ("made", "expected")]
    assert recipes[0] == recipes[1]
    assert len(json.loads((output / "train_full.json").read_text())["images"]) == 2
    assert command(*words) == f"{output} is complete already: nothing to do\n"


def test_error_ends_the_command(command, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: size 95: must be at least 96$"):
        command("--output", tmp_path / "made", "--size", 95)
