"""What a sparse annotation file leaves out, where its full original is at hand."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from comining.errors import InputError


def withheld_annotations(json_file: str | Path) -> dict[int, list[dict[str, Any]]]:
    """The annotations that a file made by `comining.data.sparse.make_sparse` lacks.

    Args:
        json_file: the sparse file. Its full original, which it names, lies in the same folder.

    Returns:
        By image id, the COCO annotations that only the original has.

    Raises:
        InputError: the file is not a sparse version of another, or that is not beside it.
    """
    json_file = Path(json_file)
    sparse = json.loads(json_file.read_text())
    name = sparse.get("info", {}).get("sparse", {}).get("input")
    if name is None:
        raise InputError(
            f"{json_file} does not say what it is a sparse version of: make it with "
            "make_sparse_coco.py --record-name"
        )
    original_file = json_file.with_name(Path(name).name)
    if not original_file.is_file():
        raise InputError(f"{json_file} is a sparse version of {original_file}: put that beside it")
    known = {annotation["id"] for annotation in sparse["annotations"]}
    withheld: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in json.loads(original_file.read_text())["annotations"]:
        if annotation["id"] not in known:
            withheld[annotation["image_id"]].append(annotation)
    return withheld
