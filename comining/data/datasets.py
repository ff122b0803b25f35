"""Data sets in COCO format: the paper's, by name, and the user's own."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from comining.annotations.coco_file import read_categories, read_coco
from comining.annotations.completion import CHANGED
from comining.annotations.image_files import report_deep_images
from comining.annotations.known import Known, known_of
from comining.annotations.withheld import full_original, read_original, withheld_annotations
from comining.counted import counted
from comining.errors import InputError

from .sparse_coco import SPARSE_COCO, how_sparsified

logger = logging.getLogger(__name__)

#: Where detectron2, and this package, look for COCO and other data sets.
ROOT = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))


def register_coco(name: str, json_file: str | Path, image_root: str | Path) -> None:
    """Make a data set in COCO format known to detectron2, to be named in ``DATASETS.TRAIN``.

    Of the annotations, boxes are read, not masks or keypoints. Nothing is read until the data set
    is used; then it is checked and repaired as `read_coco` says, and an `InputError` tells of all
    that makes it unusable. Registering the same again does nothing.

    Records also tell what is known of the image: ``exhaustive``, the classes of which all objects
    are annotated, ``absent``, those that were looked for and aren't there, ``finished``, whether
    each class of the data set is one or the other, and ``ignored_regions``, each with its ``bbox``
    (XYWH in pixels) and ``category_id``, a class or None for all. Of these, regions of one class
    are among the ``annotations``, too, as crowds.

    If the file names the original that it is a sparse version of, and that lies beside it, records
    also have ``withheld_annotations``, to judge mined labels by; and if the original says what is
    known of its images, ``judged``, the classes that are complete there.

    Args:
        name: of the data set.
        json_file: annotations in COCO format.
        image_root: folder that the file's ``file_name`` entries are relative to.

    Raises:
        InputError: the name stands for another data set.
    """
    json_file, image_root = str(json_file), str(image_root)
    if name in DatasetCatalog.list():
        known = MetadataCatalog.get(name)
        if (known.get("json_file"), known.get("image_root")) != (json_file, image_root):
            raise InputError(
                f"a data set named {name!r} is registered already, with the annotation file "
                f"{known.get('json_file')}: choose another name"
            )
        return
    DatasetCatalog.register(name, partial(_load_coco, json_file, image_root, name))
    MetadataCatalog.get(name).set(json_file=json_file, image_root=image_root, evaluator_type="coco")


def _load_coco(json_file: str, image_root: str, name: str) -> list[dict[str, Any]]:
    dataset, report = read_coco(json_file, image_root)
    report_deep_images(dataset["images"], image_root, report)
    if report.is_fatal:
        raise InputError(f"{name} can't be used. {report}")
    if report.findings:
        logger.warning(f"{name}: {report}")
    categories = sorted(dataset["categories"], key=itemgetter("id"))
    contiguous_ids = {x["id"]: number for number, x in enumerate(categories)}
    MetadataCatalog.get(name).set(
        thing_classes=[x["name"] for x in categories],
        thing_dataset_id_to_contiguous_id=contiguous_ids,
    )

    def record_of(annotation: dict[str, Any]) -> dict[str, Any]:
        return {
            # detectron2 would round whole numbers down after it has scaled them.
            "bbox": [float(x) for x in annotation["bbox"]],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": contiguous_ids[annotation["category_id"]],
            "iscrowd": annotation.get("iscrowd", 0),
        }

    annotations = defaultdict(list)
    for x in dataset["annotations"]:
        if x["category_id"] is not None:
            annotations[x["image_id"]].append(record_of(x))
    known = known_of(dataset)
    records = [
        {
            "file_name": os.path.join(image_root, x["file_name"]),
            "image_id": x["id"],
            "width": x["width"],
            "height": x["height"],
            "annotations": annotations[x["id"]],
            **known_fields(known, x["id"], contiguous_ids),
        }
        for x in dataset["images"]
    ]
    # A completed or reviewed file has annotations that are not the original's, under ids that are.
    info = dataset.get("info")
    has_others = isinstance(info, dict) and not info.keys().isdisjoint(CHANGED)
    original = None if has_others else full_original(dataset, json_file)
    if original is not None and original.is_file():
        full = read_original(original)
        withheld, known = withheld_annotations(dataset, original, full), known_of(full)
        for record in records:
            record["withheld_annotations"] = [
                record_of(x)
                for x in withheld.get(record["image_id"], [])
                if x["category_id"] in contiguous_ids
            ]
            if known.is_stated:
                fields = known_fields(known, record["image_id"], contiguous_ids)
                record["judged"] = sorted({*fields["exhaustive"], *fields["absent"]})
    elif original is not None:
        logger.info(f"{name}: mined labels can't be judged, as {original} is not there")
    return records


def known_fields(known: Known, image_id: Any, contiguous_ids: Mapping[Any, int]) -> dict[str, Any]:
    """What records tell of an image, `register_coco` says how.

    Args:
        known: of a data set.
        image_id: of the image.
        contiguous_ids: the classes of the data set's categories.
    """
    exhaustive, absent = known.exhaustive[image_id], known.absent[image_id]
    return {
        "exhaustive": sorted(contiguous_ids[x] for x in exhaustive),
        "absent": sorted(contiguous_ids[x] for x in absent),
        "finished": bool(contiguous_ids) and contiguous_ids.keys() <= exhaustive | absent,
        "ignored_regions": [
            {"bbox": list(bbox), "category_id": contiguous_ids.get(category_id)}
            for bbox, category_id in known.regions.get(image_id, ())
        ],
    }


def register_sparse_coco(root: str) -> None:
    """Register the paper's five training sets.

    Args:
        root: folder that holds ``coco/``.
    """
    for name, json_file in SPARSE_COCO.items():
        register_coco(
            name,
            os.path.join(root, "coco", "annotations", json_file),
            os.path.join(root, "coco", "train2017"),
        )


def register_from_config(cfg: CfgNode) -> None:
    """Register the data sets of ``cfg.DATASETS.REGISTER``."""
    for entry in cfg.DATASETS.REGISTER:
        if (
            not isinstance(entry, (list, tuple))
            or len(entry) != 3
            or not all(isinstance(field, str) for field in entry)
        ):
            raise InputError(
                f"DATASETS.REGISTER has the entry {entry}; it must be [name, annotation file, "
                "image folder]"
            )
        register_coco(*entry)


def check_datasets(names: Iterable[str]) -> None:
    """Check that data sets are known and their files in place, before anything is loaded.

    Raises:
        InputError: naming each data set, what is missing and where it belongs.
    """
    from .prepare import how_prepared

    problems = []
    for name in names:
        if name not in DatasetCatalog.list():
            problems.append(
                f"no data set is called {name!r}: register it with DATASETS.REGISTER or "
                "comining.data.register_coco"
            )
            continue
        metadata = MetadataCatalog.get(name)
        json_file, image_root = metadata.get("json_file"), metadata.get("image_root")
        builtin = str(json_file).startswith(os.path.join(ROOT, "coco", ""))
        hint = ", or set $DETECTRON2_DATASETS to the folder that holds coco/" if builtin else ""
        if json_file is not None and not Path(json_file).is_file():
            hint = hint or how_prepared(name, Path(json_file).parent)
            made = how_sparsified(name, Path(json_file)) if builtin else ""
            problems.append(f"{name}: put its annotation file at {json_file}{hint}{made}")
        if image_root is not None and not Path(image_root).is_dir():
            problems.append(f"{name}: put its images into the folder {image_root}{hint}")
    if problems:
        raise InputError("\n  ".join(["data is missing:", *problems]))


def check_num_classes(names: Iterable[str], num_classes: int, key: str) -> None:
    """Check that data sets have as many categories as the model has classes.

    A data set whose categories are not known yet is loaded.

    Args:
        names: of data sets.
        num_classes: of the model.
        key: the setting it comes from.

    Raises:
        InputError: they differ.
    """
    for name in names:
        metadata = MetadataCatalog.get(name)
        if metadata.get("thing_classes") is None:
            DatasetCatalog.get(name)
        categories = metadata.get("thing_classes")
        if categories is not None and len(categories) != num_classes:
            found = counted(len(categories), "categories")
            raise InputError(
                f"{name} ({metadata.get('json_file')}) has {found} but {key} is "
                f"{num_classes}: set {key} {len(categories)}"
            )


def check_withheld(names: Sequence[str], method: str) -> None:
    """Check that it is known of one of several data sets at least what was withheld.

    Args:
        names: of data sets.
        method: of ``MODEL.COMINING.METHOD``, that learns from it.

    Raises:
        InputError: it isn't.
    """
    if names and not any("withheld_annotations" in x for y in names for x in DatasetCatalog.get(y)):
        raise InputError(
            f"with MODEL.COMINING.METHOD {method} it must be known what {' or '.join(names)} "
            "lacks: make its file by comining sparsify --record-name, and leave the original "
            "beside it"
        )


def check_same_categories(names: Iterable[str]) -> None:
    """Check that data sets have the same categories in the same order, which is all that a model
    knows of them.

    A data set that is not registered or whose file is not there is passed over, as is one that has
    no category names. Of one that was not loaded yet, the annotation file is read.

    Args:
        names: of data sets.

    Raises:
        InputError: they differ.
    """
    first, of_first = None, None
    for name in dict.fromkeys(names):
        categories = _category_names(name)
        if of_first is None:
            first, of_first = name, categories
        elif categories is not None and categories != of_first:
            pairs = enumerate(zip_longest(of_first, categories))
            number, (one, other) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
            files = [MetadataCatalog.get(x).get("json_file") for x in (first, name)]
            raise InputError(
                f"the categories of {first} ({files[0]}) and {name} ({files[1]}) are not the same: "
                f"number {number + 1} by id is {one!r} in the first and {other!r} in the second. "
                "Give both files the same names for the same ids; if the model was trained on "
                "something else, name that in DATASETS.TRAIN"
            )


def _category_names(name: str) -> list[str] | None:
    """In the order of the model's classes; None if they can't be known."""
    if name not in DatasetCatalog.list():
        return None
    metadata = MetadataCatalog.get(name)
    json_file = metadata.get("json_file")
    if metadata.get("thing_classes") is None and json_file and Path(json_file).is_file():
        return [x["name"] for x in read_categories(json_file)]
    return metadata.get("thing_classes")
