"""How an item's image lies in its file's."""

import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, HFlipTransform, TransformList
from PIL import Image

from comining.data import FrameMapper, KnownMapper, TrainLoader


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


@pytest.mark.parametrize(("left", "is_object"), [(14.0, True), (15.0, False)])
def test_what_little_a_crop_leaves_of_an_object_is_ignored(record, left, is_object):
    """Of its five columns, three or two: 60 or 40 %."""
    item = mapper(CropTransform(int(left), 0, 6, 10))(record)
    box = [0, 1, 17 - left, 5]
    assert item["instances"].gt_boxes.tensor.tolist() == [box] * is_object
    assert ("ignored" in item) != is_object
    if not is_object:
        assert item["ignored"].gt_boxes.tensor.tolist() == [box]
        assert item["ignored"].gt_classes.tolist() == [1]


def test_what_a_crop_cuts_off_stands_beside_what_is_known(record):
    record["withheld_annotations"] = [
        {"bbox": [13.0, 6.0, 3.0, 3.0], "bbox_mode": 1, "category_id": 2, "iscrowd": 0},
        {"bbox": [14.0, 6.0, 3.0, 3.0], "bbox_mode": 1, "category_id": 2, "iscrowd": 0},
    ]
    record["ignored_regions"] = [{"bbox": [10.0, 0.0, 6.0, 9.0], "category_id": None}]
    item = KnownMapper(mapper(CropTransform(15, 0, 5, 10)))(record)
    assert len(item["instances"]) == 0
    # Of the first one a third is left: as an annotated one it would be no object any more.
    assert item["withheld"].gt_boxes.tensor.tolist() == [[0, 6, 2, 9]]
    assert item["ignored"].gt_classes.tolist() == [-1, 1]
    assert item["ignored"].gt_boxes.tensor.tolist() == [[0, 0, 1, 9], [0, 1, 2, 5]]


def test_an_object_that_a_crop_leaves_out_is_nowhere(record):
    item = mapper(CropTransform(0, 0, 10, 10))(record)
    assert len(item["instances"]) == len(item["ignored"]) == 0


def test_from_a_config(record):
    cfg = get_cfg()
    cfg.INPUT.CROP.ENABLED = True
    item = FrameMapper(cfg, is_train=True)(record)
    assert item["frame"].shape == (2, 3)
