"""What a sparse annotation file leaves out, where its full original is at hand."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from comining.counted import counted
from comining.errors import InputError

from .coco_file import read_coco


def full_original(dataset: dict[str, Any], json_file: str | Path) -> Path | None:
    """The file that a data set is a sparse version of.

    Args:
        dataset: a data set in COCO format.
        json_file: what it was read from. The original belongs into the same folder.

    Returns:
        None if the data set names no original: it is no sparse version, or was made without
        ``--record-name``.
    """
    info = dataset.get("info")
    sparse = info.get("sparse") if isinstance(info, dict) else None
    name = sparse.get("input") if isinstance(sparse, dict) else None
    name = Path(name).name if isinstance(name, str) else ""
    return Path(json_file).with_name(name) if name else None


def read_original(original_file: str | Path) -> dict[str, Any]:
    """A full original, checked.

    Raises:
        InputError: it can't be read.
    """
    original, report = read_coco(original_file)
    if report.is_fatal:
        raise InputError(
            f"what was withheld can't be told: correct the original or move it away. {report}"
        )
    return original


def withheld_annotations(
    dataset: dict[str, Any], original_file: str | Path, original: dict[str, Any] | None = None
) -> dict[int, list[dict[str, Any]]]:
    """The annotations that a data set made by `comining.annotations.sparse.make_sparse` lacks.

    Args:
        dataset: the sparse data set.
        original_file: its full original.
        original: what `read_original` makes of that, if it was read before.

    Returns:
        By image id, the COCO annotations that only the original has, without crowds.

    Raises:
        InputError: the original can't be read, annotations of either have no id, or an id stands
            for annotations of different images or categories.
    """
    withheld: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    if original is None:
        original = read_original(original_file)
    for data, name in (
        (dataset, f"the sparse version of {original_file}"),
        (original, original_file),
    ):
        number = sum("id" not in x for x in data["annotations"])
        if number:
            raise InputError(
                f"{name}: {counted(number, 'annotations have')} no 'id', so that what was withheld "
                "can't be told: give each the same id in both files"
            )
    known = {annotation["id"]: _what(annotation) for annotation in dataset["annotations"]}
    for annotation in original["annotations"]:
        id_ = annotation["id"]
        if id_ not in known:
            if not annotation.get("iscrowd"):
                withheld[annotation["image_id"]].append(annotation)
        elif known[id_] != _what(annotation):
            raise InputError(
                f"{original_file} is not what its sparse version was made of: the annotation {id_} "
                "is on another image or of another category there. Put the original back, make "
                "the sparse version anew or, to train without a look at what was withheld, move "
                f"{original_file} away"
            )
    return withheld


def _what(annotation: dict[str, Any]) -> tuple[int, int]:
    return annotation["image_id"], annotation["category_id"]
