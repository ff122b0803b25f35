"""Cutting images that are too large to be seen whole: the tiles and their files.

Tiles, which overlap, are trained on and mined in place of the images; `tile_plan` tells when and
how large, `tile_join` puts together what is found.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data.detection_utils import SizeMismatchError
from PIL import Image

from comining.annotations.coco_file import read_json
from comining.annotations.image_files import turned
from comining.annotations.known import ABSENT, EXHAUSTIVE, known_of
from comining.annotations.sparse import encode
from comining.annotations.tiles import boxes_in_tile, cover_evenly
from comining.data.samples import UNREADABLE_OR_ODD, failure_text
from comining.errors import InputError
from comining.output_file import write_atomically

from .folder import Folder
from .tile_plan import Tiling


def tiles_of(dataset: Mapping[str, Any], tiling: Tiling) -> dict[str, Any]:
    """The data set of the tiles, by the text alone.

    Boxes are clipped to their tile; those of which it shows less than half are crowds there, which
    training leaves out. An image no larger than a tile becomes one.

    Args:
        dataset: in COCO format and sound, with ids of annotations; it isn't changed.
        tiling: how to cut.

    Returns:
        In COCO format. Of images, beside the usual, ``source_image_id`` and ``x`` and ``y``, the
        place of the tile's first pixel; of annotations, ``source_annotation_id``. The ids depend
        on the images, their annotations and the tiling, and not on the order of the first.
    """
    of_image = defaultdict(list)
    for annotation in dataset["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    tiles: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in sorted(dataset["images"], key=lambda x: x["id"]):
        theirs = of_image[image["id"]]
        boxes = np.array([x["bbox"] for x in theirs], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        for tile in cover_evenly(image["width"], image["height"], tiling.edge, tiling.overlap):
            tiles.append(
                _tile_record(
                    len(tiles) + 1,
                    image,
                    (tile.x, tile.y),
                    min(tile.size, image["width"]),
                    min(tile.size, image["height"]),
                )
            )
            for index, box, mostly_inside in zip(*boxes_in_tile(boxes, tile), strict=True):
                x0, y0, x1, y1 = box.tolist()
                whole = theirs[index]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": len(tiles),
                        "category_id": whole["category_id"],
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "area": (x1 - x0) * (y1 - y0),
                        "iscrowd": int(bool(whole.get("iscrowd")) or not mostly_inside),
                        "source_annotation_id": whole["id"],
                    }
                )
    return {"images": tiles, "annotations": annotations, "categories": dataset["categories"]}


def _tile_record(
    id_: int, image: Mapping[str, Any], corner: tuple[int, int], width: int, height: int
) -> dict[str, Any]:
    x, y = corner
    is_jpeg = Path(image["file_name"]).suffix.lower() in {".jpg", ".jpeg", ".jpe", ".jfif"}
    suffix = "jpg" if is_jpeg else "png"
    return {
        "id": id_,
        "file_name": f"{image['id']}_x{x}_y{y}_{width}x{height}.{suffix}",
        "width": width,
        "height": height,
        "source_image_id": image["id"],
        "x": x,
        "y": y,
    }


def cut(
    dataset: Mapping[str, Any], image_root: Path, folder: Path, tiling: Tiling
) -> tuple[dict[str, Any], dict[int, str]]:
    """Write those tiles that a folder lacks, one image in memory at a time.

    Args:
        dataset: as for `tiles_of`.
        image_root: folder of its images.
        folder: gets the tiles, RGB and turned as the camera was held: JPEG files of JPEG images,
            PNG files of others. It is made if it doesn't exist.
        tiling: how to cut.

    Returns:
        What `tiles_of` gives, less the tiles of images that can't be read; and by id, which images
        these are, and why.

    Raises:
        InputError: the folder can't be written to.
    """
    tiles = tiles_of(dataset, tiling)
    folder.mkdir(parents=True, exist_ok=True)
    there = set(os.listdir(folder))
    missing = defaultdict(list)
    for tile in tiles["images"]:
        if tile["file_name"] not in there:
            missing[tile["source_image_id"]].append(tile)
    unreadable = {}
    for image in dataset["images"]:
        if image["id"] in missing:
            try:
                pixels = _read(image_root, image)
            except UNREADABLE_OR_ODD as error:
                unreadable[image["id"]] = failure_text(str(image_root / image["file_name"]), error)
            else:
                _write(pixels, missing[image["id"]], folder)
    lost = {x["id"] for x in tiles["images"] if x["source_image_id"] in unreadable}
    return {
        **tiles,
        "images": [x for x in tiles["images"] if x["id"] not in lost],
        "annotations": [x for x in tiles["annotations"] if x["image_id"] not in lost],
    }, unreadable


def _read(image_root: Path, image: Mapping[str, Any]) -> Image.Image:
    with Image.open(image_root / image["file_name"]) as stored:
        pixels = turned(stored)
        if pixels.mode == "RGB":
            pixels.load()
        else:
            pixels = pixels.convert("RGB")
    stated = (image["width"], image["height"])
    if pixels.size != stated:
        raise SizeMismatchError(
            f"the image has {pixels.width} x {pixels.height} pixels, not {stated[0]} x {stated[1]} "
            "as its annotations say"
        )
    return pixels


def _write(pixels: Image.Image, tiles: Sequence[Mapping[str, Any]], folder: Path) -> None:
    for tile in tiles:
        x, y, width, height = (tile[key] for key in ("x", "y", "width", "height"))
        part = pixels.crop((x, y, x + width, y + height))
        part.info.clear()  # no profile, no note of the camera's
        if tile["file_name"].endswith(".jpg"):
            how: dict[str, Any] = {"format": "JPEG", "quality": 95}
        else:
            how = {"format": "PNG", "compress_level": 1}
        write_atomically(folder / tile["file_name"], partial(part.save, **how))


def write_tiles(folder: Folder, image_root: Path, tiling: Tiling) -> dict[int, str]:
    """Cut the images of a completion; write annotations of the tiles, all and to train on.

    Returns:
        By id, which images can't be read, and why.

    Raises:
        InputError: no image can be read, or the files can't be written.
    """
    whole, thinned = read_json(folder.annotations), read_json(folder.training_annotations)
    tiles, unreadable = cut(whole, image_root, folder.tile_images, tiling)
    if not tiles["images"]:
        raise InputError(f"no image can be read, to begin with: {next(iter(unreadable.values()))}")
    kept = {x["id"] for x in thinned["annotations"]}
    training = {
        **tiles,
        "images": _with_known(tiles["images"], thinned),
        "info": {"sparse": {"input": folder.tile_annotations.name}},
        "annotations": [x for x in tiles["annotations"] if x["source_annotation_id"] in kept],
    }
    _write_dataset(
        folder.tile_annotations, {**tiles, "images": _with_known(tiles["images"], whole)}
    )
    _write_dataset(folder.training_tiles, training)
    return unreadable


def _with_known(
    tiles: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The tiles with what a data set says is known of the images that they were cut of."""
    known = known_of(dataset)
    if not known.is_stated:
        return list(tiles)
    return [
        {
            **tile,
            EXHAUSTIVE: sorted(known.exhaustive[tile["source_image_id"]]),
            ABSENT: sorted(known.absent[tile["source_image_id"]]),
        }
        for tile in tiles
    ]


def _write_dataset(path: Path, dataset: Mapping[str, Any]) -> None:
    write_atomically(path, lambda file: file.writelines(encode(dataset)))


def read_tiling(folder: Folder) -> Tiling | None:
    """How the images of a completion are cut; None if they are not."""
    tiling = read_json(folder.tiling) if folder.tiling.exists() else None
    return tiling and Tiling(**tiling)
