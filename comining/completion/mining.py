"""Mining the data set of a completion."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper

from comining.engine.miner import Mined, build_miner
from comining.engine.mining_run import PartialResults, mine_dataset
from comining.modeling.adaptive import FLOOR


def mine(
    cfg: CfgNode, name: str, weights: Path, folder: Path, tell: Callable[[float], None]
) -> tuple[dict[int, Mined], dict[int, str]]:
    """Detections of all scores of interest on every image of a data set, in all processes.

    Args:
        cfg: of the training.
        name: the registered data set.
        weights: what to mine with.
        folder: keeps what is found, so that the same call finds it at once.
        tell: is told the share that is done.

    Returns:
        By image id, what was found, and why images could not be read.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = ""  # wherever they lie
    settings = {"config": str(cfg.MODEL) + str(cfg.INPUT), "weights": _sha256(weights)}
    cfg.MODEL.WEIGHTS = str(weights)
    model = build_miner(cfg)
    # Nobody can give the settings of another version again.
    with PartialResults(folder, settings, forget=True) as results:
        unreadable = mine_dataset(
            model,
            DatasetMapper(cfg, is_train=False),
            DatasetCatalog.get(name),
            results,
            "images",
            score_thresh=FLOOR,
            batch_size=4,
            num_workers=cfg.DATALOADER.NUM_WORKERS,
            tell=tell,
        )
        return results.read("images"), unreadable


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
