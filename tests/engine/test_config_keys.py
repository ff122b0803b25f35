"""Mistyped keys, in config files and on the command line."""

import pytest

from comining.engine import load_config
from comining.engine.config_keys import nearest_key
from comining.errors import InputError


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("SOLVER.MAX_ITR", "SOLVER.MAX_ITER"),
        ("solver.max_iter", "SOLVER.MAX_ITER"),
        ("MODEL.COMINNG.THRESHOLD", "MODEL.COMINING.THRESHOLD"),
        ("DATSETS", "DATASETS"),
    ],
)
def test_nearest_key_on_the_command_line(wrong, right):
    message = rf"^command line: there is no key {wrong}; did you mean {right}\?$"
    with pytest.raises(InputError, match=message):
        load_config("", [wrong, "1"])


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("SOLVER: {MAX_ITR: 1}", "SOLVER.MAX_ITR", "SOLVER.MAX_ITER"),
        ("MODEL: {COMINNG: {THRESHOLD: fixed}}", "MODEL.COMINNG", "MODEL.COMINING"),
        ("SOLVR: {MAX_ITER: 1}", "SOLVR", "SOLVER"),
    ],
)
def test_nearest_key_in_a_file(tmp_path, text, wrong, right):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"my\.yaml: there is no key {wrong}; .* {right}\?$"):
        load_config(str(tmp_path / "my.yaml"))


def test_unlike_any_key():
    with pytest.raises(InputError, match=r"^command line: there is no key XYZZY$"):
        load_config("", ["XYZZY", "1"])
    assert nearest_key("XYZZY", load_config("")) is None


def test_other_mistakes_are_told_as_they_are():
    with pytest.raises(InputError, match="odd length"):
        load_config("", ["SOLVER.MAX_ITER"])
