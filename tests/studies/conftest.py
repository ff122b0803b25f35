"""A study of tiny trainings."""

import signal
from pathlib import Path

import pytest
import yaml

from comining.studies.plan import read_study


@pytest.fixture
def study_file(tmp_path):
    """Writes a study file of two methods, two protocols and two seeds, with changes."""

    def write(**changes) -> Path:
        content = {
            "config": "configs/demo.yaml",
            "settings": {
                "DATASETS.REGISTER": [],  # no annotations are needed
                "DATASETS.TEST": ["val"],
                "SOLVER.MAX_ITER": 20,
            },
            "methods": {"plain": {"MODEL.META_ARCHITECTURE": "RetinaNet"}, "comining": {}},
            "protocols": {
                "full": {"DATASETS.TRAIN": ["everything"]},
                "hard": {"DATASETS.TRAIN": ["half"]},
            },
            "seeds": [0, 1],
            **changes,
        }
        path = tmp_path / "study.yaml"
        path.write_text(
            yaml.safe_dump(
                {key: value for key, value in content.items() if value is not None}, sort_keys=False
            )
        )
        return path

    return write


@pytest.fixture
def study(study_file):
    """Makes the study of `study_file`."""
    return lambda **changes: read_study(study_file(**changes))


@pytest.fixture
def _own_signals():
    """Handlers of signals that a test installs do not stay."""
    before = {x: signal.getsignal(x) for x in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
