"""What processes of one run share, and how they end."""

import json
import os
import subprocess
import sys

import pytest
import torch
from detectron2.engine import default_argument_parser
from torch import multiprocessing

from comining.engine import launch
from comining.errors import InputError
from tests.engine.conftest import TORCHRUN

GRADIENTS = """
import torch
from comining.data import register_from_config
from comining.engine import Trainer, launch, load_config
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

def main(args):
    cfg = load_config(args.config_file, args.opts)
    register_from_config(cfg)
    gradients = {}
    for architecture in ("CoMiningRetinaNet", "CoMiningFCOS"):
        cfg.MODEL.META_ARCHITECTURE = architecture
        torch.manual_seed(0)
        trainer = Trainer(cfg)
        batch = next(iter(trainer.data_loader))
        with EventStorage():
            losses = trainer.model(batch)
        sum(losses.values()).backward()
        model = trainer.model.module if comm.get_world_size() > 1 else trainer.model
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                gradients[f"{architecture} {name}"] = parameter.grad
    content = {"images": [item["image_id"] for item in batch], "gradients": gradients}
    torch.save(content, f"{cfg.OUTPUT_DIR}/{comm.get_world_size()}_{comm.get_rank()}.pth")

if __name__ == "__main__":
    launch(main, default_argument_parser().parse_args())
"""


def test_gradients_are_the_average_of_those_of_single_processes(training, tmp_path):
    """Each of two processes has one image; a single process has either of them at a time."""
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    training.output.mkdir()
    settings = {
        "MODEL__COMINING__VIEW__JITTER_PROB": 0.0,  # which depends on the rank
        "MODEL__COMINING__VIEW__FLIP_PROB": 0.0,
        "INPUT__RANDOM_FLIP": "none",
        "INPUT__MIN_SIZE_TRAIN": [48],
        "MODEL__RESNETS__NORM": "GN",
        "MODEL__FPN__NORM": "GN",
        "MODEL__FPN__OUT_CHANNELS": 32,
        "MODEL__RETINANET__NORM": "",
        "MODEL__FCOS__NORM": "",
        "MODEL__FCOS__IN_FEATURES": ["p3", "p4", "p5"],
        "DATALOADER__ASPECT_RATIO_GROUPING": False,
        "SOLVER__AMP__ENABLED": False,
    }
    done = training.run("--num-gpus", "2", script=[script], **settings)
    assert done.returncode == 0, done.stderr
    both = [torch.load(training.output / f"2_{rank}.pth") for rank in range(2)]
    torch.testing.assert_close(both[0]["gradients"], both[1]["gradients"], rtol=0, atol=0)
    # The first batch of a single process holds the same two images, one per process.
    singles = []
    for rank in range(2):
        (image,) = both[rank]["images"]
        only = training.output / f"only_{image}.json"
        only.write_text(json.dumps(training.dataset_of(image)))
        entry = ["only", str(only), str(training.data)]
        done = training.run(script=[script], DATASETS__REGISTER=[entry],
                            DATASETS__TRAIN=["only"], DATASETS__TEST=["only"],
                            SOLVER__IMS_PER_BATCH=1, **settings)  # fmt: skip
        assert done.returncode == 0, done.stderr
        singles.append(torch.load(training.output / "1_0.pth"))
        assert singles[-1]["images"] == [image]
    assert singles[0]["images"] != singles[1]["images"]
    assert any("CoMiningFCOS head.ctrness" in name for name in both[0]["gradients"])
    for name, gradient in both[0]["gradients"].items():
        mean = sum(single["gradients"][name] for single in singles) / 2
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-6)


ORDER = """
import json
from itertools import islice
from comining.data import build_train_loader, register_from_config
from comining.engine import launch, load_config
from detectron2.engine import default_argument_parser
from detectron2.utils import comm

def main(args):
    cfg = load_config(args.config_file, args.opts)
    register_from_config(cfg)
    batches = islice(build_train_loader(cfg), 8)
    ids = [[item["image_id"] for item in batch] for batch in batches]
    with open(f"{cfg.OUTPUT_DIR}/{comm.get_rank()}.json", "w") as file:
        json.dump(ids, file)

if __name__ == "__main__":
    launch(main, default_argument_parser().parse_args())
"""


def test_processes_share_every_epoch(training, tmp_path):
    script = tmp_path / "order.py"
    script.write_text(ORDER)
    training.output.mkdir()
    done = training.run("--num-gpus", "2", script=[script], SOLVER__IMS_PER_BATCH=4,
                        DATALOADER__ASPECT_RATIO_GROUPING=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = (
        json.loads((training.output / f"{rank}.json").read_text()) for rank in range(2)
    )
    for epoch in range(4):
        seen = [
            image
            for batches in (first, second)
            for batch in batches[2 * epoch : 2 * epoch + 2]
            for image in batch
        ]
        assert sorted(seen) == list(range(1, 9))


@pytest.mark.parametrize(
    ("environment", "option"),
    [({}, "--num-gpus"), ({"LOCAL_RANK": "3", "LOCAL_WORLD_SIZE": "4"}, "--nproc-per-node")],
)
def test_more_gpus_than_present(environment, option, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    args = default_argument_parser().parse_args(["--num-gpus", "4"])
    with pytest.raises(InputError, match=f"{option} 4, but this machine has 2"):
        launch(print, args)


@pytest.mark.parametrize("more", [[], ["--dist-url=auto"]])
def test_several_machines_need_an_address(more):
    args = default_argument_parser().parse_args(["--num-machines=2", "--num-gpus=1", *more])
    with pytest.raises(InputError, match=r"on all of them, --dist-url tcp://HOST:PORT"):
        launch(print, args)


def test_processes_are_numbered_through_all_machines(monkeypatch):
    """Here the second of two with two processes each, which are called in turn instead."""
    seen = []
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "1"})
    monkeypatch.setattr(
        sys.modules[launch.__module__],
        "_run_worker",
        lambda main, args, address: seen.append((address, *(os.environ[x] for x in names))),
    )
    monkeypatch.setattr(
        multiprocessing,
        "start_processes",
        lambda call, args, nprocs: [call(number, *args) for number in range(nprocs)],
    )
    address = "tcp://10.0.0.1:29500"
    words = ["--num-machines=2", "--machine-rank=1", "--num-gpus=2", f"--dist-url={address}"]
    launch(print, default_argument_parser().parse_args(words))
    assert seen == [(address, "2", "4", "0", "2"), (address, "3", "4", "1", "2")]


ONE_FAILS = """
import time
import torch
from comining.engine import launch
from comining.errors import InputError
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from torch import distributed

def main(args):
    # NCCL waits for the other processes here.
    distributed.destroy_process_group = lambda: time.sleep(1000)
    if comm.get_rank() == 1:
        raise InputError("only here")
    distributed.all_reduce(torch.zeros(1))

if __name__ == "__main__":
    launch(main, default_argument_parser().parse_args())
"""


@pytest.mark.parametrize("launcher", [[], [*TORCHRUN, "--nproc-per-node=2"]])
def test_error_in_one_process_ends_all(launcher, tmp_path):
    script = tmp_path / "one_fails.py"
    script.write_text(ONE_FAILS)
    command = [sys.executable, *launcher, str(script), "--num-gpus", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    # The other one may be the first to end: by a lost connection, which is 1.
    assert done.returncode in (1, 2)
    assert "only here" in done.stderr


FOLDERS = """
from pathlib import Path
from comining.engine import launch, setup
from detectron2.engine import default_argument_parser
from detectron2.utils import comm

def main(args):
    folder = Path(__file__).with_name(f"seen_by_{comm.get_rank()}")
    args.opts = [*args.opts, "OUTPUT_DIR", str(folder)]
    setup(args)

if __name__ == "__main__":
    launch(main, default_argument_parser().parse_args())
"""


def test_processes_that_see_different_checkpoints_do_not_resume(training, tmp_path):
    script = tmp_path / "folders.py"
    script.write_text(FOLDERS)
    for rank, iteration in enumerate((3, 1)):
        folder = tmp_path / f"seen_by_{rank}"
        folder.mkdir()
        torch.save({"model": {}, "iteration": iteration}, folder / f"model_{iteration:07d}.pth")
    done = training.run("--num-gpus", "2", "--resume", script=[script])
    assert done.returncode == 2
    assert "different last checkpoints" in done.stderr
    assert "model_0000003.pth, model_0000001.pth" in done.stderr
