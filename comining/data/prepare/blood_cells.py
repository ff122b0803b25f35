"""Blood smears under the microscope, 640x480: https://github.com/Shenggan/BCCD_Dataset.

Its 343 images that an older collection, https://github.com/cosmicad/dataset, annotates as well
show what people forget: there only red cells are boxed, and 326 of the later 4,103 are missing.

The later version isn't complete either. 299 of these 326 are in the images up to number 59 (a third
of the cells there). Of the red cells in the other images it has the older boxes, with few changes,
and many cells have none. So `val_revised.json` tells more of a detector than `val.json`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from comining.annotations.sparse import content_hash
from comining.data.prepared_folder import is_prepared, preparing, write_json
from comining.errors import InputError

from .coco_set import AnnotatedImage, Box, as_coco, summary
from .matching import same_objects
from .repository import Repository, checkout

BCCD = Repository(
    name="Shenggan/BCCD_Dataset",
    commit="d272fb14cdff6e473fafeeeba32aba5f560e9e43",
    pattern=r"BCCD/(Annotations/\w+\.xml|JPEGImages/\w+\.jpg|ImageSets/Main/(train|val|test)\.txt)",
    num_files=731,
    sha256="093c63ec25cad418a642cccee6b87fbe2f249ee59869ebcd2e44b9fe835f56ce",
)
OLDER = Repository(
    name="cosmicad/dataset",
    commit="bebbc655aa704b3afc7cc617cc4169ab49469c1d",
    pattern=r"Annotations/\w+\.xml",
    num_files=343,
    sha256="4621bd85228ef2275a3d9f7e268b59ee7e88cbb688187a36bb6e83f4d02d43e1",
)
CATEGORIES = ("RBC", "WBC", "Platelets")
SPLITS = ("train", "val", "test")
FIRST_NOT_REVISED = "BloodImage_00060"
_INFO = {"description": "Blood cells", "licence": "MIT (BCCD_Dataset, (c) 2017 shenggan)"}


def prepare_blood_cells(
    output: Path,
    source: Path | None = None,
    *,
    category: str | None = None,
    repository: Repository = BCCD,
) -> list[str]:
    """Make `train.json`, `val.json`, `test.json` (the official split) and their `images`.

    `val_revised.json` has those images of both `val.json` and `test.json` in which the red cells
    were revised.

    Args:
        output: folder to make; one that holds anything else is refused.
        source: a checkout of the repository; None downloads it.
        category: "RBC", "WBC" or "Platelets", to have its boxes only; None for all. Images without
            any stay.
        repository: where the files are from.

    Returns:
        Lines that tell what was made.

    Raises:
        InputError: on an unknown category, wrong files, no network, or an output folder in use.
    """
    if category not in (None, *CATEGORIES):
        raise InputError(f"no category '{category}': choose one of {', '.join(CATEGORIES)}")
    recipe = {"made_by": "prepare blood-cells", "version": 1, **repository.record()}
    recipe["category"] = category
    if is_prepared(output, recipe):
        return [f"{output} is complete already: nothing to do"]
    names = (category,) if category else CATEGORIES
    with checkout(repository, source) as files, preparing(output, recipe) as folder:
        lines = []
        splits = _read_splits(files)
        splits["val_revised"] = _revised(splits["val"] + splits["test"])
        for split, ids in splits.items():
            images = [read_voc(files / "BCCD/Annotations" / f"{id_}.xml") for id_ in ids]
            coco = as_coco(images, names, {**_INFO, **repository.record(), "split": split})
            _copy_images(files, images, folder)
            write_json(folder / f"{split}.json", coco)
            lines.append(summary(f"{split}.json", coco))
        return lines


def prepare_blood_cells_2017(
    output: Path,
    source: Path | None = None,
    *,
    repositories: tuple[Repository, Repository] = (OLDER, BCCD),
) -> list[str]:
    """Make the older version, red cells only, with the later version of the same images.

    `train.json`, `all.json` and `revised.json` have the older boxes of the split's images, of all
    343 and of those that were revised; `train_full.json`, `all_full.json` and `revised_full.json`
    the later ones of the same images. `val.json`, `test.json` and `val_revised.json` (see
    `prepare_blood_cells`) have the later ones, too. Images and split are the later version's.

    An older box has the id of the later one that is the same cell (`same_objects`), and
    `info["sparse"]` names the later file: what was forgotten counts as withheld.

    Args:
        output: folder to make; one that holds anything else is refused.
        source: a folder that holds checkouts of both repositories, as `dataset` and
            `BCCD_Dataset`; None downloads them.
        repositories: the older and the later one.

    Returns:
        Lines that tell what was made.

    Raises:
        InputError: as for `prepare_blood_cells`.
    """
    older, later = repositories
    info = {**_INFO, "older": older.record(), "later": later.record()}
    recipe = {"made_by": "prepare blood-cells-2017", "version": 1}
    recipe |= {"older": older.record(), "later": later.record()}
    if is_prepared(output, recipe):
        return [f"{output} is complete already: nothing to do"]
    with (
        checkout(older, source, later) as old_files,
        checkout(later, source, older) as files,
        preparing(output, recipe) as folder,
    ):
        splits = _read_splits(files)
        splits["all"] = sorted(id_ for ids in splits.values() for id_ in ids)
        splits["revised"] = _revised(splits["all"])
        splits["val_revised"] = _revised(splits["val"] + splits["test"])
        lines = []
        for split, ids in splits.items():
            ids = [id_ for id_ in ids if (old_files / "Annotations" / f"{id_}.xml").is_file()]
            images = [read_voc(files / "BCCD/Annotations" / f"{id_}.xml") for id_ in ids]
            full = as_coco(images, ("RBC",), {**info, "split": split})
            _copy_images(files, images, folder)
            made = {f"{split}.json": full}
            if split in ("train", "all", "revised"):
                old = [read_voc(old_files / "Annotations" / f"{id_}.xml") for id_ in ids]
                coco = as_coco(old, ("RBC",), {**info, "split": split})
                full_name = f"{split}_full.json"
                made = {f"{split}.json": _forgetful(coco, full, full_name), full_name: full}
            for name, coco in made.items():
                write_json(folder / name, coco)
                lines.append(summary(name, coco))
        return lines


def read_voc(xml_file: Path) -> AnnotatedImage:
    """Read a Pascal VOC annotation file; coordinates stay as they are. The image is `.jpg`."""
    root = ElementTree.parse(xml_file).getroot()

    def number(element: ElementTree.Element, path: str) -> int:
        return int(element.findtext(path, ""))

    boxes = tuple(
        Box(
            obj.findtext("name", ""),
            *(number(obj, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")),
        )
        for obj in root.iter("object")
    )
    size = number(root, "size/width"), number(root, "size/height")
    return AnnotatedImage(f"{xml_file.stem}.jpg", size, boxes)


def _read_splits(files: Path) -> dict[str, list[str]]:
    lists = files / "BCCD/ImageSets/Main"
    return {split: sorted((lists / f"{split}.txt").read_text().split()) for split in SPLITS}


def _revised(ids: Iterable[str]) -> list[str]:
    return sorted(id_ for id_ in ids if id_ < FIRST_NOT_REVISED)


def _copy_images(files: Path, images: Iterable[AnnotatedImage], folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for image in images:
        shutil.copyfile(
            files / "BCCD/JPEGImages" / image.file_name, folder / "images" / image.file_name
        )


def _forgetful(old: dict[str, Any], full: dict[str, Any], full_name: str) -> dict[str, Any]:
    """The older boxes as a sparse version of the later ones."""
    ids = same_objects(old["annotations"], full["annotations"])
    new_id = len(full["annotations"])
    annotations = []
    for annotation in old["annotations"]:
        if annotation["id"] not in ids:
            new_id += 1
        annotations.append({**annotation, "id": ids.get(annotation["id"], new_id)})
    record = {
        "protocol": "people",
        "percent": None,
        "seed": None,
        "input": full_name,
        "input_sha256": content_hash(full),
    }
    return {
        **old,
        "info": {**old["info"], "sparse": record},
        "annotations": sorted(annotations, key=lambda annotation: annotation["id"]),
    }
