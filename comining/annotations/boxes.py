"""Boxes of a COCO data set: which are sound, and in which form a file has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .report import Report, some
from .values import is_usable_area, label

#: As a width, a coordinate of a corner leads far beyond the image; that by this share of its size.
FAR_BEYOND = 0.05
#: Where no more boxes than this share do, they are taken for what they should be.
MAX_FAR_BEYOND = 0.25
#: What share of the boxes must lie inside their image when read as corners.
MIN_CORNERS = 0.95
#: An area that is more times that of the box than this is worth a note.
MAX_AREA = 1.5


def sound_annotations(
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]],
    report: Report,
) -> list[dict[str, Any]]:
    """Clip boxes that reach beyond their image and drop annotations that have no sound one.

    Args:
        images, annotations, categories: usable records.
        report: gets what is found.
    """
    boxes = np.array([x["bbox"] for x in annotations], dtype=np.float64).reshape(-1, 4)
    sizes = {x["id"]: (x["width"], x["height"]) for x in images}
    names = {x["id"]: x["name"] for x in categories}
    known = {None, *names}  # regions to ignore may be of all

    def name(rows: np.ndarray) -> list[Any]:
        return [label(annotations[i], i) for i in np.flatnonzero(rows).tolist()]

    unknown = np.array([x["category_id"] not in known for x in annotations], dtype=bool)
    missing = sorted({annotations[i]["category_id"] for i in np.flatnonzero(unknown)})
    report.add("error", _unknown(missing, names), name(unknown))
    lost = np.array([x["image_id"] not in sizes for x in annotations], dtype=bool)
    limits = np.array([sizes.get(x["image_id"], (1, 1)) for x in annotations]).reshape(-1, 2)
    finite = np.isfinite(boxes).all(axis=1)
    flat = finite & (boxes[:, 2:] <= 0).any(axis=1)
    sound = finite & ~flat & ~lost
    _check_form(boxes[finite & ~lost], limits[finite & ~lost], report)
    start = boxes[:, :2]
    with np.errstate(invalid="ignore", over="ignore"):
        end = start + boxes[:, 2:]
        clipped_start, clipped_end = start.clip(0, limits), end.clip(0, limits)
        off = sound & ~(clipped_end > clipped_start).all(axis=1)
        # Files round to some decimals; that is no mistake worth a word.
        beyond = sound & ~off & ((start < -0.5) | (end > limits + 0.5)).any(axis=1)
    inexact = sound & ~off & ((start < 0) | (end > limits)).any(axis=1)
    report.add("repaired", "annotations of an image that is not listed: dropped", name(lost))
    report.add("repaired", "boxes are not finite: dropped", name(~finite & ~lost))
    report.add("repaired", "boxes have no area: dropped", name(flat & ~lost))
    report.add("repaired", "boxes lie outside their image: dropped", name(off))
    report.add("repaired", "boxes reach beyond their image: clipped", name(beyond))
    _note_areas(
        ((label(annotations[i], i), annotations[i]) for i in np.flatnonzero(sound).tolist()), report
    )
    annotations = list(annotations)
    for row in np.flatnonzero(inexact):
        corner, extent = clipped_start[row], clipped_end[row] - clipped_start[row]
        annotations[row] = {**annotations[row], "bbox": [*corner.tolist(), *extent.tolist()]}
    return [annotations[row] for row in np.flatnonzero(sound & ~off)]


def _unknown(missing: list[int], names: dict[int, str]) -> str:
    """What is wrong with annotations of categories that a file doesn't list.

    Args:
        missing: ids of these categories.
        names: of those that are listed, by id.
    """
    listed = some(f"{id_} ({name})" for id_, name in sorted(names.items()))
    return (
        f"annotations have a category that is not listed: {some(missing)}. "
        f"Listed are {listed or 'none'}: correct the category_id, or list the category"
    )


def _check_form(boxes: np.ndarray, limits: np.ndarray, report: Report) -> None:
    """Tell if all boxes are plainly something else than x, y, width and height in pixels.

    Args:
        boxes: (M, 4), finite.
        limits: (M, 2), width and height of their images.
        report: gets what is found.
    """
    if not len(boxes):
        return
    form = "a bbox is x, y, width and height in pixels"
    are_fractions = ((boxes > -0.01) & (boxes < 1.01)).all() and (boxes[:, 2:] > 0).any()
    if are_fractions and (limits > 2).all():
        report.add_whole(
            "error",
            f"all boxes lie between 0 and 1, so they are fractions of the image: {form}. Multiply "
            "x and width by its width, y and height by its height; where x and y are the box's "
            "centre, as in YOLO's format, subtract half of width and height as well",
        )
        return
    first, second = boxes[:, :2], boxes[:, 2:]
    fit_as_corners = ((first >= -1) & (second >= first) & (second <= limits + 1)).all(axis=1)
    with np.errstate(over="ignore"):
        far = (first + second > (1 + FAR_BEYOND) * limits).any(axis=1)
    if fit_as_corners.mean() >= MIN_CORNERS and far.mean() > MAX_FAR_BEYOND:
        report.add_whole(
            "error",
            f"{far.sum()} of {len(boxes)} boxes would reach far beyond their image, but lie "
            f"inside if they are x0, y0, x1 and y1: {form}. Write x1 - x0 and y1 - y0 for the last "
            "two",
        )


def _note_areas(annotations: Iterable[tuple[Any, dict[str, Any]]], report: Report) -> None:
    """Tell of areas by which an evaluation can't tell small objects from large ones."""
    unusable, large, usable = [], [], []
    for name, annotation in annotations:
        if "area" not in annotation:
            continue
        area = annotation["area"]
        of_box = annotation["bbox"][2] * annotation["bbox"][3]
        if not is_usable_area(area):
            unusable.append(name)
            continue
        usable.append((area, of_box))
        if area > MAX_AREA * of_box + 1:
            large.append(name)
    report.add("note", "areas are not between 0 and 1e10: that of the box counts", unusable)
    report.add("note", "areas are far above that of the box, and APs, APm, APl go by them", large)
    if usable and all(area == 1 < of_box for area, of_box in usable):
        report.add_whole(
            "note",
            "all areas are 1, so that all objects count as small in APs, APm and APl: remove "
            "'area' to have that of the box",
        )
