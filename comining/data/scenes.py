"""Generated scenes, as `comining.data.scene_drawing` draws them: to train without any download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from comining.annotations.sparse import make_sparse
from comining.data.prepared_folder import is_prepared, preparing, write_json
from comining.errors import InputError

from .scene_drawing import CLASSES, MIN_SCENE_SIZE, Rng, render_scene

SPARSE_FILES = {
    "train_easy.json": "easy",
    "train_hard.json": "hard",
    "train_extreme.json": "extreme",
    "train_keep1.json": "keep1",
    "train_miss50.json": "miss",
}


def scene_rng(seed: int, split: str, index: int) -> Rng:
    """The randomness of one image of a data set, which depends on no other image.

    Args:
        seed: of the data set, not negative.
        split: "train" or "val".
        index: of the image in its split, from 0.
    """
    return np.random.default_rng([seed, ("train", "val").index(split), index])


def write_scenes(
    root: Path, train: int = 1000, val: int = 200, size: int = 128, seed: int = 0
) -> bool:
    """Write a data set of scenes, unless it is there already with the same parameters.

    Makes `root/{train,val}/000000.png`, ..., the COCO files `root/train_full.json` and
    `root/val.json`, and `root/train_{easy,hard,extreme,keep1,miss50}.json`, sparse by the protocols
    of `comining.annotations.sparse`.

    Args:
        root: the folder to make.
        train: number of training images, at least 1.
        val: number of validation images, at least 1.
        size: edge of the images in pixels, at least 96.
        seed: of the scenes and of the sparse protocols, not negative.

    Returns:
        Whether anything was written.

    Raises:
        InputError: for a parameter out of range, or if `root` holds anything else, scenes of other
            parameters included, or can't be made.
    """
    limits = {
        "train": (train, 1),
        "val": (val, 1),
        "size": (size, MIN_SCENE_SIZE),
        "seed": (seed, 0),
    }
    for name, (value, least) in limits.items():
        if value < least:
            raise InputError(f"{name} {value}: must be at least {least}")
    parameters = {"train": train, "val": val, "size": size, "seed": seed}
    recipe = {"made_by": "make_scenes", "version": 1, **parameters}
    if is_prepared(root, recipe):
        return False
    with preparing(root, recipe) as folder:
        full = _write_split(folder, "train", train, size, seed)
        write_json(folder / "train_full.json", full)
        write_json(folder / "val.json", _write_split(folder, "val", val, size, seed))
        for file_name, protocol in SPARSE_FILES.items():
            sparse = make_sparse(
                full, protocol, seed=seed, file_name="train_full.json", record_name=True
            )
            write_json(folder / file_name, sparse)
    return True


def _write_split(folder: Path, split: str, number: int, size: int, seed: int) -> dict[str, Any]:
    """Write the images of a split and return their COCO data set."""
    (folder / split).mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(number):
        pixels, boxes, classes = render_scene(scene_rng(seed, split, index), size)
        file_name = f"{index:06d}.png"
        Image.fromarray(pixels).save(folder / split / file_name)
        images.append({"id": index + 1, "file_name": file_name, "width": size, "height": size})
        for record in _records(boxes, classes):
            annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **record})
    return {
        "info": {"description": "Generated scenes", "split": split, "seed": seed},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": kind.name} for i, kind in enumerate(CLASSES, start=1)],
    }


def _records(boxes: np.ndarray, classes: np.ndarray) -> Iterator[dict[str, Any]]:
    for (x0, y0, x1, y1), class_index in zip(boxes.tolist(), classes.tolist(), strict=True):
        width, height = x1 - x0, y1 - y0
        yield {
            "category_id": class_index + 1,
            "bbox": [x0, y0, width, height],
            "area": width * height,
            "iscrowd": 0,
        }
