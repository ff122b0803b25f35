"""What docs/your_method.md says, done."""

import re
import sys
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from comining.engine import load_config
from comining.engine.lazy import load_lazy_config
from comining.errors import InputError
from comining.modeling import METHOD_REGISTRY, Level
from tests.modeling.helpers import each_detector, items, make_labels, tiny_config, tiny_model

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your_method.md").read_text()
FILES = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
OURS = ("MODEL.COMINING.METHOD", "SoftLabels")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The page's files beside the project's configs; the registry forgets the method afterwards."""
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.syspath_prepend(tmp_path)
    import soft_labels

    yield tmp_path
    METHOD_REGISTRY._obj_map.pop("SoftLabels")
    sys.modules.pop(soft_labels.__name__)


def test_the_page_names_every_method():
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "methods.md").read_text(), re.M)
    assert sorted(table) == sorted(name for name, _ in METHOD_REGISTRY)


@each_detector
def test_trains(folder, detector):
    settings = "SOLVER.MAX_ITER", 1000, "MODEL.COMINING.SOFTLABELS.LEARN_ABOVE", 0.4
    model = tiny_model(*OURS, *settings, detector=detector)
    batch = items(((64, 96), [[8, 10, 40, 44], [50, 20, 90, 60]], [0, 2]), ((96, 64), [], []))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for iteration in range(500, 503):
        with EventStorage(iteration) as storage:
            losses = model(batch)
        total = sum(losses.values())
        assert total.isfinite()
        assert storage.latest()["comining/mined_per_image"][0] > 0
        assert 0 < storage.latest()["comining/learnt_share"][0] <= 1
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert model.state_dict().keys() == tiny_model(detector=detector).state_dict().keys()


@pytest.mark.parametrize(("iteration", "learnt"), [(99, False), (100, True)])
def test_what_it_teaches(folder, iteration, learnt):
    model = tiny_model(*OURS, "SOLVER.MAX_ITER", 1000)
    given = []
    # In the second view: elsewhere, surely and less so, and on the annotated box.
    found = make_labels(
        [[50, 0, 90, 20], [50, 40, 90, 60], [8, 10, 40, 44]],
        classes=[1, 2, 0], images=[1] * 3, scores=[0.8, 0.5, 0.9],
    )  # fmt: skip
    model.mine = lambda _, score_thresh, *__: given.append(score_thresh) or found
    model.branch_losses = lambda _, *rest: given.append(rest) or {"loss": torch.zeros(2)}
    with EventStorage(iteration):
        model(items(((64, 96), [[8, 10, 40, 44]], [0])))
    floor, ((original, view), background) = given
    assert floor == 0.3
    assert original.boxes.tolist() == [[8, 10, 40, 44], [50, 0, 90, 20], [50, 40, 90, 60]]
    assert original.ignored.tolist() == [False, not learnt, True]
    if learnt:
        assert original.class_weights[:2].tolist() == pytest.approx([1, 0.8])
        assert original.box_weights[:2].tolist() == [1, 0]
    assert view.boxes.tolist() == [[8, 10, 40, 44]]
    logits = torch.tensor([0.29, 0.31]).logit()
    assert background(Level(logits, None, None, 0)).weights.tolist() == [1.0, 0.5]


def test_config_of_the_page(folder):
    cfg = load_config(str(folder / "my_soft.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg)
    assert type(model.method).__name__ == "SoftLabels"
    assert (model.method.learn_above, model.method.floor, model.method.begin) == (0.7, 0.3, 0.1)
    assert model.max_iter == cfg.SOLVER.MAX_ITER
    assert model.score_thresholds() == [0.3] * model.num_classes


def test_lazy_config_of_the_page(folder, monkeypatch):
    monkeypatch.chdir(folder)
    config = load_lazy_config(str(folder / "soft.py"), ["model.num_classes=2"])
    model = instantiate(config.model)
    assert (type(model.method).__name__, model.method.learn_above) == ("SoftLabels", 0.7)
    assert model.max_iter == config.train.max_iter


def test_without_the_import_nobody_knows_it():
    with pytest.raises(InputError, match=r"METHOD is 'SoftLabels'; .* Published.* imported"):
        build_model(tiny_config(*OURS))
    assert "SOFTLABELS" not in tiny_config().MODEL.COMINING
