"""Defects of printed circuits, 640x640: https://github.com/tangsanli5201/DeepPCB.

Its README: "You can only use this dataset for research purpose."
"""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from comining.data.prepared_folder import is_prepared, preparing, write_json
from comining.errors import InputError

from .coco_set import AnnotatedImage, Box, as_coco, summary
from .repository import Repository, checkout

DEEP_PCB = Repository(
    name="tangsanli5201/DeepPCB",
    commit="08e98c4db5922613fb97176eb3d6497d48260cb1",
    pattern=r"PCBData/((trainval|test)\.txt|group\d+/\d+/\d+_test\.jpg|group\d+/\d+_not/\d+\.txt)",
    num_files=3002,
    sha256="21be2a8c65f2108536714fb49f4cc61406f6685d3d0e900e5b6d7a59161bc4b7",
)
CATEGORIES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
RESTRICTION = "for research purpose only"
_OFFICIAL_SPLITS = {"train": "trainval", "val": "test"}


def prepare_circuits(
    output: Path, source: Path | None = None, *, repository: Repository = DEEP_PCB
) -> list[str]:
    """Make `train.json` (the official trainval), `val.json` (the official test) and their `images`.

    The images are those of circuits with defects, without the templates.

    Args:
        output: folder to make; one that holds anything else is refused.
        source: a checkout of the repository; None downloads it.
        repository: where the files are from.

    Returns:
        Lines that tell what was made, and that the data are for research only.

    Raises:
        InputError: on wrong files, no network, or an output folder in use.
    """
    recipe = {"made_by": "prepare circuits", "version": 1, **repository.record()}
    if is_prepared(output, recipe):
        return [f"{output} is complete already: nothing to do"]
    with checkout(repository, source) as files, preparing(output, recipe) as folder:
        (folder / "images").mkdir()
        lines = []
        for split, official in _OFFICIAL_SPLITS.items():
            images = []
            for line in (files / f"PCBData/{official}.txt").read_text().splitlines():
                image_path, boxes_path = line.split()
                # The lists name neither the tested image (_test) nor the template (_temp).
                tested = files / "PCBData" / image_path.replace(".jpg", "_test.jpg")
                shutil.copyfile(tested, folder / "images" / tested.name)
                with Image.open(tested) as image:
                    size = image.size
                boxes = read_boxes(files / "PCBData" / boxes_path)
                images.append(AnnotatedImage(tested.name, size, boxes))
            info = {"description": "Defects of printed circuits", "licence": RESTRICTION}
            coco = as_coco(images, CATEGORIES, {**info, **repository.record(), "split": official})
            write_json(folder / f"{split}.json", coco)
            lines.append(summary(f"{split}.json", coco))
        return [*lines, f"The authors allow the use of these data {RESTRICTION}."]


def read_boxes(boxes_file: Path) -> tuple[Box, ...]:
    """Read one defect a line: x0 y0 x1 y1 and the category, from 1."""
    boxes = []
    for line in boxes_file.read_text().splitlines():
        if line.strip():
            *box, category = map(int, line.split())
            if not (len(box) == 4 and 1 <= category <= len(CATEGORIES)):
                raise InputError(f"{boxes_file}: not a defect: {line}")
            boxes.append(Box(CATEGORIES[category - 1], *box))
    return tuple(boxes)
