"""From which score on detections are added, and how sure they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .evidence import ANNOTATED, NEW, WITHHELD, Evidence

#: Boxes of lower scores are never added.
LOWEST = 0.15
#: All detections near to annotated boxes, whose places were trained on, count as so many near to
#: withheld ones. So do those of all other classes.
PRIOR = 20.0
#: Of each class, so many detections speak for nothing being right, at all scores alike.
DOUBT = 2.0
#: Newton's steps of the fit, and what keeps it from certainty.
STEPS, RIDGE = 30, 0.05


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

    Where an object is known, it is known what should be detected there. So detections near to
    withheld boxes, whose places were no part of the training, tell by their scores how many have
    the right class and place: `Calibration`. The new boxes that score at least t are expected to
    have the mean of what theirs say, and as many are added as keep the wanted one.

    Args:
        evidence: of the data set.
        num_classes: K.
        precision: the wanted share of right ones among the new boxes, in (0, 1].

    Returns:
        For each class.
    """
    return [_choose(evidence, class_, precision) for class_ in range(num_classes)]


def _choose(evidence: Evidence, class_: int, wanted: float) -> Chosen:
    of_class = evidence.of_class(class_)
    scores = of_class.scores[(of_class.near == NEW) & (of_class.scores >= LOWEST)]
    scores = np.sort(scores)[::-1]
    if len(scores) == 0:  # whatever the threshold, nothing is left out
        return Chosen(LOWEST, np.nan, of_class.recall(LOWEST))
    chances = calibrate(evidence, class_).chance(scores)
    expected = np.cumsum(chances) / np.arange(1, len(scores) + 1)
    is_last_of_equals = np.append(np.diff(scores) != 0, True)
    reached = np.flatnonzero((expected >= wanted) & is_last_of_equals)
    if len(reached) == 0:
        return Chosen(np.inf, np.nan, of_class.recall(np.inf))
    last = reached[-1]
    return Chosen(float(scores[last]), float(expected[last]), of_class.recall(scores[last]))


class Calibration(NamedTuple):
    """The chance that a detection of score s is right: sigmoid(slope * logit(s) + offset)."""

    slope: float
    offset: float

    def chance(self, scores: np.ndarray) -> np.ndarray:
        """(M,) in (0, 1), of scores (M,)."""
        return _sigmoid(self.slope * _logit(scores) + self.offset)


def calibrate(evidence: Evidence, class_: int) -> Calibration:
    """Fit the chance of a class's detections by those near to known objects.

    A logistic regression (Platt, 1999). Those of the class near to withheld boxes count one each;
    see `PRIOR` and `DOUBT` for all others.
    """
    of_class = evidence.classes == class_
    near_withheld = evidence.near == WITHHELD
    groups = (
        (of_class & near_withheld, None),
        (~of_class & near_withheld, PRIOR),
        (of_class & (evidence.near == ANNOTATED), PRIOR),
    )
    weights = np.zeros(len(evidence.scores))
    for rows, total in groups:
        number = rows.sum()
        if number:
            weights[rows] = 1 if total is None else min(1, total / number)
    used = weights > 0
    scores = np.concatenate((evidence.scores[used], np.linspace(0.05, 0.95, 19)))
    right = np.concatenate((evidence.right[used], np.zeros(19)))
    weights = np.concatenate((weights[used], np.full(19, DOUBT / 19)))
    return _fit(_logit(scores), right, weights)


def _fit(values: np.ndarray, right: np.ndarray, weights: np.ndarray) -> Calibration:
    """The most likely slope, at least 0, and offset."""
    columns = np.stack((values, np.ones_like(values)), axis=1)
    # A score is taken for a chance until there is evidence.
    prior = np.array([1.0, 0.0])
    parameters = prior.copy()
    for _ in range(STEPS):
        chances = _sigmoid(columns @ parameters)
        gradient = columns.T @ (weights * (chances - right)) + RIDGE * (parameters - prior)
        curvature = (columns * (weights * chances * (1 - chances))[:, None]).T @ columns
        parameters = parameters - np.linalg.solve(curvature + RIDGE * np.eye(2), gradient)
        parameters[0] = max(parameters[0], 0.0)
    return Calibration(float(parameters[0]), float(parameters[1]))


def _logit(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, 0.001, 0.999)
    return np.log(clipped / (1 - clipped))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))
