"""Checking a data set before a training does."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from .coco_file import read_coco
from .completion import check_scores
from .image_files import (
    TOO_DEEP,
    is_deep,
    is_image,
    is_leftover,
    leads_outside,
    orientation_of,
    report_deep_images,
)
from .report import Finding, Report


def check(
    annotations: Path, images: Path | None = None, *, decode: bool = True, workers: int = 2
) -> Report:
    """Tell what is wrong with a data set, and what would be repaired.

    Args:
        annotations: in COCO format.
        images: folder of the images; without it, they are not looked for.
        decode: whether every image is read, not a sample of their headers alone.
        workers: processes that read images.

    Returns:
        The report; training would refuse the data if it is fatal.

    Raises:
        InputError: the file can't be read or is no JSON object.
    """
    dataset, report = read_coco(annotations, images)
    if images is not None:
        note_unlisted(dataset["images"], images, report)
        if decode:
            check_images(dataset["images"], images, report, workers)
        else:
            report_deep_images(dataset["images"], images, report)
    # Training does not read them, but the gallery and reviews do.
    check_scores(dataset["annotations"], report)
    if all(x.get("iscrowd") for x in dataset["annotations"]):
        finding = Finding("error", "no single object is annotated: training needs some", [])
        report.findings.append(finding)
    return report


def note_unlisted(images: Iterable[dict[str, Any]], image_root: Path, report: Report) -> None:
    """Add to ``report`` the images that lie beside those of a data set and are not listed.

    Args:
        images: of a COCO data set.
        image_root: their folder.
        report: gets what is found.
    """
    names = (x["file_name"] for x in images if not leads_outside(x["file_name"]))
    listed = {Path(os.path.normpath(name)) for name in names}
    folders = {path.parent for path in listed if (image_root / path.parent).is_dir()}
    unlisted = [
        path.relative_to(image_root)
        for folder in folders
        for path in (image_root / folder).iterdir()
        if path.relative_to(image_root) not in listed and is_image(path)
    ]
    report.add(
        "note",
        f"images are not listed, though in {image_root}: training does not see them and nothing "
        "is mined there, unless `comining convert` lists them and the config has "
        "DATALOADER.FILTER_EMPTY_ANNOTATIONS False",
        map(str, sorted(unlisted)),
    )


def check_images(
    images: Iterable[dict[str, Any]], image_root: str | Path, report: Report, workers: int = 1
) -> None:
    """Decode every image and add to ``report`` those that are damaged, of another size or too deep.

    Args:
        images: of a COCO data set.
        image_root: their folder.
        report: gets what is found.
        workers: processes.
    """
    safe = [
        image
        for image in images
        if not leads_outside(image["file_name"]) and not is_leftover(image["file_name"])
    ]
    with ProcessPoolExecutor(workers) as pool:
        problems = list(
            tqdm(
                pool.map(partial(_image_problem, Path(image_root)), safe, chunksize=16),
                total=len(safe),
                desc="images",
                disable=None,
            )
        )
    for kind, text in (
        ("unreadable", "image files are damaged"),
        ("size", "images have another size than the file says"),
        ("deep", TOO_DEEP),
    ):
        report.add("error", text, (x for found, x in problems if found == kind))


def _image_problem(root: Path, image: dict[str, Any]) -> tuple[str, str]:
    path = root / image["file_name"]
    if not path.is_file():
        return "", ""  # reported already
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as opened:
                opened.load()
                is_on_side = orientation_of(opened) >= 5  # detectron2 turns it
                size = opened.size[::-1] if is_on_side else opened.size
                mode = opened.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return "unreadable", f"{image['file_name']}: {error}"
    if is_deep(mode):
        return "deep", image["file_name"]
    stated = (image["width"], image["height"])
    if size != stated:
        return "size", f"{image['file_name']}: {size[0]}x{size[1]}, not {stated[0]}x{stated[1]}"
    return "", ""
