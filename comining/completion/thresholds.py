"""From which score on detections are added, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .calibration import calibrate
from .evidence import LOWEST, UNDECIDED, Evidence

#: Fewer new boxes are not worth a lower precision.
SOME = 10


class Chosen(NamedTuple):
    """What is added of a class.

    Attributes:
        threshold: the lowest score; infinite if none is enough.
        precision: the expected share of right ones among what is added; NaN if nothing is.
        recall: the share of withheld objects of the class that is found; NaN without any.
        precision_low, precision_high: between these, the share of right ones is expected with a
            probability of 90 %; NaN if nothing is added.
        best: the highest share of right ones that is expected among the `SOME` or more best new
            boxes; NaN if there are fewer.
    """

    threshold: float
    precision: float
    recall: float
    precision_low: float = np.nan
    precision_high: float = np.nan
    best: float = np.nan


def choose(evidence: Evidence, num_classes: int, precision: float) -> list[Chosen]:
    """Thresholds from which on new boxes are expected to have a wanted precision.

    Where an object is known, it is known what should be detected there. So detections near to
    withheld boxes, whose places were no part of the training, tell by their scores how many have
    the right class and place: `Calibration`. The new boxes that score at least t are expected to
    have the mean of what theirs say, and as many are added as keep the wanted one. Boxes that a
    person decided about are as was decided, whatever their scores.

    Args:
        evidence: of the data set.
        num_classes: K.
        precision: the wanted share of right ones among the new boxes, in (0, 1].

    Returns:
        For each class.
    """
    generator = np.random.default_rng(0)
    return [_choose(evidence, class_, precision, generator) for class_ in range(num_classes)]


def is_added(evidence: Evidence, thresholds: Sequence[float]) -> np.ndarray:
    """(M,) bool, which detections are added at the thresholds of the K classes."""
    scores_enough = evidence.scores >= np.array(thresholds)[evidence.classes]
    is_undecided = evidence.decided == UNDECIDED
    return evidence.is_proposal & np.where(is_undecided, scores_enough, evidence.right)


def _choose(
    evidence: Evidence, class_: int, wanted: float, generator: np.random.Generator
) -> Chosen:
    of_class = evidence.of_class(class_)
    is_open = of_class.is_proposal & (of_class.decided == UNDECIDED)
    confirmed = of_class.is_proposal & (of_class.decided != UNDECIDED) & of_class.right
    calibration = calibrate(evidence, class_)
    open_scores = np.sort(of_class.scores[is_open])[::-1]
    expected_above = np.cumsum(calibration.chance(open_scores)) / np.arange(1, is_open.sum() + 1)
    best = float(expected_above[SOME - 1 :].max(initial=0)) or np.nan
    threshold = _threshold(open_scores, expected_above, wanted)
    recall = of_class.recall(threshold)
    added = of_class.scores[is_open & (of_class.scores >= threshold)]
    number = len(added) + confirmed.sum()
    if number == 0:
        return Chosen(threshold, np.nan, recall, best=best)
    expected = (calibration.chance(added).sum() + confirmed.sum()) / number
    possible = (calibration.possible_right(added, generator) + confirmed.sum()) / number
    low, high = np.quantile(possible, (0.05, 0.95))
    return Chosen(threshold, float(expected), recall, float(low), float(high), best)


def _threshold(scores: np.ndarray, expected_above: np.ndarray, wanted: float) -> float:
    """The lowest of descending scores from which on the wanted precision is expected."""
    if len(scores) == 0:  # whatever the threshold, nothing is left out
        return LOWEST
    is_last_of_equals = np.append(np.diff(scores) != 0, True)
    reached = np.flatnonzero((expected_above >= wanted) & is_last_of_equals)
    return float(scores[reached[-1]]) if len(reached) else np.inf
