"""Mining the data set of a completion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.utils import comm

from comining.engine.miner import Mined, build_miner
from comining.engine.mining_run import PartialResults, mine_dataset
from comining.modeling.adaptive import FLOOR
from comining.output_file import write_atomically

from .resemblance import rescored

#: How long seeing what boxes look like takes, against finding them.
LOOKING = 0.3
#: The share of the time that finding takes.
FINDING = 1 / (1 + LOOKING)


def mine(
    cfg: CfgNode,
    name: str,
    weights: Path,
    folder: Path,
    images: Mapping[int, Any],
    tell: Callable[[float], None],
) -> tuple[dict[int, Mined], dict[int, str]]:
    """Detections of all scores of interest on every image of a data set, in all processes.

    Their scores are lower where what looks like them is hardly ever annotated: `rescored`.

    Args:
        cfg: of the training.
        name: the registered data set.
        weights: what to mine with.
        folder: keeps what is found, so that the same call finds it at once.
        images: by the ids of tiles, the images that they are from; empty if these are no tiles.
        tell: is told the share that is done, as soon as there is something to do.

    Returns:
        By image id, what was found (in the first process; nothing in others), and why images could
        not be read.
    """
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = ""  # wherever they lie
    settings = {"config": str(cfg.MODEL) + str(cfg.INPUT), "weights": _sha256(weights)}
    cfg.MODEL.WEIGHTS = str(weights)
    model = build_miner(cfg)
    # Nobody can give the settings of another version again.
    mapper, records = DatasetMapper(cfg, is_train=False), DatasetCatalog.get(name)
    with PartialResults(folder, settings, forget=True) as results:
        unreadable = mine_dataset(
            model,
            mapper,
            records,
            results,
            "images",
            score_thresh=FLOOR,
            batch_size=4,
            num_workers=cfg.DATALOADER.NUM_WORKERS,
            tell=lambda share: tell(share * FINDING),
        )
        found, scored = results.read("images"), results.read("rescored")
        if found.keys() != scored.keys():
            scored = rescored(
                model,
                mapper,
                records,
                found,
                images,
                cfg.DATALOADER.NUM_WORKERS,
                lambda share: tell(FINDING + share * (1 - FINDING)),
            )
            if comm.is_main_process():
                text = json.dumps([[i, *of_image] for i, of_image in scored.items()]) + "\n"
                path = folder / "rescored-1-0.jsonl"
                write_atomically(path, lambda file: file.write(text.encode()))
        return scored if comm.is_main_process() else {}, unreadable


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
