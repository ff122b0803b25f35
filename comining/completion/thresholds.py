"""From which score on detections are added, and how sure they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .evidence import ANNOTATED, NEW, WITHHELD, Evidence

#: Boxes of lower scores are never added.
LOWEST = 0.15
#: So many detections near withheld boxes tell the precision by themselves.
ENOUGH = 30
#: Of those that score like the threshold, most are to be right, too: this share of the wanted.
LOCAL = 0.75
#: What is nearest to a score, in detections.
NEIGHBOURS = 20


class Chosen(NamedTuple):
    """What is added of a class.

    Attributes:
        threshold: the lowest score; infinite if nothing is added.
        precision: the expected share of right ones among what is added; NaN if nothing is.
        recall: the share of withheld objects of the class that is found; NaN without any.
    """

    threshold: float
    precision: float
    recall: float


def choose(evidence: Evidence, num_classes: int, precision: float) -> list[Chosen]:
    """Thresholds from which on new boxes are expected to have a wanted precision.

    Where an object is known, it is known what should be detected there. Of the detections near to
    withheld boxes, whose places were no part of the training, the share that has the right class
    and place tells the precision; where these are few, that of detections near to annotated boxes
    helps out.

    Args:
        evidence: of the data set.
        num_classes: K.
        precision: the wanted share of right ones among the new boxes, in (0, 1].

    Returns:
        For each class.
    """
    believed = _precision_by_score(evidence, None)
    return [
        _choose(evidence.of_class(class_), believed, precision) for class_ in range(num_classes)
    ]


def _choose(evidence: Evidence, believed: np.ndarray, wanted: float) -> Chosen:
    estimated = _precision_by_score(evidence, believed)
    scores = np.linspace(0, 1, len(estimated))
    reached = (estimated >= wanted) & (scores >= LOWEST)
    threshold = float(scores[reached][0]) if reached.any() else np.inf
    added = (evidence.near == NEW) & (evidence.scores >= threshold)
    expected = float(estimated[reached][0]) if reached.any() and added.any() else np.nan
    return Chosen(threshold, expected, evidence.recall(threshold))


def _precision_by_score(evidence: Evidence, believed: np.ndarray | None) -> np.ndarray:
    """(101,): of detections near to known objects that score at least so much, the right ones."""
    scores = np.linspace(0, 1, 101)
    shares = np.zeros((2, len(scores)))
    numbers = np.zeros((2, len(scores)))
    for row, kind in enumerate((WITHHELD, ANNOTATED)):
        of_kind = evidence.near == kind
        for place, score in enumerate(scores):
            above = of_kind & (evidence.scores >= score)
            numbers[row, place] = above.sum()
            shares[row, place] = evidence.right[above].mean() if above.any() else 0
    prior = np.zeros(len(scores)) if believed is None else believed
    in_sample = (shares[1] * numbers[1] + 5 * prior) / (numbers[1] + 5)
    return (shares[0] * numbers[0] + ENOUGH * in_sample) / (numbers[0] + ENOUGH)
