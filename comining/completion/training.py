"""Training for a completion: timed, quiet."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from comining.data.tolerant import TolerantMapper
from comining.engine.miner import Mined
from comining.engine.mining_run import mine_readable, same_size_batches
from comining.engine.progress import Tell
from comining.engine.trainer import Trainer
from comining.modeling import TwoViewDetector
from comining.modeling.adaptive import FLOOR

from .folder import Folder

#: Iterations that are timed, after so many that are not, and images.
TIMED, WARM_UP, TIMED_IMAGES = 9, 3, 24
#: Images in which objects are looked for at a time.
BATCH = 4


class Timing(NamedTuple):
    """How long things take on this machine, in seconds.

    Attributes:
        iteration: of a training.
        image: to find objects on an image, in one process.
    """

    iteration: float
    image: float


def measure_time(cfg: CfgNode, records: Sequence[dict[str, Any]]) -> Timing:
    """Time some iterations of a training, and finding objects on some of the images.

    All processes of a run ask together and get the same answer. Iterations that something else held
    up don't count.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.MAX_ITER = 1000
    with tempfile.TemporaryDirectory(dir=cfg.OUTPUT_DIR) as folder:
        cfg.OUTPUT_DIR = folder
        trainer = Trainer(cfg)
        seconds = []
        with EventStorage(0) as storage:
            for iteration in range(WARM_UP + TIMED):
                start = time.perf_counter()
                trainer.iter = storage.iter = iteration
                trainer.run_step()
                seconds.append(time.perf_counter() - start)
    order = np.random.default_rng(0).permutation(len(records))[:TIMED_IMAGES]
    start = time.perf_counter()
    found = _find(_unwrapped(trainer.model), cfg, [records[i] for i in order])
    image = (time.perf_counter() - start) / max(1, len(found))
    timings = comm.all_gather((float(np.median(seconds[WARM_UP:])), image))
    return Timing(*map(max, zip(*timings, strict=True)))


def train_detector(cfg: CfgNode, tell: Callable[[float], None]) -> None:
    """Train, or go on with a training, in ``cfg.OUTPUT_DIR``.

    The last weights are kept, as ``model_final.pth``. Withheld boxes can't tell whether earlier
    ones are better: what a detector finds beside them, which are missing objects for the most part,
    would count as wrong.

    Args:
        cfg: of the training.
        tell: is told the share that is done, before a training that there is need of, too.
    """
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    if comm.is_main_process():
        trainer.register_hooks([Tell(tell)])
    if trainer.start_iter < trainer.max_iter:
        tell(trainer.start_iter / trainer.max_iter)
        trainer.train()


def _find(
    model: TwoViewDetector, cfg: CfgNode, records: Sequence[dict[str, Any]]
) -> dict[int, Mined]:
    """By image id, what a model in training finds; without images that can't be read."""
    was_training = model.training
    model.eval()
    mapper = TolerantMapper(DatasetMapper(cfg, is_train=False))
    mined: dict[int, Mined] = {}
    for batch in same_size_batches(records, BATCH):
        found, _ = mine_readable(model, [mapper(x) for x in batch], batch, FLOOR)
        mined |= found
    model.train(was_training)
    return mined


def begin_anew(folder: Folder) -> str:
    """Put a training aside, or forget it if it wasn't finished, and forget what was mined by it.

    Returns:
        What its user must know.
    """
    text = "the settings have changed: the training begins anew"
    if folder.final_weights.exists():
        shutil.rmtree(folder.former_training, ignore_errors=True)
        folder.training.rename(folder.former_training)
        text += f" (the former detector: {folder.former_training})"
    else:
        shutil.rmtree(folder.training)
    shutil.rmtree(folder.mined, ignore_errors=True)
    folder.sample.unlink(missing_ok=True)
    return text


def _unwrapped(model: nn.Module) -> Any:
    return model.module if isinstance(model, DistributedDataParallel) else model
