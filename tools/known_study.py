#!/usr/bin/env python
"""Make the annotation files of configs/studies/known.yaml from fully annotated ones.

python tools/known_study.py datasets/scenes/train_full.json

Beside the file, with the same images: train_known.json, half of whose boxes are missing but in a
finished tenth of the images; train_finished.json, that tenth alone; train_sources.json, two sources
of different categories put together; and train_unknown.json and train_merged.json, the first and
the third without a word about what is known.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.annotations.known import LISTS, known_of
from comining.annotations.sparse import encode, make_sparse

SEED = 0
FINISHED = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path, help="fully annotated, in COCO format")
    path = parser.parse_args().annotations
    full = read_json(path)
    for name, dataset in files_of(full, path.name).items():
        target = path.with_name(f"train_{name}.json")
        target.write_bytes(b"".join(encode(dataset)))
        number = sum(not x.get("iscrowd") for x in dataset["annotations"])
        print(f"{target}: {len(dataset['images'])} images, {number} boxes")


def files_of(full: dict[str, Any], file_name: str) -> dict[str, dict[str, Any]]:
    """The data sets, by name."""
    options: dict[str, Any] = {"seed": SEED, "file_name": file_name, "record_name": True}
    known = make_sparse(full, "hard", exhaustive_share=FINISHED, **options)
    sources = make_sparse(full, "class-subsets", sources=2, **options)
    finished = known_of(known).finished([x["id"] for x in full["categories"]])
    return {
        "known": known,
        "unknown": _without_knowledge(known),
        "finished": {
            **full,
            "images": [x for x in full["images"] if x["id"] in finished],
            "annotations": [x for x in full["annotations"] if x["image_id"] in finished],
        },
        "sources": sources,
        "merged": _without_knowledge(sources),
    }


def _without_knowledge(dataset: dict[str, Any]) -> dict[str, Any]:
    images = [{k: v for k, v in x.items() if k not in LISTS} for x in dataset["images"]]
    return {**dataset, "images": images}


if __name__ == "__main__":
    main()
