"""Training for a completion: timed, watched by withheld boxes, quiet."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.engine import HookBase
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
from comining.output_file import write_atomically

from .evidence import ANNOTATED, IGNORED, WITHHELD
from .folder import Folder
from .gathering import gather_evidence

#: Iterations that are timed, after so many that are not, and images.
TIMED, WARM_UP, TIMED_IMAGES = 9, 3, 24
#: Images in which objects are looked for at a time.
BATCH = 4
#: How often a training is measured by the withheld boxes, in its second half and more.
MEASURED = 8
#: Images with withheld boxes that it is measured on, at most.
MEASURED_IMAGES = 64


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


def train_detector(
    cfg: CfgNode, watched: Sequence[dict[str, Any]], tell: Callable[[float], None]
) -> None:
    """Train, or go on with a training, in ``cfg.OUTPUT_DIR``.

    The weights that find withheld boxes best are kept as ``best.pth``, the last ones as
    ``model_final.pth``.

    Args:
        cfg: of the training.
        watched: images with ``withheld_annotations``.
        tell: is told the share that is done, before a training that there is need of, too.
    """
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    if comm.is_main_process():
        trainer.register_hooks([_Watch(watched), Tell(tell)])
    if trainer.start_iter < trainer.max_iter:
        tell(trainer.start_iter / trainer.max_iter)
        trainer.train()


class _Watch(HookBase):
    """Measures now and then how well withheld boxes are found, and keeps the best weights."""

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        with_some = [x for x in records if x.get("withheld_annotations")]
        order = np.random.default_rng(0).permutation(len(with_some))[:MEASURED_IMAGES]
        self.records = [with_some[i] for i in sorted(order)]

    def before_train(self) -> None:
        self.path = Path(self.trainer.cfg.OUTPUT_DIR) / "withheld.json"
        history = json.loads(self.path.read_text()) if self.path.exists() else []
        self.history = [x for x in history if x["iteration"] < self.trainer.start_iter]

    def after_step(self) -> None:
        done, last = self.trainer.iter + 1, self.trainer.max_iter
        period = max(1, last // (MEASURED + 2))
        if not self.records or (done != last and (done % period or done < 2 * period)):
            return
        model = _unwrapped(self.trainer.model)
        quality = measure(model, self.trainer.cfg, self.records)
        best = max((x["quality"] for x in self.history), default=-1.0)
        self.history.append({"iteration": self.trainer.iter, "quality": quality})
        if quality >= best:
            path = Path(self.trainer.cfg.OUTPUT_DIR) / "best.pth"
            state = {"model": model.state_dict(), "iteration": self.trainer.iter}
            write_atomically(path, lambda file: torch.save(state, file))
        text = json.dumps(self.history)
        write_atomically(self.path, lambda file: file.write(text.encode()))
        self.trainer.storage.put_scalar("comining/withheld_found", quality, smoothing_hint=False)


def measure(model: TwoViewDetector, cfg: CfgNode, records: Sequence[dict[str, Any]]) -> float:
    """How well a model finds withheld boxes: their average precision at IoU 0.5.

    Detections of annotated objects, or in regions to ignore, are left out. Those that are on
    nothing known count as wrong, which some are not: the number tells trainings apart, no more.

    Returns:
        In 0..1.
    """
    evidence = gather_evidence(_find(model, cfg, records), records)
    counts = ~np.isin(evidence.near, (ANNOTATED, IGNORED))
    order = np.argsort(-evidence.scores[counts], kind="stable")
    hits = ((evidence.near == WITHHELD) & evidence.right)[counts][order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].sum() / max(1, len(evidence.found_at)))


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
    return text


def _unwrapped(model: nn.Module) -> Any:
    return model.module if isinstance(model, DistributedDataParallel) else model
