"""Annotations of any known format as a COCO file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from comining.errors import InputError
from comining.output_file import check_output, write_atomically

from .coco_file import read_categories
from .formats import Source, read_annotations
from .known import LISTS
from .sparse import encode


def convert(
    images: Path,
    annotations: Path,
    output: Path,
    *,
    categories_of: Path | None = None,
    listed_only: bool = False,
) -> Source:
    """Write annotations as a COCO file.

    Args:
        images: folder of the images.
        annotations: a file or folder in one of the formats of `comining.annotations.formats`.
        output: the file to write.
        categories_of: a COCO file that lists all of their categories, whose ids are taken.
        listed_only: whether images that the annotations don't list are left out.

    Returns:
        What was read.

    Raises:
        InputError: the annotations can't be used, or the file can't be written.
    """
    check_output(output, annotations, *([categories_of] if categories_of else []))
    source = read_annotations(annotations, images, listed_only=listed_only)
    dataset = source.dataset
    if categories_of is not None:
        dataset = with_categories(dataset, read_categories(categories_of), str(categories_of))
    write_atomically(output, lambda file: file.writelines(encode(dataset)))
    return source


def with_categories(
    dataset: Mapping[str, Any], categories: Sequence[dict[str, Any]], listed_by: str
) -> dict[str, Any]:
    """A COCO data set with other categories in place of its own, which are told by their names.

    Args:
        dataset: is not changed.
        categories: of these names at least.
        listed_by: what a message says lists them.

    Raises:
        InputError: they lack a category of the data set.
    """
    ids = {x["name"]: x["id"] for x in categories}
    lacking = [x["name"] for x in dataset["categories"] if x["name"] not in ids]
    if lacking:
        raise InputError(
            f"{listed_by} lacks the category {lacking[0]!r}: its categories are {', '.join(ids)}"
        )
    new = {None: None, **{x["id"]: ids[x["name"]] for x in dataset["categories"]}}

    def renumbered(record: Mapping[str, Any]) -> dict[str, Any]:
        lists = {key: record[key] for key in LISTS if isinstance(record.get(key), list)}
        return {**record, **{key: [new[x] for x in those] for key, those in lists.items()}}

    result = {
        **dataset,
        "images": [renumbered(x) for x in dataset["images"]],
        "annotations": [
            {**x, "category_id": new[x["category_id"]]} for x in dataset["annotations"]
        ],
        "categories": list(categories),
    }
    if isinstance(dataset.get("info"), dict):
        result["info"] = renumbered(dataset["info"])
    return result
