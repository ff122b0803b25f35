"""What docs/third_detector.md says, done to a toy detector."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone, build_model
from detectron2.modeling.box_regression import Box2BoxTransformLinear
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.utils.events import EventStorage
from torch import nn

from comining.modeling.targets import Targets
from tests.modeling.helpers import (
    NUM_CLASSES,
    annotations,
    items,
    make_labels,
    tiny_config,
    two_items,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "third_detector.md"
STRIDE = 16


class Head(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.logits = nn.Conv2d(channels, NUM_CLASSES, 1)
        self.deltas = nn.Conv2d(channels, 4, 1)
        nn.init.constant_(self.deltas.bias, 0.5)

    def forward(self, features):
        return [self.logits(x) for x in features], [self.deltas(x) for x in features]


class Grid(DenseDetector):
    """Plain; its own training and inference are of no interest here."""

    @configurable
    def __init__(self, *, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.max_detections_per_image = 100
        self.transform = Box2BoxTransformLinear()

    @classmethod
    def from_config(cls, cfg):
        backbone = build_backbone(cfg)
        ((level, shape),) = (
            (level, shape)
            for level, shape in backbone.output_shape().items()
            if shape.stride == STRIDE
        )
        return {
            "backbone": backbone,
            "head": Head(shape.channels),
            "head_in_features": [level],
            "num_classes": NUM_CLASSES,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    def cells(self, feature):
        rows, columns = (torch.arange(size) * STRIDE for size in feature.shape[2:])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return torch.stack((x, y, x + STRIDE, y + STRIDE), dim=2).view(-1, 4).float()

    def forward_inference(self, images, features, predictions):
        raise NotImplementedError


def code_of_page():
    """The detector and the script that trains it."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def grid(monkeypatch):
    """The page's detector, built from a config; the registry forgets it afterwards."""
    module = ModuleType("my_project")
    module.Grid = Grid
    monkeypatch.setitem(sys.modules, "my_project", module)
    exec(compile(code_of_page()[0], str(PAGE), "exec"), {"__name__": "page"})
    torch.manual_seed(0)
    yield build_model(tiny_config("MODEL.META_ARCHITECTURE", "CoMiningGrid"))
    META_ARCH_REGISTRY._obj_map.pop("CoMiningGrid")


def test_trains(grid):
    batch = items(
        ((64, 96), [[8, 10, 40, 44], [50, 20, 90, 60]], [0, 2]),
        ((96, 64), [[20, 30, 44, 58]], [1]),
        ((64, 64), [], []),
    )
    optimizer = torch.optim.Adam(grid.parameters(), lr=1e-3)
    totals = []
    for iteration in range(15):
        with EventStorage(iteration) as storage:
            losses = grid(batch)
        assert losses.keys() == {"loss_cls", "loss_box", "loss_cls_aug", "loss_box_aug"}
        assert "comining/mined_per_image" in storage.latest()
        totals.append(sum(losses.values()))
        optimizer.zero_grad()
        totals[-1].backward()
        assert all(p.grad is not None for p in grid.head.parameters())
        optimizer.step()
    assert totals[-1] < 0.7 * totals[0]


def test_each_branch_gets_what_the_other_found(grid):
    """By the losses' foreground: cells with an annotation, and one more where the other mined."""
    batch = two_items()
    seen = []
    label_cells = grid.label_cells

    def watch(cells, gt):
        seen.append(label_cells(cells, gt))
        return seen[-1]

    grid.label_cells = watch
    grid.mine = lambda *_: make_labels([[0, 0, 8, 8]], [1], images=[2])
    with EventStorage():
        grid(batch)
    foreground = [(classes < NUM_CLASSES).sum().item() for classes, *_ in seen]
    assert foreground == [3, 1, 2, 1]
    classes, boxes, *_ = seen[0]
    assert classes[0] == 1
    assert boxes[0].tolist() == [0, 0, 8, 8]


def test_what_is_known_of_images(grid):
    """In a region to ignore of all classes nothing is learnt, and nothing of a complete class is
    mined."""
    (item,) = items(((64, 96), [], []))
    everywhere = annotations((64, 96), [[-99, -99, 199, 199]], [-1])
    grid.mine = lambda *_: make_labels([[0, 0, 8, 8], [20, 20, 28, 28]], [1, 2], images=[0, 1])
    with EventStorage() as storage:
        assert not any(grid([{**item, "ignored": everywhere}]).values())
        assert any(grid([{**item, "exhaustive": [1]}]).values())
    # What one view shows the other one learns.
    mined = [storage.latest()[f"comining/mined_per_image{x}"][0] for x in ("", "_aug")]
    assert mined == [1, 0]


def test_ignored_targets_and_weights(grid):
    """Four cells in a row: an object beside something ignored, that alone, an object, nothing."""
    cells = torch.tensor([[x, 0, x + 16, 16] for x in (0, 16, 32, 48)])
    targets = Targets.cat(
        [
            Targets.ignoring(make_labels([[0, 0, 16, 16], [16, 0, 32, 16]], classes=[2, 2])),
            Targets.learnt(make_labels([[2, 2, 14, 14]], classes=[1])),
            Targets.learnt(make_labels([[34, 2, 46, 14]]), class_weight=0.5, box_weight=0.0),
        ]
    )
    classes, boxes, class_weights, box_weights = grid.label_cells(cells, targets)
    assert classes.tolist() == [1, -1, 0, NUM_CLASSES]
    assert boxes[[0, 2]].tolist() == [[2, 2, 14, 14], [34, 2, 46, 14]]
    assert class_weights[[0, 2]].tolist() == [1, 0.5]
    assert box_weights[[0, 2]].tolist() == [1, 0]


def test_mines_what_it_is_confident_of(grid):
    nn.init.constant_(grid.head.logits.weight, 0)
    nn.init.constant_(grid.head.deltas.weight, 0)
    grid.head.logits.bias.data = torch.tensor([-5.0, 5.0, -5.0])
    (labels,) = grid.eval().mine_images(items(((32, 32), [], [])))
    assert labels.classes.tolist() == [1] * 4
    assert sorted(labels.boxes.tolist()) == [
        [0, 0, 16, 16], [0, 16, 16, 32], [16, 0, 32, 16], [16, 16, 32, 32]
    ]  # fmt: skip


def test_script_trains_it_in_several_processes(own_overrides, tmp_path):
    detector, script = code_of_page()
    package = tmp_path / "my_project"
    package.mkdir()
    (package / "__init__.py").write_text(f"from {__name__} import Grid\n")
    (package / "comining_grid.py").write_text(detector)
    (tmp_path / "train_grid.py").write_text(script)
    result = subprocess.run(
        [sys.executable, tmp_path / "train_grid.py", "--config-file", "configs/demo.yaml",
         "--num-gpus", "2", *own_overrides,
         "MODEL.META_ARCHITECTURE", "CoMiningGrid", "DATASETS.TEST", "()",
         # The one level that it looks at, as no parameter may go unused.
         "MODEL.BACKBONE.NAME", "build_resnet_backbone",
         "MODEL.RESNETS.OUT_FEATURES", "['res4']"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    weights = torch.load(tmp_path / "output" / "model_final.pth")["model"]
    assert weights["head.logits.bias"].shape == (NUM_CLASSES,)
