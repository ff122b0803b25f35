"""Check COCO data: ``python -m comining.annotations.check FILE [--image-root DIR]``.

Prints what is wrong, with the ids of the first offenders, and what training would repair. With
``--image-root``, it tells which images are not there, and which lie beside the others but are not
listed. With ``--check-images`` every image is decoded, without it a few are looked at. The exit
code is 1 if training or a tool would refuse the data.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from tqdm import tqdm

from comining.errors import InputError

from .coco_file import read_coco
from .completion import check_scores
from .image_files import (
    TOO_DEEP,
    is_deep,
    is_image,
    is_leftover,
    leads_outside,
    report_deep_images,
)
from .report import Report


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
        f"images in {image_root} are not listed: training does not see them and nothing is mined "
        "there, unless you append them to 'images' and set DATALOADER.FILTER_EMPTY_ANNOTATIONS "
        "False, as docs/your_data.md shows",
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
                # As detectron2 reads it: turned as the camera was held.
                size = ImageOps.exif_transpose(opened).size
                opened.load()
                mode = opened.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return "unreadable", f"{image['file_name']}: {error}"
    if is_deep(mode):
        return "deep", image["file_name"]
    stated = (image["width"], image["height"])
    if size != stated:
        return "size", f"{image['file_name']}: {size[0]}x{size[1]}, not {stated[0]}x{stated[1]}"
    return "", ""


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m comining.annotations.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="annotations in COCO format")
    parser.add_argument("--image-root", type=Path, help="folder of the images")
    parser.add_argument("--check-images", action="store_true", help="decode every image")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    options = parser.parse_args(argv)
    if options.check_images and options.image_root is None:
        parser.error("--check-images needs --image-root")
    if options.workers < 1:
        parser.error("--workers must be at least 1")
    try:
        dataset, report = read_coco(options.file, options.image_root)
        if options.image_root is not None:
            note_unlisted(dataset["images"], options.image_root, report)
        if options.check_images:
            check_images(dataset["images"], options.image_root, report, options.workers)
        elif options.image_root is not None:
            report_deep_images(dataset["images"], options.image_root, report)
        # Training does not read them, but the gallery and reviews do.
        check_scores(dataset["annotations"], report)
    except InputError as error:
        sys.exit(f"error: {error}")
    print(report)
    if report.is_fatal:
        sys.exit(1)
    if all(x.get("iscrowd") for x in dataset["annotations"]):
        sys.exit("  no single object is annotated: training can't use it")
    print("  training can use it")


if __name__ == "__main__":
    main()
