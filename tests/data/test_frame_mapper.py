"""How an item's image lies in its file's."""

import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, HFlipTransform, TransformList
from PIL import Image

from comining.data import FrameMapper, TrainLoader


@pytest.fixture
def record(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "1.png")
    return {
        "file_name": str(tmp_path / "1.png"),
        "image_id": 1,
        "width": 20,
        "height": 10,
        "annotations": [
            {"bbox": [12.0, 1.0, 5.0, 4.0], "bbox_mode": 1, "category_id": 1, "iscrowd": 0}
        ],
    }


def mapper(*augmentations, kind=FrameMapper):
    return kind(is_train=True, augmentations=augmentations, image_format="BGR")


def test_by_hand(record):
    """Twice as large, mirrored, and cut at 4 from the left and 6 from the top."""
    steps = [T.ResizeTransform(10, 20, 20, 40), HFlipTransform(40), CropTransform(4, 6, 30, 10)]
    item = mapper(TransformList(steps))(record)
    # x: 40 - 2 x - 4; y: 2 y - 6.
    assert item["frame"].tolist() == [[-2, 0, 36], [0, 2, -6]]
    assert item["image"].shape == (3, 10, 30)
    assert mapper()(record)["frame"].tolist() == [[1, 0, 0], [0, 1, 0]]


def test_every_item_has_its_own(record):
    """Of each, the annotated box is where the frame says."""
    random = [
        T.RandomFlip(),
        T.RandomFlip(horizontal=False, vertical=True),
        T.ResizeShortestEdge([8, 16, 24], sample_style="choice"),
    ]
    (batch,), (stock,) = (
        TrainLoader([record], mapper(*random, kind=kind), [0] * 8, batch_size=8, seed=3)
        for kind in (FrameMapper, DatasetMapper)
    )
    for item in batch:
        (a, _, c), (_, e, f) = item["frame"].tolist()
        x, y = sorted((12 * a + c, 17 * a + c)), sorted((1 * e + f, 5 * e + f))
        (box,) = item["instances"].gt_boxes.tensor.tolist()
        assert box == pytest.approx([x[0], y[0], x[1], y[1]], abs=1e-4)
    assert len({tuple(item["frame"].flatten().tolist()) for item in batch}) > 3
    assert all((x["image"] == y["image"]).all() for x, y in zip(batch, stock, strict=True))


def test_from_a_config(record):
    cfg = get_cfg()
    cfg.INPUT.CROP.ENABLED = True
    item = FrameMapper(cfg, is_train=True)(record)
    assert item["frame"].shape == (2, 3)
