"""The evidence of a completion in its folder, and what a person decided since."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import islice
from typing import Any
from zipfile import BadZipFile

import numpy as np

from comining.annotations.completion import complete as add_mined
from comining.annotations.decisions import read_decisions
from comining.annotations.ids import free_ids
from comining.counted import counted
from comining.errors import InputError
from comining.output_file import write_atomically

from .evidence import DECIDED, SAMPLED, Evidence
from .folder import Folder
from .proposals import read_proposals, verdicts, with_proposals
from .review_files import read_source, unfinished
from .sample import read_samples


def proposal_ids(evidence: Evidence, dataset: Mapping[str, Any]) -> np.ndarray:
    """(M,) int64, the id of the annotation that a detection would become; -1 for no proposal.

    They don't depend on which are added.
    """
    free = free_ids(dataset["annotations"])
    ids = np.full(len(evidence.scores), -1)
    ids[evidence.is_proposal] = list(islice(free, int(evidence.is_proposal.sum())))
    return ids


def new_boxes(
    evidence: Evidence, rows: np.ndarray, ids: np.ndarray, category_ids: Sequence[int]
) -> dict[int, list[dict[str, Any]]]:
    """By image id, detections as `annotations.completion.complete` wants them.

    Args:
        evidence: M detections.
        rows: (M,) bool, which ones.
        ids: (M,) int64, as `proposal_ids` gives them.
        category_ids: of the K classes.
    """
    added = defaultdict(list)
    for row in np.flatnonzero(rows):
        added[int(evidence.image_ids[row])].append(
            {
                "id": int(ids[row]),
                "category_id": category_ids[evidence.classes[row]],
                "score": float(evidence.scores[row]),
                "box": evidence.boxes[row].tolist(),
            }
        )
    return added


def write_evidence(
    folder: Folder, evidence: Evidence, dataset: dict[str, Any], category_ids: Sequence[int]
) -> None:
    """Write ``evidence.npz`` and, as annotations with ids, all that may be added:
    ``proposals.json``."""
    new = new_boxes(evidence, evidence.is_proposal, proposal_ids(evidence, dataset), category_ids)
    completed = add_mined(dataset, new, {})
    proposals = completed["annotations"][len(dataset["annotations"]) :]
    text = json.dumps(proposals, separators=(",", ":"))
    write_atomically(folder.proposals, lambda file: file.write(text.encode()))
    buffer = BytesIO()
    np.savez_compressed(buffer, **evidence._asdict())
    write_atomically(folder.evidence, lambda file: file.write(buffer.getvalue()))


def read_evidence(folder: Folder) -> Evidence:
    """What `write_evidence` wrote.

    Raises:
        InputError: it isn't there or can't be used.
    """
    source = read_source(folder.path)
    if not folder.evidence.exists():
        raise unfinished(folder.path, source)
    try:
        with np.load(folder.evidence, allow_pickle=False) as arrays:
            return Evidence(**arrays)
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise InputError(
            f"{folder.evidence} can't be read: the `comining complete` command that wrote it "
            "makes it anew"
        ) from error


def check_undecided(folder: Folder, dataset: dict[str, Any]) -> None:
    """Check that no decision would be lost by training anew, which makes other proposals.

    Args:
        folder: of the completion.
        dataset: what is completed.

    Raises:
        InputError: something was decided about proposals.
    """
    if not (folder.decisions.exists() and folder.proposals.exists()):
        return
    proposals = read_proposals(folder.proposals)
    decisions = read_decisions(folder.decisions, with_proposals(dataset, proposals))
    # One that was undone stays in the file, where it would be about a box that is gone.
    named = {x.get("id") for x in decisions.records} & {x["id"] for x in proposals}
    if number := len(verdicts(decisions, proposals).keys() | named):
        raise InputError(
            f"{folder.decisions} holds {counted(number, 'decisions')} about boxes, which a new "
            "training would not find again as they are; without other --minutes and settings than "
            "before, nothing is trained anew. To keep what was decided, `comining accept "
            f"{folder.path}` and complete the result into another folder; to do without, move the "
            "decisions away"
        )


def with_decisions(
    evidence: Evidence, folder: Folder, dataset: dict[str, Any], tell: Callable[[str], Any]
) -> Evidence:
    """The evidence with what a folder's ``decisions.jsonl`` says about proposals.

    Args:
        evidence: of the folder.
        folder: of the completion. A sample of it counts as one once half of it is judged.
        dataset: what was completed.
        tell: is told if the decisions are about something else, so that they aren't used.
    """
    if not folder.decisions.exists():
        return evidence
    proposals = read_proposals(folder.proposals)
    try:
        decisions = read_decisions(folder.decisions, with_proposals(dataset, proposals))
    except InputError as error:
        tell(f"What was decided isn't used: {error}")
        return evidence
    by_id = verdicts(decisions, proposals)
    judged: set[int] = set()
    for sample in read_samples(folder.sample):
        # What follows for others from an image that is finished was not drawn by chance.
        of_sample = set(sample) & decisions.outcomes().keys()
        if 2 * len(of_sample) >= len(sample):  # fewer don't stand for all
            judged |= of_sample
    right, decided = evidence.right.copy(), evidence.decided.copy()
    for row, id_ in enumerate(proposal_ids(evidence, dataset).tolist()):
        if id_ in by_id:
            right[row] = by_id[id_]
            decided[row] = SAMPLED if id_ in judged else DECIDED
    return evidence._replace(right=right, decided=decided)
