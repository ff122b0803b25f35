"""Annotations in the formats that tools for them write, read as COCO data sets and written back.

`read_annotations` recognises the format by what the files hold. `write_annotations` edits a copy
of what was read, so that all stays as it was but for the boxes that were added, changed or removed.

No reader runs code of a file, and none needs a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .assembly import assemble
from .edits import edits_of
from .images import ImageFolder
from .output import check_beside, completed_path, write_completed
from .recognition import FORMAT_NAMES, open_document
from .source import Source

__all__ = [
    "FORMAT_NAMES",
    "Source",
    "check_beside",
    "completed_path",
    "read_annotations",
    "write_annotations",
]


def read_annotations(
    path: str | Path, image_root: str | Path, *, listed_only: bool = False
) -> Source:
    """Read annotations of any known format as a COCO data set.

    Known are COCO JSON, Pascal VOC (folder of XML), YOLO (folder of txt, or its data.yaml), CVAT
    for images 1.1 (XML), LabelMe (folder of JSON), VIA (project or annotations as JSON, or
    annotations as CSV), Open Images (CSV) and Label Studio (JSON or JSON-MIN). The format is
    recognised by what the files hold.

    Images are found by their relative paths, else by a unique base name, else by a unique stem,
    whatever the case and the encoding of umlauts. Polygons, ellipses, masks with a known box and
    rotated rectangles are taken by the upright boxes around them; points and lines are left out.

    Args:
        path: the file or folder of the annotations; it may be the folder of the images too.
        image_root: folder of the images; its sub-folders belong to it.
        listed_only: leave out images that the annotations don't list.

    Raises:
        InputError: the format is unknown or mixed, a file is broken, images are missing,
            ambiguous or of another size than stated, or there is nothing to read. The message
            names the file and the fix.
    """
    path = Path(path)
    folder = ImageFolder(image_root)
    return assemble(open_document(path, folder), folder, listed_only)


def write_annotations(source: Source, dataset: dict[str, Any], output: Path) -> Path:
    """Write a data set in the format that the source had.

    Annotations are told by their ids. Those that have the id of one of the source are that one:
    they stay as they were in the document, with all that COCO has no room for, unless their
    ``bbox`` or ``category_id`` differs. Those of the source that ``dataset`` lacks are removed,
    all others are added. What was mined is marked where the format has room for it. An image with
    ``finished`` true that the source doesn't list is listed, even without a box.

    Args:
        source: what `read_annotations` returned; neither it nor its files are changed.
        dataset: in COCO format, with images and categories of the source.
        output: folder for the result; it is made if it is missing.

    Returns:
        The file or folder that was written: "completed" with the suffix of the format.

    Raises:
        InputError: see `completed_path`; or the data set is of other images or categories; or the
            files of a folder were changed since they were read.
    """
    target = completed_path(source, output)
    write_completed(source.document, edits_of(source, dataset), dataset, target)
    return target
