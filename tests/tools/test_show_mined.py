import pytest
import show_mined
from PIL import Image

from comining.data.scenes import write_scenes
from comining.engine import load_config
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
    return cfg


def test_picture_shows_annotated_and_withheld_boxes(cfg, tmp_path, monkeypatch):
    drawn = {"annotated": 0, "withheld": 0, "mined": 0}
    draw = show_mined.draw_boxes

    def count(axis, kind, boxes):
        drawn[kind] += len(boxes)
        draw(axis, kind, boxes)

    monkeypatch.setattr(show_mined, "draw_boxes", count)
    show_mined.show_mined(cfg, tmp_path / "mined.png", num_images=3)
    records = show_mined.DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    kept = sum(len(record["annotations"]) for record in records)
    assert drawn["annotated"] == kept
    # Of n annotations hard drops n / 2, rounded down.
    assert kept - len(records) <= drawn["withheld"] <= kept
    with Image.open(tmp_path / "mined.png") as picture:
        assert picture.width > picture.height > 100


def test_plain_detector_is_refused(cfg, tmp_path):
    plain = cfg.clone()
    plain.MODEL.META_ARCHITECTURE = cfg.MODEL.META_ARCHITECTURE.removeprefix("CoMining")
    with pytest.raises(InputError, match=r"^(RetinaNet|FCOS) does not mine"):
        show_mined.show_mined(plain, tmp_path / "mined.png", num_images=1)
