"""How many objects annotations lack, before anything is added."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from comining.annotations.coco_file import read_json
from comining.annotations.known import known_of
from comining.counted import counted

from .calibration import DRAWS, Calibration, calibrate
from .evidence import LOWEST, SAMPLED, UNDECIDED, WITHHELD, Evidence
from .evidence_file import read_evidence, with_decisions
from .folder import Folder
from .result import share_finished

logger = logging.getLogger(__name__)

#: From detections of one of these scores on, what is found is counted.
THRESHOLDS = np.linspace(LOWEST, 0.9, 16)
#: Where fewer withheld objects are found, it isn't known how many others aren't.
FEWEST_FOUND = 5


class Missing(NamedTuple):
    """Objects of a category that are not annotated.

    Attributes:
        name: of the category; of the sum, "all" or, of those that can be told, "all but unknown".
        annotated: how many objects are annotated.
        withheld: how many of them were kept from the training.
        found: how many of these were found.
        missing: how many others are expected to be there; None if that can't be told.
        low, high: between these, the number is expected with a probability of 90 %.
        is_consistent: whether detections of high scores alone tell about the same number. If not,
            new ones score lower than those on withheld objects: either what is missing is harder
            to see, and there is more of it, or some of it is none.
        finished: in what share of the images, in 0..1, the category is complete, so that nothing is
            missing there; of the sum, all categories.
    """

    name: str
    annotated: int
    withheld: int
    found: int
    missing: float | None = None
    low: float | None = None
    high: float | None = None
    is_consistent: bool = True
    finished: float = 0.0

    @property
    def why_unknown(self) -> str:
        """Why it can't be told how many are missing; empty if it can."""
        if self.missing is not None:
            return ""
        if not self.withheld:
            return "no box was withheld to measure by"
        return f"too few of the {self.withheld} withheld boxes were found ({self.found})"


class _Estimate(NamedTuple):
    """The number, and (DRAWS,) such as the evidence allows; how many withheld objects it is by."""

    missing: float
    found: int
    possible: np.ndarray


def audit_folder(path: str | Path, tell: Callable[[str], Any] = logger.warning) -> list[Missing]:
    """`audit` of what `comining complete` left in a folder, with what was decided in reviews.

    Args:
        path: the folder.
        tell: is told if the decisions are about something else, so that they aren't used.

    Raises:
        InputError: it isn't the folder of a finished completion.
    """
    folder = Folder(path)
    evidence = read_evidence(folder)
    dataset = read_json(folder.annotations)
    evidence = with_decisions(evidence, folder, dataset, tell)
    if judged := int((evidence.decided == SAMPLED).sum()):
        tell(f"going by your verdicts on {counted(judged, 'drawn boxes')}")
    annotated = Counter(x["category_id"] for x in dataset["annotations"] if not x.get("iscrowd"))
    categories = sorted(dataset["categories"], key=itemgetter("id"))
    names = [x["name"] for x in categories]
    rows = audit(evidence, names, [annotated[x["id"]] for x in categories])
    known, ids = known_of(dataset), [x["id"] for x in categories]
    of_rows = [[x] for x in ids] + [ids] * (len(rows) - len(ids))
    return [
        row._replace(finished=share_finished(known, x))
        for row, x in zip(rows, of_rows, strict=True)
    ]


def audit(evidence: Evidence, names: Sequence[str], annotated: Sequence[int]) -> list[Missing]:
    """Estimate for each category how many objects are not annotated.

    As ecologists count animals, of which some were marked: of the withheld objects, which the
    detector knows as little as the missing ones, it finds a share r with detections of score t and
    above. If R of the new detections of these scores are right, by a `Calibration` that isn't
    cautious, there are about R / r missing objects. Of all t the one is taken that leaves the least
    uncertainty. Detections are counted, not objects, so that an object that is detected twice is so
    on both sides.

    That holds if missing objects are found as often as withheld ones. People rather leave out what
    is hard to see, and so does a detector: the number is rather a lower bound. And detections that
    are on no object at all are taken for as rare as near to withheld objects. A review of a sample
    of the proposals tells how many are right without that assumption.

    Args:
        evidence: of the data set, with decisions if there are any.
        names: of the K classes.
        annotated: how many objects of each are annotated.

    Returns:
        For each class and, if there are several, for all that can be told together.
    """
    generator = np.random.default_rng(0)
    rows, possible = [], []
    for class_, (name, number) in enumerate(zip(names, annotated, strict=True)):
        of_class = evidence.of_class(class_)
        found = int((of_class.found_at >= THRESHOLDS[0]).sum())
        row = Missing(name, int(number), len(of_class.found_at), found)
        estimates = _estimates(of_class, calibrate(evidence, class_, cautious=False), generator)
        if estimates:
            best = min(estimates, key=_uncertainty)
            low, high = _interval(best.possible)
            row = row._replace(
                missing=best.missing, low=low, high=high, is_consistent=_agree(estimates)
            )
            possible.append(best.possible)
        rows.append(row)
    return [*rows, _total(rows, possible)] if len(possible) > 1 else rows


def _estimates(
    of_class: Evidence, calibration: Calibration, generator: np.random.Generator
) -> list[_Estimate]:
    """From the lowest threshold on, up to where too few withheld objects are found."""
    is_right_on_withheld = (of_class.near == WITHHELD) & of_class.right
    is_open = of_class.is_proposal & (of_class.decided == UNDECIDED)
    is_confirmed = of_class.is_proposal & (of_class.decided != UNDECIDED) & of_class.right
    withheld = len(of_class.found_at)
    estimates = []
    for threshold in THRESHOLDS:
        counts = of_class.scores >= threshold
        found = int((of_class.found_at >= threshold).sum())
        on_withheld = int((is_right_on_withheld & counts).sum())
        if min(found, on_withheld) < FEWEST_FOUND:
            break
        open_scores = of_class.scores[is_open & counts]
        confirmed = int((is_confirmed & counts).sum())
        # A share that is found is as uncertain as Jeffreys's prior says.
        shares = generator.beta(found + 0.5, withheld - found + 0.5, size=DRAWS)
        per_found = on_withheld / found
        right = calibration.possible_right(open_scores, generator) + confirmed
        expected = calibration.chance(open_scores).sum() + confirmed
        possible = _found_and_not(right / per_found, shares, generator)
        estimates.append(_Estimate(float(expected * withheld / on_withheld), found, possible))
    return estimates


def _found_and_not(
    found: np.ndarray, shares: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """How many objects there may be, of which so many are found as are found with these shares.

    That none is found above a score which few reach doesn't say that there is none.
    """
    return found + generator.negative_binomial(found + 0.5, shares)


def _agree(estimates: Sequence[_Estimate]) -> bool:
    """Whether the upper half of what is found tells no other number than all of it."""
    lowest = estimates[0]
    upper_half = [x for x in estimates if x.found >= lowest.found / 2][-1]
    return _interval(upper_half.possible)[1] >= _interval(lowest.possible)[0]


def _uncertainty(estimate: _Estimate) -> float:
    low, high = _interval(estimate.possible)
    return (high - low) / max(1.0, estimate.missing)


def _interval(possible: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(possible, (0.05, 0.95))
    return float(low), float(high)


def _total(rows: Sequence[Missing], possible: Sequence[np.ndarray]) -> Missing:
    known = [x for x in rows if not x.why_unknown]
    low, high = _interval(np.sum(possible, axis=0))
    sums = {
        field: sum(getattr(x, field) for x in known)
        for field in ("annotated", "withheld", "found", "missing")
    }
    name = "all" if len(known) == len(rows) else "all but unknown"
    return Missing(name=name, low=low, high=high, **sums)
