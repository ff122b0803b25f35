"""Small data sets that several tests share."""

import json
import logging
import os
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from hypothesis import HealthCheck, settings
from PIL import Image

from comining.annotations.sparse import make_sparse
from comining.cli import main
from comining.engine import load_config

CONFIGS = Path(__file__).parents[1] / "configs"

# Results are compared to the bit, which needs a CPU.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# No test downloads weights, or finds those that were downloaded: there is no room for them.
os.environ["TORCH_HOME"] = os.devnull

# No test is to fail because the machine is busy.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

#: By detector, its small config.
DEMOS = {"RetinaNet": "demo", "FCOS": "fcos_demo", "GeneralizedRCNN": "rcnn_demo"}


@contextmanager
def same_registry_and_loggers_afterwards():
    """What is registered within is unknown afterwards, and so is where it logs."""
    names = set(DatasetCatalog.list())
    loggers = [logging.getLogger(name) for name in ("comining", "detectron2", "fvcore")]
    states = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    yield
    for name in set(DatasetCatalog.list()) - names:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)
    for logger, (handlers, propagate, level) in zip(loggers, states, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def _same_registry_and_loggers_afterwards():
    with same_registry_and_loggers_afterwards():
        yield


@pytest.fixture
def command_line():
    """Runs ``comining WORDS`` in this process."""

    def run(*words) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    return run


def call_command(name: str, *words: object) -> None:
    """Run ``comining NAME WORDS`` in this process; what it raises is raised."""
    group = click.Context(main, **main.context_settings)
    command = main.get_command(group, name)
    command.main([str(word) for word in words], standalone_mode=False, parent=group)


def write_images(folder: Path, number: int, size: int) -> list[dict]:
    """Write square images of noise and return their COCO records, with ids from 1."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    records = []
    for image_id in range(1, number + 1):
        name = f"{image_id:012}.jpg"
        pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
        records.append({"id": image_id, "file_name": name, "height": size, "width": size})
    return records


def coco_dataset(images: list[dict], categories: list[dict], per_image: int) -> dict:
    """A COCO data set whose boxes fill a diagonal and go through the categories in turn."""
    annotations = []
    for image in images:
        for place in range(per_image):
            number = len(annotations)
            start, extent = place * image["width"] / (per_image + 1), image["width"] / 2
            annotations.append(
                {
                    "id": number + 1,
                    "image_id": image["id"],
                    "category_id": categories[number % len(categories)]["id"],
                    "bbox": [start, start, extent, extent],
                    "area": extent**2,
                    "iscrowd": 0,
                }
            )
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


@pytest.fixture(scope="session")
def coco_root(tmp_path_factory):
    """A folder for ``$DETECTRON2_DATASETS``: COCO in small, official names and categories."""
    root = tmp_path_factory.mktemp("datasets")
    coco = root / "coco"
    categories = [{"id": c["id"], "name": c["name"]} for c in COCO_CATEGORIES if c["isthing"]]
    train = coco_dataset(write_images(coco / "train2017", 4, 96), categories, per_image=4)
    val = coco_dataset(write_images(coco / "val2017", 1, 96), categories, per_image=4)
    files = {"instances_train2017": train, "instances_val2017": val}
    for protocol in ("easy", "hard", "extreme"):
        files[f"instances_train2017_{protocol}"] = make_sparse(
            train, protocol, seed=0, file_name="instances_train2017.json"
        )
    files["coco_missing_50p"] = make_sparse(
        train, "miss", percent=50, seed=0, file_name="instances_train2017.json"
    )
    (coco / "annotations").mkdir()
    for name, dataset in files.items():
        (coco / "annotations" / f"{name}.json").write_text(json.dumps(dataset))
    return root


@pytest.fixture(scope="session")
def own_data(tmp_path_factory):
    """A user's own data: ``annotations.json`` with 2 categories, 4 images in ``images``."""
    folder = tmp_path_factory.mktemp("own")
    images = write_images(folder / "images", 4, 64)
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]
    dataset = coco_dataset(images, categories, per_image=2)
    (folder / "annotations.json").write_text(json.dumps(dataset))
    return folder


def tiny_training(own_data: Path, output: Path) -> list[str]:
    """``KEY VALUE`` pairs that train a tiny model on the user's own data for two iterations."""
    entry = ["own", str(own_data / "annotations.json"), str(own_data / "images")]
    settings = {
        "MODEL.DEVICE": "cpu",
        "MODEL.RETINANET.NUM_CLASSES": 2,
        "MODEL.FPN.OUT_CHANNELS": 16,
        "MODEL.RETINANET.NUM_CONVS": 1,
        "MODEL.FCOS.NUM_CLASSES": 2,
        "MODEL.FCOS.NUM_CONVS": 1,
        "MODEL.ROI_HEADS.NUM_CLASSES": 2,
        "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
        "DATASETS.REGISTER": [entry],
        "DATASETS.TRAIN": ["own"],
        "DATASETS.TEST": ["own"],
        "DATALOADER.NUM_WORKERS": 0,
        "INPUT.MIN_SIZE_TRAIN": [64],
        "INPUT.MIN_SIZE_TEST": 64,
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.MAX_ITER": 2,
        "OUTPUT_DIR": str(output),
    }
    return [str(word) for pair in settings.items() for word in pair]


@pytest.fixture
def own_overrides(own_data, tmp_path):
    """The pairs of `tiny_training`."""
    return tiny_training(own_data, tmp_path / "output")


@pytest.fixture
def detector():
    """The detector of `own_config`; `each_detector` puts both in its place."""
    return "RetinaNet"


@pytest.fixture
def own_config(own_overrides, detector):
    """The config that `own_overrides` make of the demo's."""
    return load_config(str(CONFIGS / f"{DEMOS[detector]}.yaml"), own_overrides)
