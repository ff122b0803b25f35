"""What a user must know of annotations that are written in the format of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comining.annotations.formats import Source
from comining.counted import counted


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
    if not source.document.suffix:
        hints.append(
            f"it is laid out as {source.document.root}, without images: to use it, copy its files "
            "over those there, of which you may want to keep a copy"
        )
    return hints
