"""What a model's classes are called, by the data sets that its config names."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from comining.annotations.coco_file import read_categories
from comining.counted import counted
from comining.errors import InputError


def find_categories(cfg: CfgNode, num_classes: int | None = None) -> list[dict[str, Any]]:
    """Id and name of the model's classes, in its order, from the first data set that tells them.

    Args:
        cfg: its data sets are registered.
        num_classes: of the model, if it is known.

    Returns:
        With ``id`` and ``name`` each; an empty list if no annotation file is there.

    Raises:
        InputError: the model has another number of classes.
    """
    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        categories = _categories_of(name) if name in DatasetCatalog.list() else None
        if categories is None:
            continue
        if categories and num_classes is not None and len(categories) != num_classes:
            found, wanted = counted(len(categories), "categories"), counted(num_classes, "classes")
            raise InputError(
                f"the data sets of the config have {found}, but its model has {wanted}: name the "
                "config that the model was trained with"
            )
        return categories
    return []


def _categories_of(name: str) -> list[dict[str, Any]] | None:
    metadata = MetadataCatalog.get(name)
    ids = metadata.get("thing_dataset_id_to_contiguous_id")
    if ids is not None:
        names = metadata.thing_classes
        return [{"id": x, "name": names[k]} for x, k in sorted(ids.items(), key=itemgetter(1))]
    json_file = metadata.get("json_file")
    if json_file is not None and Path(json_file).is_file():
        return [{"id": x["id"], "name": x["name"]} for x in read_categories(json_file)]
    return None
