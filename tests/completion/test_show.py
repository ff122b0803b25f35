from pathlib import Path

import pytest
import torch
from PIL import Image

from comining.completion import show as show_mined
from comining.data.scenes import write_scenes
from comining.engine import Trainer, load_config
from comining.engine.miner import Mined
from comining.errors import InputError


@pytest.fixture(scope="module", params=["demo", "fcos_demo"])
def cfg(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    write_scenes(folder, train=3, val=1)
    overrides = ["MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TEST", "256"]
    cfg = load_config(f"configs/{request.param}.yaml", overrides)
    name = f"shown by {request.param}"
    cfg.DATASETS.REGISTER = [[name, str(folder / "train_hard.json"), str(folder / "train")]]
    cfg.DATASETS.TRAIN = [name]
    show_mined.register_from_config(cfg)
    cfg.MODEL.WEIGHTS = str(folder / "untrained.pth")
    torch.save({"model": Trainer.build_model(cfg).state_dict()}, cfg.MODEL.WEIGHTS)
    return cfg


def test_picture_shows_annotated_and_withheld_boxes_and_new_ones(cfg, tmp_path, monkeypatch):
    drawn = {"annotated": 0, "withheld": 0, "mined": 0}
    draw = show_mined.draw_boxes

    def count(axis, kind, boxes):
        drawn[kind] += len(boxes)
        draw(axis, kind, boxes)

    mine, close, figures = show_mined.mine_batch, show_mined.plt.close, []

    def mine_one_new_box_per_image(*args):
        boxes = [[10.0, 10, 40, 40], [60.0, 60, 90, 90]]
        return [Mined(boxes, [0, 0], [0.9, 0.8], [True, False]) for _ in mine(*args)]

    def keep_and_close(figure):
        figures.append(figure)
        close(figure)

    records = show_mined.DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    crowd = {**records[0]["annotations"][0], "iscrowd": 1}
    with_crowd = [{**record, "annotations": [*record["annotations"], crowd]} for record in records]
    monkeypatch.setattr(show_mined.DatasetCatalog, "get", lambda _: with_crowd)
    monkeypatch.setattr(show_mined, "draw_boxes", count)
    monkeypatch.setattr(show_mined, "mine_batch", mine_one_new_box_per_image)
    monkeypatch.setattr(show_mined.plt, "close", keep_and_close)
    show_mined.show_mined(cfg, tmp_path / "mined.png", num_images=3)
    kept = sum(len(record["annotations"]) for record in records)
    assert drawn["annotated"] == kept
    # Of n annotations hard drops n / 2, rounded down.
    assert kept - len(records) <= drawn["withheld"] <= kept
    assert drawn["mined"] == 3
    (figure,) = figures
    assert [[text.get_text() for text in axis.texts] for axis in figure.axes] == [["0.90"]] * 3
    assert legend_of(figure) == ["withheld", "annotated", "mined"]
    with Image.open(tmp_path / "mined.png") as picture:
        assert picture.width > picture.height > 100


def legend_of(figure):
    return [x.get_text() for x in figure.legends[0].get_texts()]


def test_legend_has_what_is_drawn(cfg, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(show_mined.plt, "close", figures.append)
    records = show_mined.DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    without = [{k: v for k, v in x.items() if k != "withheld_annotations"} for x in records]
    monkeypatch.setattr(show_mined.DatasetCatalog, "get", lambda _: without)
    show_mined.show_mined(cfg, tmp_path / "mined.png", num_images=1)
    assert legend_of(figures[0]) == ["annotated"]


def test_an_image_with_nothing_to_draw_is_a_picture_all_the_same(cfg, tmp_path, monkeypatch):
    (record, *_) = show_mined.DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    empty = {**record, "annotations": [], "withheld_annotations": []}
    monkeypatch.setattr(show_mined.DatasetCatalog, "get", lambda _: [empty])
    show_mined.show_mined(cfg, tmp_path / "mined.png", num_images=1)
    with Image.open(tmp_path / "mined.png") as picture:
        assert min(picture.size) > 100


def test_thresholds_that_nothing_is_above_are_told(cfg, tmp_path, capsys):
    show_mined.show_mined(cfg, tmp_path / "mined.png", num_images=1)
    assert "no mined boxes: the weights hold no thresholds" in capsys.readouterr().out


def test_plain_detector_is_refused(cfg, tmp_path):
    plain = cfg.clone()
    plain.MODEL.META_ARCHITECTURE = cfg.MODEL.META_ARCHITECTURE.removeprefix("CoMining")
    with pytest.raises(InputError, match=r"^(RetinaNet|FCOS) does not mine"):
        show_mined.show_mined(plain, tmp_path / "mined.png", num_images=1)


def test_unreadable_image_is_named(cfg, tmp_path):
    records = show_mined.DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    path = Path(records[0]["file_name"])
    content = path.read_bytes()
    path.write_bytes(content[:100])
    try:
        with pytest.raises(InputError, match=str(path)):
            show_mined.show_mined(cfg, tmp_path / "mined.png", num_images=1)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"--output": "gone/mined.png"}, "the folder of --output gone/mined.png doesn't exist"),
        ({"--output": "mined"}, "--output mined: end it with .png"),
        ({"--weights": "gone.pth"}, "the weights file gone.pth does not exist"),
        ({"--weights": ""}, "which model? Name its weights"),
        ({"--weights": "detectron2://ImageNetPretrained/MSRA/R-50.pkl"}, "which model?"),
        ({"DATASETS.TRAIN": "[]"}, "DATASETS.TRAIN names no data set"),
        ({"DATASETS.TRAIN": "['absent']"}, "no data set is called 'absent'"),
        ({"--num-images": "0"}, "0 is not in the range"),
    ],
)
def test_mistakes_are_told(words, message, own_config, tmp_path, monkeypatch, command_line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(own_config.dump())
    (tmp_path / "model.pth").touch()
    given = {"--config": "my.yaml", "--output": "mined.png", "--weights": "model.pth", **words}
    done = command_line("show", *(word for pair in given.items() for word in pair))
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "mined.png").exists()
