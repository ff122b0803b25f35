"""What detections look like, by the feature pyramid of the detector."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.layers import ShapeSpec
from PIL import Image
from torch import distributed

from comining.completion.evidence import LOWEST
from comining.completion.looks import features_at, looks_of
from comining.completion.resemblance import rescored
from comining.engine import waiting
from comining.engine.miner import Mined
from tests.processes import in_two_processes

STRIDES = {"p5": 32, "p3": 8, "p4": 16}


class Places(torch.nn.Module):
    """A pyramid whose two channels say which place of the network's image each cell is at; its
    coarsest level is of no use."""

    def output_shape(self):
        return {name: ShapeSpec(2, stride=stride) for name, stride in STRIDES.items()}

    def forward(self, images):
        pyramid = {}
        for name, stride in STRIDES.items():
            height, width = images.shape[2] // stride, images.shape[3] // stride
            ys, xs = torch.meshgrid(
                (torch.arange(height) + 0.5) * stride,
                (torch.arange(width) + 0.5) * stride,
                indexing="ij",
            )
            pyramid[name] = torch.stack((xs, ys))[None] * (100 if name == "p5" else 1)
        return pyramid


class Colours(Places):
    """A pyramid of the image's own mean colours."""

    def output_shape(self):
        return {name: ShapeSpec(3, stride=stride) for name, stride in STRIDES.items()}

    def forward(self, images):
        return {
            name: torch.nn.functional.avg_pool2d(images, stride) for name, stride in STRIDES.items()
        }


def model_of(backbone):
    def preprocess_image(items):
        return SimpleNamespace(tensor=torch.stack([item["image"].float() for item in items]))

    return SimpleNamespace(backbone=backbone, preprocess_image=preprocess_image)


def test_features_are_of_the_box_and_its_surroundings_in_pixels_of_the_network():
    # The network sees the image twice as large. The box is 40 by 20 pixels around (60, 50).
    item = {"image": torch.zeros(3, 256, 256)}
    record = {"width": 128, "height": 128}
    features = features_at(
        model_of(Places()), item, record, np.array([[40, 40, 80, 60]], np.float32)
    )
    # Two levels, x and y of three by three cells of a region of 120 by 60 around (120, 100).
    xs, ys = features.reshape(2, 2, 3, 3).transpose(1, 0, 2, 3).astype(float)
    assert xs == pytest.approx(np.broadcast_to([80, 120, 160], (2, 3, 3)), abs=0.5)
    assert ys == pytest.approx(np.broadcast_to([[80], [100], [120]], (2, 3, 3)), abs=0.5)


@pytest.fixture
def images(tmp_path):
    """Three hundred images of four objects: of two colours, where red ones are never annotated."""
    rng = np.random.default_rng(0)
    records, mined = [], {}
    for id_ in range(300):
        pixels = rng.integers(100, 120, (64, 64, 3), dtype=np.uint8)
        boxes = [[x, y, x + 16.0, y + 16.0] for x in (8.0, 40.0) for y in (8.0, 40.0)]
        is_red = [False, False, id_ % 2 == 0, True]
        rng.shuffle(boxes)
        for (x, y, *_), red in zip(np.array(boxes, int), is_red, strict=True):
            pixels[y : y + 16, x : x + 16] = (250, 20, 20) if red else (20, 20, 250)
        path = tmp_path / f"{id_}.png"
        Image.fromarray(pixels).save(path)
        annotation = {"bbox": boxes[0], "bbox_mode": 0, "category_id": 0}
        records.append(
            {"image_id": id_, "file_name": str(path), "width": 64, "height": 64,
             "annotations": [annotation]}
        )  # fmt: skip
        scores = [0.9, 0.8, 0.7, 0.6]
        mined[id_] = Mined([*boxes, [0.0, 0.0, 9.0, 9.0]], [0] * 5, [*scores, 0.1], [True] * 5)
    return records, mined


def mapper(record):
    pixels = np.array(Image.open(record["file_name"]))
    return {**record, "image": torch.from_numpy(pixels).permute(2, 0, 1)}


def test_looks_are_uncorrelated_and_of_unit_variance_whatever_the_order_of_images(images):
    records, mined = images
    looks = looks_of(model_of(Colours()), mapper, records, mined, 0, lambda share: None)
    every = np.concatenate([looks[i][:4] for i in range(300)])
    covariance = np.cov(every.T, bias=True)
    assert covariance == pytest.approx(np.eye(len(covariance)), abs=0.02)
    assert all((looks[i][4] == 0).all() for i in range(300))  # scores below LOWEST
    assert mined[0].scores[4] < LOWEST
    assert looks_of(model_of(Colours()), mapper, [], {}, 0, lambda share: None) == {}


def look_in_a_process_of_its_own(rank, folder, records, mined):
    store = distributed.FileStore(f"{folder}/meeting", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    waiting.meet_at(store, 2)
    looks = looks_of(model_of(Colours()), mapper, records, mined, 0, lambda share: None)
    torch.save(looks, folder / f"{rank}.pth")


def test_two_processes_see_what_one_sees(images, tmp_path):
    records, mined = images
    (tmp_path / "7.png").write_bytes(b"no image")
    alone = looks_of(model_of(Colours()), mapper, records, mined, 0, lambda share: None)
    in_two_processes(look_in_a_process_of_its_own, tmp_path, records, mined)
    together, nothing = (torch.load(tmp_path / f"{x}.pth", weights_only=False) for x in range(2))
    assert nothing == {}
    assert together.keys() == alone.keys() == set(range(300)) - {7}
    assert all((together[i] == alone[i]).all() for i in alone)


def test_scores_fall_where_what_looks_alike_is_never_annotated(images):
    records, mined = images
    told = []
    lower = rescored(model_of(Colours()), mapper, records, mined, {}, 0, told.append)
    assert told[-1] == 1
    factors = {"red": [], "blue": [], "unlikely": []}
    for id_ in range(300):
        assert lower[id_].scores == sorted(lower[id_].scores, reverse=True)
        by_box = dict(zip(map(tuple, lower[id_].boxes), lower[id_].scores, strict=True))
        names = ["blue", "blue", "red" if id_ % 2 == 0 else "blue", "red", "unlikely"]
        for name, box, before in zip(names, mined[id_].boxes, mined[id_].scores, strict=True):
            factors[name].append(by_box[tuple(box)] / before)
    assert np.mean(factors["blue"]) > 0.95
    assert np.mean(factors["red"]) < 0.6
    assert set(factors["unlikely"]) == {1.0}


def test_an_image_that_can_no_longer_be_read_keeps_its_scores(images):
    records, mined = images
    with open(records[7]["file_name"], "w") as file:
        file.write("no image")
    lower = rescored(model_of(Colours()), mapper, records, mined, {}, 0, lambda share: None)
    assert lower[7] == mined[7]
    assert lower.keys() == mined.keys()
