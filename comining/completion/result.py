"""What a completion reports."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.annotations.known import Known, known_of
from comining.counted import counted

from .evidence import Evidence
from .folder import Folder
from .thresholds import Chosen, is_added

#: Little was found if a smaller share of the withheld boxes was, or the boxes that are added are
#: fewer than this share of the annotated ones.
FEW_FOUND, FEW_ADDED = 0.3, 0.05


def category_rows(
    dataset: Mapping[str, Any],
    evidence: Evidence,
    chosen: Sequence[Chosen],
    category_ids: Sequence[int],
) -> list[dict[str, Any]]:
    """For each category what `comining.Completion` says of it."""
    annotated = Counter(x["category_id"] for x in dataset["annotations"] if not x.get("iscrowd"))
    names = {x["id"]: x["name"] for x in dataset["categories"]}
    added = is_added(evidence, [x.threshold for x in chosen])
    known = known_of(dataset)
    rows = []
    for class_, (id_, choice) in enumerate(zip(category_ids, chosen, strict=True)):
        rows.append(
            {
                "name": names[id_],
                "annotated": annotated[id_],
                "finished": share_finished(known, [id_]),
                "added": int((added & (evidence.classes == class_)).sum()),
                **_expected(choice),
                "recall": _known(choice.recall),
                "threshold": _known(choice.threshold),
                "best": _known(choice.best),
            }
        )
    return rows


def _expected(choice: Chosen) -> dict[str, float | None]:
    """What is expected of what was added; nothing where that is what somebody accepted alone."""
    is_chosen = math.isfinite(choice.threshold)
    return {
        name: _known(getattr(choice, name)) if is_chosen else None
        for name in ("precision", "precision_low", "precision_high")
    }


def share_finished(known: Known, category_ids: Collection[int]) -> float:
    """In what share of the images all of these categories were complete before."""
    return len(known.finished(category_ids)) / max(1, len(known.exhaustive))


def interval_text(row: Mapping[str, Any]) -> str:
    """The interval of a category's precision; empty if nothing was added."""
    low, high = row["precision_low"], row["precision_high"]
    return "" if low is None or high is None else f"{100 * low:.0f}-{high:.0%}"


def summary(
    num_images: int,
    annotated: int,
    rows: Sequence[Mapping[str, Any]],
    recall: float | None,
    finished: float = 0.0,
) -> str:
    """What was found, in two or three sentences.

    Args:
        num_images, annotated: how many images, and annotated boxes in them.
        rows: of the categories.
        recall: the share of withheld boxes found, in 0..1.
        finished: the share of the images that were finished before, in 0..1.
    """
    added = sum(row["added"] for row in rows)
    is_chosen = any(row["threshold"] is not None for row in rows)
    text = (
        f"{counted(num_images, 'images')} had {counted(annotated, 'annotated boxes')}; "
        f"{counted(added, 'boxes were added')}"
    )
    if added and not is_chosen:
        text += ", those that you accepted"
    right = sum(row["added"] * row["precision"] for row in rows if row["precision"] is not None)
    if added and is_chosen:
        text += f", of which about {right / added:.0%} are expected to be right"
    if recall is not None and is_chosen:
        text += (
            f". Of the annotated boxes that were withheld to measure by, {recall:.0%} were found"
        )
    text = f"{text}."
    if finished or any(row.get("finished") for row in rows):
        text += f" {finished:.0%} of the images were finished before, to which nothing was added"
        if any(row.get("finished") != finished for row in rows):
            text += ", nor to others the categories that were"
        text += "."
    return text


def advice(rows: Sequence[Mapping[str, Any]], recall: float | None) -> str:
    """Why little was found and what would help; empty if much was."""
    with_new = [row for row in rows if row.get("best") is not None]
    if with_new and all(row["threshold"] is None for row in with_new):
        best = math.floor(100 * max(row["best"] for row in with_new)) / 100
        return (
            "No score reaches the wanted precision: of the boxes that could be added at most "
            f"{best:.0%} are expected to be right. --precision {best:g} would add some."
        )
    added = sum(row["added"] for row in rows)
    annotated = sum(row["annotated"] for row in rows)
    if added > FEW_ADDED * annotated and (recall is None or recall >= FEW_FOUND):
        without = [
            row["name"]
            for row in rows
            if row["annotated"] and not row["added"] and row.get("finished", 0) < 1
        ]
        if not without:
            return ""
        return (
            f"Nothing was added of {', '.join(without)}: more time (--minutes) or more annotated "
            "boxes of that kind may help."
        )
    if recall is not None and recall > 0.7:
        return (
            "Little was added, though most of the withheld boxes were found: the annotations may "
            "be nearly complete."
        )
    if recall is None:
        return (
            "Little was found: there are too few boxes to learn from, and none could be withheld "
            "to measure by. Annotate some more images."
        )
    return (
        f"Little was found: with the wanted precision, {recall:.0%} of the withheld boxes. More "
        "time (--minutes), more annotated boxes or a lower --precision would help."
    )


def next_steps(output: Path, rows: Sequence[Mapping[str, Any]], judged: int) -> list[str]:
    """What to do with a finished completion, in a line each.

    Args:
        output: its folder.
        rows: of the categories.
        judged: how many drawn boxes were judged.
    """
    is_found = any(row["threshold"] is not None for row in rows)
    steps = [f"Next: comining {'review' if is_found or not judged else 'accept'} {output}"]
    if not judged:
        steps.append(
            "Withheld boxes can't show what merely looks like an object. To be surer, judge 40 "
            f"boxes (comining review {output} --sample 40), and give this command again."
        )
    return steps


def read_result(folder: Folder) -> dict[str, Any]:
    """What a finished completion has left in its folder, by the names of `Completion`."""
    result = read_json(folder.result)
    result["written"] = folder.path / result["written"]
    result["unreadable"] = {int(id_): why for id_, why in result["unreadable"].items()}
    return {"folder": folder.path, "dataset": read_json(folder.completed), **result}


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
