"""A small training of train_net.py in processes of its own."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import CONFIGS, DEMOS, coco_dataset
from tests.processes import run_script

ROOT = Path(__file__).parents[2]
TORCHRUN = ("-m", "torch.distributed.run")


class Training:
    """Eight iterations of a tiny detector on wide and tall images, a checkpoint after every two."""

    def __init__(self, data, output, detector="RetinaNet"):
        self.data = data
        self.output = output
        self.config = CONFIGS / f"{DEMOS[detector]}.yaml"
        entry = ["mixed", str(data / "annotations.json"), str(data)]
        self.settings = {
            "MODEL.RETINANET.NUM_CLASSES": 2,
            "MODEL.FPN.OUT_CHANNELS": 16,
            "MODEL.RETINANET.NUM_CONVS": 1,
            # Random weights are confident enough for something to be mined.
            "MODEL.COMINING.THRESHOLD": "fixed",
            "MODEL.COMINING.SCORE_THRESH": 0.012,
            "MODEL.COMINING.VIEW.FLIP_PROB": 0.5,
            "MODEL.RETINANET.SCORE_THRESH_TEST": 0.0,
            "MODEL.FCOS.NUM_CLASSES": 2,
            "MODEL.FCOS.NUM_CONVS": 1,
            "MODEL.FCOS.SCORE_THRESH_TEST": 0.0,
            "MODEL.ROI_HEADS.NUM_CLASSES": 2,
            "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
            "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
            "DATASETS.REGISTER": [entry],
            "DATASETS.TRAIN": ["mixed"],
            "DATASETS.TEST": ["mixed"],
            "INPUT.MIN_SIZE_TRAIN": [48, 64],
            "INPUT.MIN_SIZE_TEST": 64,
            "SOLVER.IMS_PER_BATCH": 2,
            "SOLVER.MAX_ITER": 8,
            "SOLVER.CHECKPOINT_PERIOD": 2,
            "SOLVER.CHECKPOINTS_TO_KEEP": 0,
            "MODEL.DEVICE": "cpu",
            "OUTPUT_DIR": str(output),
            "SEED": 5,
        }

    def dataset_of(self, image_id):
        """The data set with one of its images alone."""
        dataset = json.loads((self.data / "annotations.json").read_text())
        images = [image for image in dataset["images"] if image["id"] == image_id]
        annotations = [x for x in dataset["annotations"] if x["image_id"] == image_id]
        return {**dataset, "images": images, "annotations": annotations}

    def lazy_overrides(self):
        """What the settings say, to a Lazy config of FCOS."""
        augmentation = "dataloader.train.mapper.mapper.augmentations.0"
        settings = {
            "model.num_classes": 2,
            "model.backbone.out_channels": 16,
            "model.head.conv_dims": [16],
            "model.view.flip_prob": 0.5,
            "model.test_score_thresh": 0.0,
            "dataloader.register": f"[[mixed,{self.data / 'annotations.json'},{self.data}]]",
            "dataloader.train.dataset.names": "mixed",
            "dataloader.test.dataset.names": "mixed",
            f"{augmentation}.short_edge_length": [48, 64],
            "dataloader.test.mapper.augmentations.0.short_edge_length": 64,
            "dataloader.train.total_batch_size": 2,
            "train.max_iter": 8,
            "lr_multiplier.warmup_length": 1.0,  # longer than these eight
            "train.checkpointer.period": 2,
            "train.checkpointer.max_to_keep": 0,
            "train.device": "cpu",
            "train.output_dir": self.output,
            "train.seed": 5,
        }
        # Without the first, it would keep the other one's arguments.
        method = "{_target_: comining.modeling.Published, score_thresh: 0.012}"
        return [
            "model.method=null",
            f"model.method={method}",
            *(f"{key}={value}" for key, value in settings.items()),
        ]

    def words(self, *options, script=(ROOT / "train_net.py",), lazy=False, **settings):
        """The script and its arguments; settings with __ for the dots, not for a Lazy config."""
        overrides = {key.replace("__", "."): value for key, value in settings.items()}
        config = self.config
        words = [x for pair in {**self.settings, **overrides}.items() for x in pair]
        if lazy:
            config = config.parent / "lazy" / f"{config.stem}.py"
            words = self.lazy_overrides()
        return [str(x) for x in (*script, "--config-file", config, *options, *words)]

    def start(self, *options, launcher, **settings):
        """Start a launcher, which starts the processes, with `words`."""
        return subprocess.Popen(
            [sys.executable, *launcher, *self.words(*options, **settings)],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *options, launcher=(), **settings):
        """Run `words` to the end or to the kill."""
        if not launcher:
            words = self.words(*options, **settings)
            return run_script(words, cwd=ROOT, environment=environment())
        process = self.start(*options, launcher=launcher, **settings)
        stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def environment():
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}


def assert_same_trainer(ours, theirs, **tolerances):
    """Of two checkpoints, what the trainer needs to go on."""
    # torch compares no text.
    texts = [
        (
            x["trainer"].pop("model_description"),
            x["trainer"]["_trainer"].pop("optimizer_description"),
        )
        for x in (ours, theirs)
    ]
    assert texts[0] == texts[1]
    torch.testing.assert_close(ours["trainer"], theirs["trainer"], **tolerances)


def assert_same_end(output, other, atol=0):
    ours, theirs = (torch.load(folder / "model_final.pth") for folder in (output, other))
    assert ours["iteration"] == theirs["iteration"] == 7
    # Weights, optimizer, schedule: unless told, to the bit.
    torch.testing.assert_close(ours["model"], theirs["model"], rtol=0, atol=atol)
    assert_same_trainer(ours, theirs, rtol=0, atol=atol)
    results = [json.loads((folder / "results.json").read_text()) for folder in (output, other)]
    assert results[0]["bbox"] == pytest.approx(results[1]["bbox"], abs=atol, nan_ok=True)


@pytest.fixture(scope="session")
def mixed_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(0)
    images = []
    for image_id in range(1, 9):
        width, height = (48, 64) if image_id % 3 == 0 else (64, 48)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{image_id}.jpg")
        images.append(
            {"id": image_id, "file_name": f"{image_id}.jpg", "width": width, "height": height}
        )
    dataset = coco_dataset(images, [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], per_image=2)
    for annotation in dataset["annotations"]:
        annotation["bbox"][2:] = 16, 16
        annotation["bbox"][:2] = np.minimum(annotation["bbox"][:2], 30).tolist()
    (folder / "annotations.json").write_text(json.dumps(dataset))
    return folder


@pytest.fixture
def training(detector, mixed_data, tmp_path):
    return Training(mixed_data, tmp_path / "run", detector)


@pytest.fixture(scope="session")
def undisturbed_by_detector(mixed_data, tmp_path_factory):
    """By detector, the output folder of a training that nothing interrupted."""

    @cache
    def train(detector):
        output = tmp_path_factory.mktemp("undisturbed")
        done = Training(mixed_data, output, detector).run(DATALOADER__NUM_WORKERS=2)
        assert done.returncode == 0, done.stderr
        return output

    return train


@pytest.fixture
def undisturbed(detector, undisturbed_by_detector):
    return undisturbed_by_detector(detector)
