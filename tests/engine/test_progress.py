"""What a command tells of how far it is, where there is no terminal."""

import pytest

from comining.engine import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds, to be set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_a_minute_tells_how_much_longer_it_takes(clock, capsys):
    shown = progress.Progress({"measuring": 5, "training": 300, "mining": 60})
    shown.at("measuring", 0)
    shown.expect("training", 1000)
    clock[0] = 5
    shown.at("training", 0)
    for second in range(6, 126):
        clock[0] = second
        shown.at("training", (second - 5) / 500)  # twice as fast as expected
    assert capsys.readouterr().err.splitlines() == [
        "measuring ...",
        "training 0%, about 17:40 left",
        "training 12%, about 8:20 left",  # 440 seconds, and 60 for mining
        "training 24%, about 7:20 left",
    ]


def test_what_an_earlier_run_has_done_took_this_one_no_time(clock, capsys):
    shown = progress.Progress({"training": 300, "mining": 60})
    shown.expect("training", 1000)
    shown.at("training", 0.5)
    clock[0] = 60
    shown.at("training", 0.56)  # 1000 seconds for all
    assert capsys.readouterr().err.splitlines() == [
        "training 50%, about 9:20 left",
        "training 56%, about 8:20 left",
    ]
