"""Annotations of any known format as a COCO data set, and such a data set written back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .document import Document, Ref


@dataclass(frozen=True)
class Source:
    """Annotations that were read, and what writing them back needs.

    Attributes:
        path: the file or folder that the user named.
        format: "coco", "voc", "yolo", "cvat", "labelme", "via", "openimages" or "label_studio".
        dataset: in COCO format. ``images`` have ``id``, ``file_name`` (relative to the image
            folder, with "/"), ``width`` and ``height`` as the camera was held. ``annotations``
            have ``id``, ``image_id``, ``category_id``, ``bbox`` (XYWH in pixels, within the
            image), ``area`` and ``iscrowd``; those that an earlier completion has added have
            ``origin`` "mined" and ``score`` too, where the format can tell. Of COCO files, ids
            and all fields are the file's; else ids count from 1.
        notes: what was repaired or left out, with counts.
        unlisted: how many images of the folder the annotations don't list; they are the last ones
            of ``images``.
        document: the annotations as they were read.
        keys: by image id, where the image stands in the document; unlisted ones have none.
        refs: by annotation id, where the annotation stands in its image's part of the document.
        orientations: by image id, the EXIF orientation of images that the document describes as
            they are stored, not as the camera was held.
    """

    path: Path
    format: str
    dataset: dict[str, Any]
    notes: list[str]
    unlisted: int
    document: Document = field(repr=False)
    keys: dict[int, Ref] = field(repr=False)
    refs: dict[int, Ref] = field(repr=False)
    orientations: dict[int, int] = field(repr=False)
