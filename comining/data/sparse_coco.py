"""The paper's training sets: COCO, sparsely annotated."""

from __future__ import annotations

from pathlib import Path

#: Name, annotation file below ``coco/annotations``; the images are those of ``coco/train2017``.
SPARSE_COCO = {
    "coco_2017_train_full": "instances_train2017.json",
    "coco_2017_train_easy": "instances_train2017_easy.json",
    "coco_2017_train_hard": "instances_train2017_hard.json",
    "coco_2017_train_extreme": "instances_train2017_extreme.json",
    "coco_missing_50p": "coco_missing_50p.json",
}
#: By name, what ``comining sparsify`` is to do for it.
PROTOCOLS = {
    "coco_2017_train_easy": "easy",
    "coco_2017_train_hard": "hard",
    "coco_2017_train_extreme": "extreme",
    "coco_missing_50p": "miss --percent 50",
}


def how_sparsified(name: str, json_file: Path) -> str:
    """The command that makes the annotation file of a data set, if there is one."""
    if name not in PROTOCOLS:
        return ""
    full = json_file.with_name(SPARSE_COCO["coco_2017_train_full"])
    return (
        f"; `comining sparsify --annotations {full} --protocol {PROTOCOLS[name]} --seed 0 "
        f"--record-name --output {json_file}` makes it"
    )
