"""What has to change in a document for it to hold another data set of the same images."""

from __future__ import annotations

from typing import Any

from comining.annotations.completion import MINED
from comining.errors import InputError

from .document import ImageEdits, NewBox
from .geometry import turned_back
from .source import Source

#: Coordinates that differ by less, in pixels, are the same.
_SAME = 1e-6


def edits_of(source: Source, dataset: dict[str, Any]) -> list[ImageEdits]:
    """The edits that make of a source a data set, by image, of images that have any.

    Annotations are told by their ids. One that was mined and isn't any more, or the reverse, is
    removed and added anew, since formats keep these apart in their own ways. An image that is
    finished and that the source doesn't list has edits even without a box: it is to be listed.

    Raises:
        InputError: the data set has other images or categories than the source.
    """
    images = {x["id"]: x for x in source.dataset["images"]}
    _check_images(source, images, dataset)
    before = {x["id"]: x for x in source.dataset["annotations"]}
    names = _category_names(source, dataset)
    edits: dict[int, ImageEdits] = {}

    def of(image_id: int) -> ImageEdits:
        if image_id not in edits:
            if image_id not in images:
                raise InputError(
                    f"the data set to be written has the image {image_id}, which {source.path} "
                    "and its images lack: write one that was made of them"
                )
            edits[image_id] = _no_edits(source, images[image_id])
        return edits[image_id]

    left = set(before)
    for annotation in dataset["annotations"]:
        old = before.get(annotation.get("id"))
        if old is None or old["image_id"] != annotation["image_id"]:
            of(annotation["image_id"]).added.append(_new_box(source, images, annotation, names))
            continue
        left.discard(old["id"])
        if _same(old, annotation):
            continue
        new, ref = _new_box(source, images, annotation, names), source.refs[old["id"]]
        if (old.get("origin") == MINED) == (annotation.get("origin") == MINED):
            of(old["image_id"]).changed[ref] = new
        else:
            of(old["image_id"]).removed.add(ref)
            of(old["image_id"]).added.append(new)
    for id_ in left:
        of(before[id_]["image_id"]).removed.add(source.refs[id_])
    for image in dataset["images"]:
        if image.get("finished") and image["id"] not in source.keys:
            of(image["id"])
    return [edits[image_id] for image_id in images if image_id in edits]


def _check_images(
    source: Source, images: dict[int, dict[str, Any]], dataset: dict[str, Any]
) -> None:
    """Ids count images where a format has none of its own: added ones may have moved others."""
    for image in dataset["images"]:
        now = images.get(image["id"], {}).get("file_name", "gone")
        if now != image["file_name"]:
            raise InputError(
                f"{source.path} and its images are not those that the data set to be written was "
                f"made of: its image {image['id']} was {image['file_name']} and is {now} now: put "
                "them back as they were"
            )


def _category_names(source: Source, dataset: dict[str, Any]) -> dict[int, str]:
    names = {x["id"]: x["name"] for x in source.dataset["categories"]}
    for category in dataset["categories"]:
        if not source.document.categories and category["id"] not in names:
            names[category["id"]] = category["name"]  # they are those of the boxes that are there
        if names.get(category["id"]) != category["name"]:
            raise InputError(
                f"the data set to be written has the category {category['name']!r} with the id "
                f"{category['id']}, which {source.path} lacks: write one that was made of it"
            )
    return names


def _no_edits(source: Source, image: dict[str, Any]) -> ImageEdits:
    size = image["width"], image["height"]
    if image["id"] in source.orientations:
        size = size[1], size[0]
    return ImageEdits(source.keys.get(image["id"]), image["file_name"], size)


def _new_box(
    source: Source,
    images: dict[int, dict[str, Any]],
    annotation: dict[str, Any],
    names: dict[int, str],
) -> NewBox:
    image = images[annotation["image_id"]]
    x, y, width, height = annotation["bbox"]
    box = turned_back(
        (x, y, x + width, y + height),
        source.orientations.get(annotation["image_id"], 1),
        (image["width"], image["height"]),
    )
    is_mined = annotation.get("origin") == MINED
    return NewBox(
        label=names[annotation["category_id"]],
        box=box,
        score=float(annotation["score"]) if is_mined else None,
        record=annotation,
    )


def _same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if old["category_id"] != new["category_id"] or old.get("origin") != new.get("origin"):
        return False
    return all(abs(a - b) <= _SAME for a, b in zip(old["bbox"], new["bbox"], strict=True))
