"""Which weights of a training are kept."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from comining.completion import training

RECORD = {"withheld_annotations": [{}]}


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Runs iterations with a weight of 1, 2, 3, ... and says what was measured of which weight."""
    qualities, measured = [], []

    def measure(model, *_):
        measured.append(model.weight.item())
        return qualities[len(measured) - 1]

    def run(iterations, *values, start=0, state=None):
        qualities[:] = values
        measured.clear()
        watch = training._Watch([RECORD])
        watch.trainer = SimpleNamespace(
            model=nn.Linear(1, 1, bias=False), iter=0, start_iter=start, max_iter=10,
            cfg=SimpleNamespace(OUTPUT_DIR=str(tmp_path)),
            storage=SimpleNamespace(put_scalar=lambda *_, **__: None),
        )  # fmt: skip
        if state:
            watch.load_state_dict(state)
        watch.before_train()
        for iteration in range(start, iterations):
            watch.trainer.iter = iteration
            with torch.no_grad():
                watch.trainer.model.weight.fill_(iteration + 1)
            watch.after_step()
            assert watch.trainer.model.weight.item() == iteration + 1
        return watch.state_dict(), measured

    monkeypatch.setattr(training, "measure", measure)
    return run


def test_best_average_of_weights_is_kept(watched, tmp_path):
    values = [0.1, 0.2, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1]
    _, measured = watched(10, *values)
    assert measured == pytest.approx([1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5])  # means so far
    best = torch.load(tmp_path / "best.pth", weights_only=True)
    assert best["iteration"] == 3
    assert best["model"]["weight"].item() == pytest.approx(2.5)
    history = json.loads((tmp_path / "withheld.json").read_text())
    assert [x["quality"] for x in history] == values


def test_average_forgets(watched, monkeypatch):
    monkeypatch.setattr(training, "AVERAGED", 2)
    _, measured = watched(4, 0, 0, 0)
    assert measured == pytest.approx([1.5, 2.25, 3.125])


def test_training_that_goes_on_has_the_same_averages(watched):
    state, _ = watched(5, 0, 0, 0, 0)
    _, measured = watched(10, 0, 0, 0, 0, 0, start=5, state=state)
    assert measured == pytest.approx([3.5, 4, 4.5, 5, 5.5])
