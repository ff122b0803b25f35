"""What a user must know of annotations, and of what was decided about them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from comining.annotations.completion import MINED
from comining.annotations.formats import Source
from comining.annotations.image_files import cut_off_files
from comining.annotations.report import some
from comining.counted import counted

from .evidence import SAMPLED, Evidence


def of_doubtful(dataset: Mapping[str, Any]) -> list[str]:
    """What may be a mistake in the categories of a data set, or in its boxes."""
    spelt = defaultdict(list)
    for x in dataset["categories"]:
        spelt[" ".join(x["name"].casefold().split())].append(x["name"])
    hints = [
        f"the categories {' and '.join(map(repr, names))} look like one: if so, give them one name"
        for names in spelt.values()
        if len(names) > 1
    ]
    boxes = [x for x in dataset["annotations"] if not x.get("iscrowd")]
    shown = {x["category_id"] for x in boxes}
    if without := [x["name"] for x in dataset["categories"] if x["id"] not in shown]:
        hints.append(f"nothing can be learnt of categories without a box: {some(without)}")
    places = Counter((x["image_id"], x["category_id"], *map(round, x["bbox"])) for x in boxes)
    if twice := sum(places.values()) - len(places):
        hints.append(counted(twice, "boxes are where another one of their category is"))
    if mined := sum(x.get("origin") == MINED for x in boxes):
        text = "boxes are taken for annotated, though a program added them and nobody accepted them"
        hints.append(counted(mined, text))
    return hints


def of_cut_off(source: Source, images: Path) -> list[str]:
    """Which images end too early to be read."""
    names = cut_off_files((x["file_name"] for x in source.dataset["images"]), images)
    text = f"images are cut off and will be left out, unless you replace them: {some(names)}"
    return [counted(len(names), text)] if names else []


def of_decided(evidence: Evidence) -> list[str]:
    """How decisions count in what is added."""
    hints = []
    if number := int(np.count_nonzero(evidence.decided)):
        hints.append(f"what you decided about {counted(number, 'boxes')} stays so")
    if number := int((evidence.decided == SAMPLED).sum()):
        hints.append(f"your verdicts on {counted(number, 'drawn boxes')} tell what else is added")
    return hints


def of_unlisted(source: Source) -> list[str]:
    """What to do before images are completed that Label Studio has no tasks of."""
    if source.format != "label_studio" or not source.unlisted:
        return []
    text = (
        "images are not among Label Studio's tasks, and it can't load boxes of images without one: "
        "import them into its project and export again first, or leave them out with --listed-only"
    )
    return [counted(source.unlisted, text)]


def of_accepted(
    source: Source, dataset: Mapping[str, Any], *, coco: Path, is_coco_written: bool
) -> list[str]:
    """What becomes of accepted annotations that are in no COCO file.

    Args:
        source: in whose format they are.
        dataset: the same in COCO format.
        coco: its file.
        is_coco_written: whether it was written, too.
    """
    hints = []
    finished = {x["id"] for x in dataset["images"] if x.get("finished")}
    if is_coco_written:
        alone = ", which alone tells which images are finished" if finished else ""
        hints.append(f"the same as a COCO file{alone}: {coco}")
    elif finished:
        hints.append(
            "which images are finished is kept in a COCO file alone: without --output, "
            f"`comining accept` writes it, too, as {coco}"
        )
    written = finished | {x["image_id"] for x in dataset["annotations"]}
    new = len(written - source.keys.keys())
    if source.format == "label_studio" and new:
        text = (
            "tasks are new, with no more than the file name of their image, which Label Studio "
            "can't load: put its address there, as the other tasks have it"
        )
        hints.append(counted(new, text))
    if source.format == "yolo" and any(x.get("origin") == MINED for x in dataset["annotations"]):
        hints.append("its format has no mark for mined boxes: there they look like all others")
    if not source.document.suffix:
        hints.append(
            f"it is laid out as {source.document.root}, without images: to use it, copy its files "
            "over those there, of which you may want to keep a copy"
        )
    return hints
