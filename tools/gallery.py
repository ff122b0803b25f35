#!/usr/bin/env python
"""Make a page to look through what was mined: `gallery.py ANNOTATIONS.json --image-root DIR`.

python tools/gallery.py completed.json --image-root images --output gallery.html

ANNOTATIONS.json is in COCO format. Annotations with "origin": "mined" are mined and have a "score"
from 0 to 1, as tools/mine_annotations.py writes them; all others are annotated. A training saves
none of what it mines: the page shows what the weights that mine_annotations.py was given, mostly
the final ones, mine on images that are not augmented.

If the full original is known, by --full or because the file names it and it lies beside it,
annotations that only the original has are shown as withheld, and mined boxes that are on no
annotation of their class, known or withheld (IoU above 0.5), as wrong.

The page is one file that works from disk without a server and loads nothing from the network. It
holds a thumbnail of each image, so that it can be moved and sent; the large view looks for the
image where it was. With --link-images it holds none and shows the images themselves, which is
better for small images or very many. In the page, the key ? lists the others.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import json
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from comining.annotations.coco_file import read_coco
from comining.annotations.completion import MINED, check_scores
from comining.annotations.withheld import full_original, withheld_annotations
from comining.errors import InputError
from comining.modeling.labels import HIT_IOU, Labels, overlap_any
from comining.output_file import check_output, write_atomically

logger = logging.getLogger(__name__)

#: From so many images on, the command suggests --link-images.
MANY_IMAGES = 2_000
PAGE = Path(__file__).with_name("gallery_page")
Annotation = dict[str, Any]


def gallery_data(
    json_file: Path, image_root: Path, full_file: Path | None = None
) -> dict[str, Any]:
    """What the page shows of a data set.

    Args:
        json_file: annotations in COCO format, some of them mined.
        image_root: folder of the images.
        full_file: the full original; if None, the one that ``json_file`` names, if it is there.

    Returns:
        ``kinds`` and ``classes``, lists of names, and ``images``, a list of ``name``, ``width``,
        ``height`` and ``boxes``: [index of the kind, index of the class, x, y, width, height,
        score or None, 1 for a withheld box that was found]. The image with the lowest score comes
        first. Crowds are left out.

    Raises:
        InputError: a file can't be used, or the two don't belong together.
    """
    dataset, report = read_coco(json_file, image_root)
    annotations = [x for x in dataset["annotations"] if not x.get("iscrowd")]
    mined = [x for x in annotations if x.get("origin") == MINED]
    annotated = [x for x in annotations if x.get("origin") != MINED]
    check_scores(annotations, report)
    if report.is_fatal:
        raise InputError(str(report))
    if report.findings:
        logger.warning(report)

    by_kind = {"annotated": annotated, "mined": mined}
    found: set[int] = set()
    info = dataset.get("info")
    if isinstance(info, dict) and "reviewed" in info:
        # Accepted boxes kept the ids that they were mined with; withheld ones may have the same.
        if full_file is not None:
            raise InputError(
                f"{json_file} was reviewed, so that its ids no longer tell what {full_file} has in "
                "addition: leave --full out, or show the file that was reviewed"
            )
    elif full_file is None:
        full_file = full_original(dataset, json_file)
        if full_file is not None and not full_file.is_file():
            logger.warning(
                f"what was withheld is not shown, as {full_file} is not there: name it with --full"
            )
            full_file = None
    if full_file is not None:
        withheld = read_withheld({**dataset, "annotations": annotated}, json_file, full_file)
        by_kind["mined"], by_kind["wrong"], found = judge(mined, annotated, withheld)
        by_kind["withheld"] = withheld

    categories = sorted(dataset["categories"], key=itemgetter("id"))
    class_of = {x["id"]: index for index, x in enumerate(categories)}
    boxes = defaultdict(list)
    for kind, members in enumerate(by_kind.values()):
        for x in members:
            box = [round(value, 1) for value in x["bbox"]]
            score = x["score"] if x.get("origin") == MINED else None
            row = [kind, class_of[x["category_id"]], *box, score, int(id(x) in found)]
            boxes[x["image_id"]].append(row)
    images = [
        {
            "name": x["file_name"],
            "width": x["width"],
            "height": x["height"],
            "boxes": boxes[x["id"]],
        }
        for x in dataset["images"]
    ]
    # As the page sorts them at first: what is seen first is read first.
    images.sort(
        key=lambda image: min((x[6] for x in image["boxes"] if x[6] is not None), default=2)
    )
    return {
        "kinds": list(by_kind),
        "classes": [x["name"] for x in categories],
        "images": images,
    }


def read_withheld(dataset: dict[str, Any], json_file: Path, full_file: Path) -> list[Annotation]:
    """The annotations that only the full original has, of the data set's images.

    Args:
        dataset: without mined annotations: their ids may be those of withheld ones.
        json_file: what it was read from.
        full_file: the full original.
    """
    by_image = withheld_annotations(dataset, full_file)
    withheld = [x for image in dataset["images"] for x in by_image.get(image["id"], [])]
    known = {x["id"] for x in dataset["categories"]}
    unknown = sorted({x["category_id"] for x in withheld} - known)
    if unknown:
        raise InputError(
            f"{full_file} uses categories that {json_file} does not list (ids "
            f"{', '.join(map(str, unknown[:5]))}): it is not its full original"
        )
    return withheld


def judge(
    mined: list[Annotation], annotated: list[Annotation], withheld: list[Annotation]
) -> tuple[list[Annotation], list[Annotation], set[int]]:
    """Tell which mined annotations are right.

    Returns:
        The mined annotations that are on an annotated or withheld one of their image and class
        (IoU above 0.5), the others, and the `id()` of each withheld one that a mined one is on.
    """
    right, wrong, found = [], [], set()
    mined_of, annotated_of, withheld_of = map(by_image, (mined, annotated, withheld))
    for image_id, candidates in mined_of.items():
        hidden = withheld_of[image_id]
        labels = as_labels(candidates)
        hits = overlap_any(labels, as_labels(hidden + annotated_of[image_id]), HIT_IOU)
        for x, hit in zip(candidates, hits.tolist(), strict=True):
            (right if hit else wrong).append(x)
        is_found = overlap_any(as_labels(hidden), labels, HIT_IOU)
        found |= {id(x) for x, hit in zip(hidden, is_found.tolist(), strict=True) if hit}
    return right, wrong, found


def by_image(annotations: Iterable[Annotation]) -> defaultdict[int, list[Annotation]]:
    grouped = defaultdict(list)
    for x in annotations:
        grouped[x["image_id"]].append(x)
    return grouped


def as_labels(annotations: list[Annotation]) -> Labels:
    """The labels of one image."""
    boxes = torch.tensor([x["bbox"] for x in annotations], dtype=torch.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    classes = torch.tensor([x["category_id"] for x in annotations], dtype=torch.int64)
    return Labels(boxes, classes, torch.zeros_like(classes), torch.ones(len(classes)))


def thumbnail(path: Path, size: int) -> str:
    """An image, at most ``size`` pixels wide and high, as base64 of a WebP file.

    Raises:
        InputError: it can't be read.
    """
    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * size, 2 * size))  # of a large JPEG, no more is decoded
            # As detectron2 reads it: turned as the camera was held.
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((size, size))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} can't be read as an image: {error}") from error
    return webp(upright)


def webp(image: Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=75)
    return base64.b64encode(buffer.getvalue()).decode()


def link(path: Path, folder: Path) -> str:
    """The URL of a file, relative to a page in ``folder``."""
    return quote(os.fsencode(os.path.relpath(path, folder)))


def page_head(title: str, data: dict[str, Any]) -> str:
    """The page without thumbnails: they follow its script, so that it shows before all is read."""
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    script = (PAGE / "script.js").read_text(encoding="utf-8")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src 'self' file: data:; "
        f"style-src {hash_source(style)}; script-src {hash_source(script)}"
    )
    page = Template((PAGE / "page.html").read_text(encoding="utf-8"))
    return page.substitute(
        policy=policy,
        title=html.escape(title),
        style=style,
        script=script,
        # A "<" in a name could end the script element.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def hash_source(text: str) -> str:
    """What a content security policy calls this very script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def write_gallery(
    output: Path, title: str, data: dict[str, Any], image_root: Path, thumbnail_size: int | None
) -> None:
    """Write the page, completely or not at all.

    An image that can't be read is a grey area, and named in a warning.

    Args:
        output: the page.
        title: of the page.
        data: as `gallery_data` returns it.
        image_root: folder of the images.
        thumbnail_size: longest edge in pixels; None for images that are linked only.

    Raises:
        InputError: the page can't be written.
    """
    unreadable: list[str] = []
    paths = [image_root / image["name"] for image in data["images"]]
    images = [
        {**image, "url": link(path, output.parent)}
        for image, path in zip(data["images"], paths, strict=True)
    ]
    prefix = None if thumbnail_size is None else "data:image/webp;base64,"

    def pieces() -> Iterator[bytes]:
        yield page_head(title, {**data, "images": images, "thumbnails": prefix}).encode()
        if thumbnail_size is None:
            return

        def made_or_grey(path: Path) -> str:
            try:
                return thumbnail(path, thumbnail_size)
            except InputError as error:
                unreadable.append(str(error))
                return webp(Image.new("RGB", (1, 1), "gray"))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = pool.map(made_or_grey, paths)
            for number, text in enumerate(tqdm(made, "thumbnails", len(paths), disable=None)):
                script = f'<script type="text/plain" id="thumbnail-{number}">{text}</script>\n'
                yield script.encode()

    write_atomically(output, lambda file: file.writelines(pieces()))
    if unreadable:
        head = f"{len(unreadable)} images are grey in the page: repair them and make it again"
        logger.warning("\n  ".join([head, *sorted(unreadable)]))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path, metavar="ANNOTATIONS.json")
    parser.add_argument("--image-root", required=True, type=Path, help="folder of the images")
    parser.add_argument("--output", type=Path, default=Path("gallery.html"), help="the page")
    parser.add_argument("--full", type=Path, help="the full original of sparse annotations")
    parser.add_argument(
        "--thumbnail-size", type=int, default=256, help="longest edge in pixels (default: 256)"
    )
    parser.add_argument(
        "--link-images", action="store_true", help="no thumbnails: show the images where they are"
    )
    options = parser.parse_args(argv)
    if options.thumbnail_size < 1:
        parser.error("--thumbnail-size must be at least 1")
    inputs = [options.annotations] if options.full is None else [options.annotations, options.full]
    try:
        check_output(options.output, *inputs)
        data = gallery_data(options.annotations, options.image_root, options.full)
        size = None if options.link_images else options.thumbnail_size
        if size is not None and len(data["images"]) >= MANY_IMAGES:
            print(
                f"{len(data['images']):,} thumbnails make a large page: --link-images makes a "
                "small one, which shows the images where they are",
                file=sys.stderr,
            )
        write_gallery(options.output, options.annotations.name, data, options.image_root, size)
    except InputError as error:
        sys.exit(f"error: {error}")
    print(options.output)


if __name__ == "__main__":
    main()
