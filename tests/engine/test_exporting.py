"""From a config and weights to a file for other programs."""

import json
import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data.transforms import ResizeShortestEdge
from PIL import Image

from comining.data import register_from_config
from comining.engine import export
from comining.engine.export_formats import FORMATS
from comining.engine.exporting import count_different, describe
from comining.errors import InputError, ResultError
from tests.modeling.helpers import tiny_config, tiny_model
from tests.test_docs_commands import script

PAGE = Path(__file__).parents[2] / "docs" / "exporting.md"


@pytest.fixture
def trained(own_data, tmp_path):
    """The config and the file of the weights of a detector of the user's own data, and itself."""
    entry = ["own", str(own_data / "annotations.json"), str(own_data / "images")]
    overrides = (
        "MODEL.RETINANET.NUM_CLASSES", 2,
        "MODEL.RETINANET.SCORE_THRESH_TEST", 0.2,
        "DATASETS.REGISTER", [entry],
        "DATASETS.TEST", ["own"],
        "INPUT.MIN_SIZE_TEST", 60,
        "INPUT.MAX_SIZE_TEST", 100,
    )  # fmt: skip
    cfg = tiny_config(*overrides)
    register_from_config(cfg)
    detector = tiny_model(*overrides).eval()
    torch.save({"model": detector.state_dict()}, tmp_path / "model.pth")
    return cfg, str(tmp_path / "model.pth"), detector


def test_script_of_the_documentation(trained, tmp_path, monkeypatch, capsys):
    cfg, weights, detector = trained
    path = export(cfg, weights, tmp_path / "detector.onnx")
    assert path == tmp_path / "detector.onnx"
    size = (230, 107)  # of which the longer edge sets the scale
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned upside down
    Image.fromarray(noise).save(tmp_path / "photo.jpg", exif=exif)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(script(PAGE.read_text(), "detect.py"), {})

    turned = np.asarray(Image.open("photo.jpg"))[::-1, ::-1, ::-1]  # BGR
    resized = ResizeShortestEdge(60, 100).get_transform(turned).apply_image(turned)
    assert resized.shape == (47, 100, 3)
    tensor = torch.as_tensor(np.ascontiguousarray(resized.transpose(2, 0, 1)))
    with torch.no_grad():
        (answer,) = detector([{"image": tensor, "width": size[0], "height": size[1]}])
    found = answer["instances"]
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(found) > 5
    assert [x[0] for x in lines] == [("cat", "dog")[k] for k in found.pred_classes]
    numbers = torch.tensor([[float(x) for x in line[1:]] for line in lines])
    torch.testing.assert_close(numbers[:, 0], found.scores, atol=0.001, rtol=0)
    torch.testing.assert_close(numbers[:, 1:], found.pred_boxes.tensor, atol=0.01, rtol=0)


def test_torchscript_file_tells_the_same(trained, tmp_path, caplog):
    cfg, weights, _ = trained
    with caplog.at_level(logging.INFO, "comining"):
        path = export(cfg, weights, tmp_path / "detector.ts", "torchscript")
    assert re.match(r"The exported detector finds the same [1-9]\d* objects", caplog.messages[-1])
    extra = {"metadata.json": ""}
    torch.jit.load(path, _extra_files=extra)
    assert json.loads(extra["metadata.json"]) == {
        "detector": "CoMiningRetinaNet",
        "class_names": ["cat", "dog"],
        "category_ids": [3, 7],
        "shortest_edge": 60,
        "longest_edge": 100,
        "score_threshold": 0.2,
        "nms_threshold": 0.5,
        "max_detections": 100,
        "channel_order": "BGR",
        "pixel_mean": [103.53, 116.28, 123.675],
        "pixel_std": [57.375, 57.12, 58.395],
    }


def test_classes_are_numbered_where_no_file_tells_their_names(trained):
    cfg, _, detector = trained
    cfg.DATASETS.TEST = ["unheard_of"]
    assert describe(cfg, detector)["class_names"] == ["0", "1"]


def test_sample_in_which_nothing_is_found_is_told(trained, tmp_path, caplog):
    cfg, weights, _ = trained
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = 0.9999
    export(cfg, weights, tmp_path / "detector.ts", "torchscript")
    assert caplog.messages[-1].startswith("No object was found in the sample")


def test_file_that_finds_something_else_is_not_written(trained, tmp_path, monkeypatch):
    cfg, weights, _ = trained
    right = FORMATS["torchscript"]

    def run(content):
        exported = right.run(content)
        return lambda image: (exported(image)[0] + 1, *exported(image)[1:])

    monkeypatch.setitem(FORMATS, "torchscript", right._replace(run=run))
    with pytest.raises(ResultError, match="does not find what the CoMiningRetinaNet finds"):
        export(cfg, weights, tmp_path / "detector.ts", "torchscript")
    assert not (tmp_path / "detector.ts").exists()


def test_bad_input_is_named(trained, tmp_path, monkeypatch):
    cfg, weights, _ = trained
    path = tmp_path / "detector.onnx"
    with pytest.raises(InputError, match="'tflite' is no format: choose one of onnx, torchscript"):
        export(cfg, weights, path, "tflite")
    with pytest.raises(InputError, match="is a folder"):
        export(cfg, weights, tmp_path)
    with pytest.raises(InputError, match=r"gone\.pth does not exist"):
        export(cfg, "gone.pth", path)
    (tmp_path / "text.jpg").write_text("no picture")
    Image.new("I;16", (40, 40)).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"sample .*deep\.png can't be read .*more than 8 bits"):
        export(cfg, weights, path, sample=tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"sample .*text\.jpg can't be read"):
        export(cfg, weights, path, sample=tmp_path / "text.jpg")
    cfg.MODEL.RETINANET.NUM_CLASSES = 3
    with pytest.raises(InputError, match="have 2 categories, but its model has 3 classes"):
        export(cfg, weights, path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime can't be imported.*pip install onnxruntime"):
        export(cfg, weights, path)
    assert not path.exists()


def test_count_different():
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 20, 20], [30, 30, 40, 50]])
    one = (boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 1, 1]))
    order = [1, 0, 2]  # of no meaning
    assert count_different(one, (boxes[order] + 0.05, one[1][order], one[2][order])) == 0
    assert count_different(one, (boxes + torch.tensor([0, 0, 0, 0.2]), *one[1:])) == 6
    assert count_different(one, (boxes, one[1], torch.tensor([0, 0, 1]))) == 2
    assert count_different(one, (boxes, one[1] + torch.tensor([0, 0, 0.01]), one[2])) == 2
    assert count_different(one, tuple(x[:2] for x in one)) == 1
    assert count_different(tuple(x[:0] for x in one), tuple(x[:0] for x in one)) == 0
