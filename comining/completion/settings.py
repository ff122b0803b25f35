"""The config of a completion: how it is trained, and where its files lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

from comining.annotations.coco_file import read_json
from comining.config_files import config_folder
from comining.output_file import write_atomically

from .config_text import Choice, config_text, replaced
from .folder import Folder, write_json
from .machine import Machine
from .plan import make_plan
from .tile_plan import Tiling, choose_tiling
from .tiling import read_tiling, tiles_of


def write_plan(
    folder: Folder, images: Path, dataset: dict[str, Any], machine: Machine, minutes: float
) -> None:
    """Choose the settings of a completion, and write them with the reason for each.

    Args:
        folder: of the completion.
        images: their folder.
        dataset: what is completed, in COCO format.
        machine: what it is trained on, with what it begins with.
        minutes: how long it may take.
    """
    tiling = choose_tiling(dataset, machine, minutes)
    write_json(folder.tiling, tiling and tiling._asdict())
    tiles = tiles_of(dataset, tiling) if tiling else None
    base = config_folder() / f"{machine.base}.yaml"
    text = config_text(
        CfgNode.load_yaml_with_base(str(base)),
        [*make_plan(dataset, machine, tiles, minutes), *_own_choices(folder, images, tiling)],
        "The settings of this completion. Change any and give the same command again: the "
        "training begins anew.",
    )
    _write(folder, text)


def _own_choices(folder: Folder, images: Path, tiling: Tiling | None) -> list[Choice]:
    why = "less the boxes that are withheld to measure by"
    if tiling:
        why += f"; {tiling.why}"
    unknown = "images without a box are mined, not trained on, unless they are finished"
    return [
        Choice("DATASETS.REGISTER", _registered(folder, images, tiling), why),
        Choice("DATASETS.TRAIN", ["training"]),
        Choice("DATASETS.TEST", []),
        Choice("DATALOADER.FILTER_EMPTY_ANNOTATIONS", True, unknown),
        Choice("DATALOADER.MAX_UNREADABLE", 10**6, "they are named at the end"),
        Choice("SOLVER.CHECKPOINT_PERIOD", 50, "iterations from one checkpoint to the next"),
        Choice("SOLVER.CHECKPOINTS_TO_KEEP", 2),
        Choice("SOLVER.MAX_ITER", 1000, "to be timed"),
        Choice("OUTPUT_DIR", str(folder.training.resolve())),
    ]


def _registered(folder: Folder, images: Path, tiling: Tiling | None) -> list[list[str]]:
    whole = [str(folder.training_annotations.resolve()), str(images.resolve())]
    if tiling is None:
        return [["training", *whole]]
    tiles = [str(folder.training_tiles.resolve()), str(folder.tile_images.resolve())]
    return [["whole", *whole], ["training", *tiles]]


def put_in_place(folder: Folder, images: Path) -> None:
    """Let the config name its files where they lie now, if they were moved."""
    settings = _read(folder)
    registered = _registered(folder, images, read_tiling(folder))
    training = str(folder.training.resolve())
    before = text = folder.config.read_text(encoding="utf-8")
    entries = settings.get("DATASETS", {}).get("REGISTER") or []
    own = {name for name, *_ in registered}
    wanted = [*registered, *_others(entries, own)]
    if entries != wanted:
        text = replaced(text, "REGISTER", wanted)
    if settings.get("OUTPUT_DIR") != training:
        text = replaced(text, "OUTPUT_DIR", training)
    if text != before:
        _write(folder, text)


def set_length(folder: Folder, iterations: int, period: int, why: str) -> None:
    """Let the training take so many iterations, and save itself each ``period`` of them."""
    text = folder.config.read_text(encoding="utf-8")
    text = replaced(text, "MAX_ITER", iterations, why)
    text = replaced(text, "CHECKPOINT_PERIOD", period, "iterations between checkpoints")
    _write(folder, text)


def note_settings(folder: Folder) -> None:
    """Keep, beside the training, by which settings it is done."""
    write_json(folder.training_settings, _read(folder))


def has_other_settings(folder: Folder) -> bool:
    """Whether the settings differ from those of the training that is there."""
    used = folder.training_settings
    return used.exists() and _how(read_json(used)) != _how(_read(folder))


def _how(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without what says where things lie."""
    datasets = dict(settings.get("DATASETS", {}))
    datasets["REGISTER"] = _others(datasets.get("REGISTER") or [], {"whole", "training"})
    rest = {k: v for k, v in settings.items() if k != "OUTPUT_DIR"}
    return {**rest, "DATASETS": datasets}


def _others(entries: Sequence[Any], names: Collection[str]) -> list[Any]:
    """The data sets that a user has added."""
    return [x for x in entries if not (isinstance(x, list) and x and x[0] in names)]


def _read(folder: Folder) -> Any:
    return yaml.safe_load(folder.config.read_text(encoding="utf-8"))


def _write(folder: Folder, text: str) -> None:
    write_atomically(folder.config, lambda file: file.write(text.encode()))
