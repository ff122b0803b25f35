"""What is mined on an image, in pixels of the original."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.structures import BoxMode
from PIL import Image

from comining.engine.miner import build_miner, mine_batch
from comining.engine.mining_run import same_size_batches
from comining.errors import InputError
from comining.modeling.labels import Labels
from tests.modeling.helpers import each_detector, tiny_config, tiny_model


def test_mined_boxes_are_in_pixels_of_the_original_and_compared_with_the_annotated(tmp_path):
    Image.fromarray(np.zeros((100, 120, 3), np.uint8)).save(tmp_path / "image.png")
    annotation = {"bbox": [10, 10, 20, 20], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1}
    crowd = {
        "bbox": [50, 60, 20, 30],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": 1,
        "iscrowd": 1,
    }
    record = {
        "file_name": str(tmp_path / "image.png"),
        "height": 100,
        "width": 120,
        "annotations": [annotation, crowd],
    }
    model = tiny_model().eval()
    # The shorter edge of 100 is resized to 256, and 120 * 2.56 is rounded to 307.
    boxes = [[10, 10, 30, 30], [50, 60, 70, 90], [-3, 60, 20, 101], [10, 10, 30, 30]]
    scaled = torch.tensor(boxes) * torch.tensor([307 / 120, 2.56, 307 / 120, 2.56])
    scores = torch.tensor([0.9, 0.75, 0.7, 0.65])
    model.mine = lambda outputs, score_thresh, max_per_image: Labels(
        scaled, torch.tensor([1, 1, 0, 2]), torch.tensor([0, 0, 0, 0]), scores
    )
    mapper = DatasetMapper(tiny_config("INPUT.MIN_SIZE_TEST", 256), is_train=False)
    (mined,) = mine_batch(model, [mapper(record)], [record])
    np.testing.assert_allclose(mined.boxes, boxes, rtol=1e-5)
    assert mined.classes == [1, 1, 0, 2]
    assert mined.scores == [0.9, 0.75, 0.7, 0.65]
    # The first is annotated; a crowd is no object, and the last one is of another class.
    assert mined.is_new == [False, True, True, True]
    record["absent"] = [0]
    record["ignored_regions"] = [{"bbox": [50, 60, 20, 30], "category_id": 1}]
    (mined,) = mine_batch(model, [mapper(record)], [record])
    assert mined.is_new == [False, False, False, True]


@each_detector
def test_image_without_annotations_or_mined_boxes(detector):
    model = tiny_model(detector=detector).eval()
    item = {"image": torch.zeros(3, 64, 64)}
    record = {"height": 64, "width": 64, "annotations": []}
    model.method.floor = 1.0
    assert mine_batch(model, [item], [record]) == [([], [], [], [])]
    model.method.floor = 0.05
    (mined,) = mine_batch(model, [item], [record])
    assert len(mined.boxes) > 0
    assert all(mined.is_new)


def test_plain_detector_is_refused():
    with pytest.raises(InputError, match="RetinaNet does not mine"):
        build_miner(tiny_config("MODEL.META_ARCHITECTURE", "RetinaNet"))


@pytest.mark.parametrize(
    ("weights", "message"), [("", "is empty"), ("gone.pth", r"gone\.pth does not exist")]
)
def test_weights_of_a_frozen_config_are_needed(weights, message):
    cfg = tiny_config("MODEL.WEIGHTS", weights)
    cfg.freeze()
    with pytest.raises(InputError, match=message):
        build_miner(cfg)


def test_without_a_gpu_the_model_is_on_the_cpu(tmp_path):
    torch.save({"model": tiny_model().state_dict()}, tmp_path / "model.pth")
    cfg = tiny_config("MODEL.DEVICE", "cuda", "MODEL.WEIGHTS", str(tmp_path / "model.pth"))
    assert build_miner(cfg).device.type == "cpu"
    assert cfg.MODEL.DEVICE == "cuda"


def test_batches_hold_images_of_one_size():
    sizes = [(1, 2), (2, 1), (1, 2), (1, 2), (2, 1), (3, 3)]
    records = [{"image_id": i, "height": h, "width": w} for i, (h, w) in enumerate(sizes)]
    batches = same_size_batches(records, 2)
    assert [[x["image_id"] for x in batch] for batch in batches] == [[0, 2], [1, 4], [3], [5]]
    assert same_size_batches([], 2) == []
