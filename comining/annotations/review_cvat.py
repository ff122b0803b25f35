"""A completed data set to CVAT, and the boxes of its export."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import Any

from comining.errors import InputError

from .exchange_boxes import ExportedBox, ReviewedBox, upright_boxes
from .exchange_fields import as_key, as_number, is_true, records
from .exchange_images import ImageNames, portable_name
from .ids import numbered
from .report import Report


def cvat_dataset(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """A data set as CVAT's import of the format COCO 1.0 wants it.

    CVAT refuses annotations without ``id``, ``iscrowd`` or ``segmentation`` and makes polygons or
    masks of those that have one. Here all are boxes. Categories are counted from 1, since 0 means
    no label there. ``origin`` goes into ``attributes``, since CVAT reads only those and ``score``
    besides, and keeps what its labels declare.

    Raises:
        InputError: files differ in nothing but the ending of their names, or are listed twice: CVAT
            would keep the boxes of one of them.
    """
    _check_stems(dataset)
    new_ids = {x["id"]: number for number, x in enumerate(dataset["categories"], 1)}
    annotations = []
    for x in numbered(dataset["annotations"]):
        if x["category_id"] is None:  # a region to ignore, of all categories: CVAT has no such
            continue
        annotation = {
            "id": x["id"],
            "image_id": x["image_id"],
            "category_id": new_ids[x["category_id"]],
            "bbox": x["bbox"],
            "area": x["bbox"][2] * x["bbox"][3],
            "segmentation": [],
            "iscrowd": int(is_true(x.get("iscrowd"))),
            "attributes": {"origin": x.get("origin") or "annotated"},
        }
        if as_number(x.get("score")) is not None:
            annotation["score"] = as_number(x["score"])
        annotations.append(annotation)
    images = [
        {**{k: x[k] for k in ("id", "width", "height")}, "file_name": portable_name(x["file_name"])}
        for x in dataset["images"]
    ]
    categories = [{"id": new_ids[x["id"]], "name": x["name"]} for x in dataset["categories"]]
    return {"images": images, "categories": categories, "annotations": annotations}


def _check_stems(dataset: Mapping[str, Any]) -> None:
    of_stem = defaultdict(list)
    for image in dataset["images"]:
        of_stem[posixpath.splitext(portable_name(image["file_name"]))[0]].append(image)
    for same in of_stem.values():
        if len(same) > 1:
            named = ", ".join(f"{x['file_name']} (id {x['id']})" for x in same)
            raise InputError(
                f"{named}: CVAT knows images by their names without the ending, and would keep the "
                "boxes of one of these. Merge the entries of a file that is listed several times, "
                "rename files that differ in the ending alone, or review in Label Studio"
            )


def read_cvat(
    export: Mapping[str, Any], dataset: Mapping[str, Any], report: Report
) -> dict[int, list[ReviewedBox]]:
    """What CVAT exports as COCO 1.0 of the images of a data set.

    CVAT counts images and labels anew, so these are matched by name. All images of the export
    count as reviewed. Rotated rectangles become the upright ones around them; of polygons, ellipses
    and masks, CVAT itself exports the boxes.

    Args:
        export: in COCO format.
        dataset: what it was made of.
        report: gets what was repaired, and an error for each kind of thing that can't be used: an
            image that is not one of the data set's, ambiguous or of another size, a box without a
            known label or without four numbers.

    Returns:
        By the data set's own id, the boxes of each image of the export; right if the report has no
        error.

    Raises:
        InputError: the export has another form, or is one that Label Studio made.
    """
    info = export.get("info")
    if isinstance(info, Mapping) and info.get("contributor") == "Label Studio":
        raise InputError(
            f"{report.json_file} is Label Studio's export as COCO, which lists tasks that "
            "nobody has reviewed as images without boxes: export as JSON"
        )
    images, categories, annotations = (
        records(export, key, report.json_file) for key in ("images", "categories", "annotations")
    )
    if not images:
        raise InputError(f"{report.json_file} lists no images: export what was reviewed")
    report.num_images, report.num_annotations = len(images), len(annotations)
    report.num_categories = len({str(x.get("name")) for x in categories})
    matched = _match_images(images, dataset, report)
    exported = _exported_boxes(annotations, matched, _labels(categories, report), report)
    boxes = upright_boxes(exported, (x["name"] for x in dataset["categories"]), report)
    return {x["id"]: boxes.get(x["id"], []) for x in matched.values() if x}


def _match_images(
    images: list[Mapping[str, Any]], dataset: Mapping[str, Any], report: Report
) -> dict[Hashable, Mapping[str, Any] | None]:
    """By its id in the export, the data set's image, or None if there is none to be told."""
    names = ImageNames(dataset["images"])
    matched: dict[Hashable, Mapping[str, Any] | None] = {}
    name_of: dict[int, str] = {}
    found = defaultdict(list)
    for image in images:
        key, name = as_key(image.get("id")), image.get("file_name")
        if key is None or not isinstance(name, str):
            found["images have no id or no file name: export again"].append(f"{key}: {name}")
            continue
        if key in matched:
            found["images have the id of another one: export again"].append(f"{name}: id {key}")
            continue
        matched[key] = None
        candidates = names.find(name)
        if not candidates:
            found[_STRANGE.format("missing in the data set")].append(name)
        elif len(candidates) > 1:
            ids = ", ".join(str(x["id"]) for x in candidates)
            found[_STRANGE.format("ambiguous in the data set")].append(f"{name}: ids {ids}")
        elif (id_ := candidates[0]["id"]) in name_of:
            found[_STRANGE.format("there already by another name")].append(
                f"{name_of[id_]} and {name}"
            )
        else:
            matched[key], name_of[id_] = candidates[0], name
            if size := _other_size(image, candidates[0]):
                found["images have another size than in the data set: use the same files"].append(
                    f"{name}: {size}"
                )
    for text, offenders in found.items():
        report.add("error", text, offenders)
    return matched


_STRANGE = "images are {}: export nothing but what was imported"


def _other_size(image: Mapping[str, Any], own: Mapping[str, Any]) -> str | None:
    width, height = (as_number(image.get(x)) for x in ("width", "height"))
    if not width or not height or (width, height) == (own["width"], own["height"]):
        return None
    return f"{width:g}x{height:g}, not {own['width']}x{own['height']}"


def _labels(categories: list[Mapping[str, Any]], report: Report) -> dict[Hashable, str]:
    labels: dict[Hashable, str] = {}
    ambiguous = []
    for category in categories:
        key, name = as_key(category.get("id")), str(category.get("name"))
        if key is None:
            continue  # whatever has this category has no label
        if labels.setdefault(key, name) != name:
            ambiguous.append(f"id {key}: {labels[key]} and {name}")
    report.add("error", "categories have the id of another one: export again", ambiguous)
    return labels


def _exported_boxes(
    annotations: list[Mapping[str, Any]],
    images: Mapping[Hashable, Mapping[str, Any] | None],
    labels: Mapping[Hashable, str],
    report: Report,
) -> list[ExportedBox]:
    boxes, lost, outside, outlined = [], [], [], []
    for number, x in enumerate(annotations):
        name = f"annotation {x['id']}" if x.get("id") is not None else f"entry {number}"
        key = as_key(x.get("image_id"))
        image = images.get(key)
        if image is None:
            if key not in images:
                lost.append(f"{name}: image_id {x.get('image_id')!r}")
            continue
        name += f" of {image['file_name']}"
        attributes = x.get("attributes")
        attributes = attributes if isinstance(attributes, Mapping) else {}
        if is_true(attributes.get("outside")):
            outside.append(name)
            continue
        if x.get("segmentation"):
            outlined.append(name)
        label = labels.get(as_key(x.get("category_id")))
        bbox = x.get("bbox")
        boxes.append(
            ExportedBox(
                name,
                image,
                [] if label is None else [label],
                bbox if isinstance(bbox, list) else [],
                (1, 1),
                # Where there is an outline, the box is that of the turned one.
                None if x.get("segmentation") else attributes.get("rotation"),
                (0.5, 0.5),
            )
        )
    report.add("error", "annotations are of no image of the export: export again", lost)
    report.add("note", "boxes are outside of the image, as CVAT's tracks tell: left out", outside)
    report.add("note", "annotations have an outline: the box around it comes back", outlined)
    return boxes
