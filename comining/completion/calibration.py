"""How likely a detection is right, by its score: what is known of others like it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .evidence import ANNOTATED, SAMPLED, WITHHELD, Evidence

#: All detections near to annotated boxes, whose places were trained on, count as so many near to
#: withheld ones. So do those of all other classes.
PRIOR = 20.0
#: Where a sample of new ones was judged, each kind of others counts as so few judged ones: in a
#: cautious fit, and in one that is to be as likely too high as too low.
BESIDE_JUDGED, BESIDE_JUDGED_EVEN = 2.0, 5.0
#: Of each class, so many detections speak for nothing being right, at all scores alike.
DOUBT = 2.0
#: As many where the fit is to be as likely too high as too low.
LITTLE_DOUBT = 0.5
#: Newton's steps of the fit, none longer than 1, and what keeps it from certainty.
STEPS, RIDGE = 50, 0.05
#: Curves drawn among those that the evidence allows.
DRAWS = 1000


class Calibration(NamedTuple):
    """The chance that a detection of score s is right: sigmoid(slope * logit(s) + offset).

    Attributes:
        slope, offset: the most likely ones.
        covariance: (2, 2), how uncertain they are.
    """

    slope: float
    offset: float
    covariance: np.ndarray

    def chance(self, scores: np.ndarray) -> np.ndarray:
        """(M,) in (0, 1), of scores (M,)."""
        return _sigmoid(self.slope * _logit(scores) + self.offset)

    def possible_right(self, scores: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """How many of M detections may be right.

        Args:
            scores: (M,).
            generator: draws curves by their likelihood and, for each, how many are right.

        Returns:
            (`DRAWS`,) numbers in 0..M.
        """
        scores, counts = np.unique(scores.round(3), return_counts=True)
        drawn = generator.multivariate_normal((self.slope, self.offset), self.covariance, DRAWS)
        slopes, offsets = drawn[:, :1].clip(0), drawn[:, 1:]
        chances = _sigmoid(slopes * _logit(scores) + offsets)
        deviation = np.sqrt((chances * (1 - chances)) @ counts)
        number = chances @ counts + deviation * generator.standard_normal(DRAWS)
        return number.clip(0, counts.sum())


def calibrate(evidence: Evidence, class_: int, *, cautious: bool = True) -> Calibration:
    """Fit the chance of a class's detections by those that are known to be right or wrong.

    A logistic regression (Platt, 1999). Those of the class near to withheld boxes count one each;
    see `PRIOR` and `DOUBT` for others. A cautious fit leans to lower chances, as those who add
    boxes want it: near to an annotated object, which the training has seen, what scores little is
    mostly a second detection of it. New ones that were drawn by chance and judged are of those
    in question, which the ones near to withheld boxes only resemble: what the detector sees where
    there is no object shows in new ones alone. So all others then count little, however many.

    Args:
        evidence: of the data set.
        class_: in [0, K).
        cautious: whether detections near to annotated boxes count, and `DOUBT`; else there is but
            `LITTLE_DOUBT`, and the fit is about as likely too high as too low.
    """
    of_class = evidence.classes == class_
    near_withheld = evidence.near == WITHHELD
    judged = evidence.decided == SAMPLED
    own_prior, prior = np.inf, PRIOR
    if judged.any():
        own_prior = prior = BESIDE_JUDGED if cautious else BESIDE_JUDGED_EVEN
    is_own = of_class & (judged | near_withheld)
    weights = np.zeros(len(evidence.scores))
    for rows, most in (
        (of_class & judged, np.inf),
        (~of_class & judged, PRIOR),
        (of_class & near_withheld, own_prior),
        (~of_class & near_withheld, prior),
        (of_class & (evidence.near == ANNOTATED) & cautious, prior),
    ):
        weights[rows] = min(1, most / max(1, rows.sum()))
    used = weights > 0
    images = np.where(is_own, evidence.image_ids, -1)[used]
    doubt = DOUBT if cautious else LITTLE_DOUBT
    doubtful = np.linspace(0.05, 0.95, 19)
    return _fit(
        _logit(np.concatenate((evidence.scores[used], doubtful))),
        np.concatenate((evidence.right[used], np.zeros(19))),
        np.concatenate((weights[used], np.full(19, doubt / 19))),
        np.concatenate((images, np.full(19, -1))),
    )


def _fit(
    values: np.ndarray, right: np.ndarray, weights: np.ndarray, images: np.ndarray
) -> Calibration:
    """The most likely slope, at least 0, and offset; ``images`` are -1 for what is no evidence."""
    columns = np.stack((values, np.ones_like(values)), axis=1)
    # A score is taken for a chance until there is evidence.
    prior = np.array([1.0, 0.0])
    ridge = RIDGE * np.eye(2)
    parameters = prior.copy()
    for _ in range(STEPS):
        chances = _sigmoid(columns @ parameters)
        gradient = columns.T @ (weights * (chances - right)) + RIDGE * (parameters - prior)
        curvature = _spread(columns, weights * chances * (1 - chances)) + ridge
        if parameters[0] == 0 and gradient[0] > 0:
            # A lower slope would fit better, but isn't legal.
            step = np.array([0.0, gradient[1] / curvature[1, 1]])
        else:
            step = np.linalg.solve(curvature, gradient)
        # Whole steps may overshoot to where nothing is curved any more.
        parameters = parameters - step / max(1.0, float(np.linalg.norm(step)))
        parameters[0] = max(parameters[0], 0.0)
    chances = _sigmoid(columns @ parameters)
    spread = chances * (1 - chances)
    own = images >= 0
    residuals = columns[own] * (weights * (chances - right))[own, None]
    variation = ridge + _spread(columns[~own], (weights * spread)[~own])
    variation += _clustered(
        residuals, images[own], _spread(columns[own], (weights**2 * spread)[own])
    )
    inverse = np.linalg.inv(ridge + _spread(columns, weights * spread))
    return Calibration(float(parameters[0]), float(parameters[1]), inverse @ variation @ inverse)


def _clustered(residuals: np.ndarray, images: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How the sum of the residuals (M, 2) varies: as expected of independent ones, or more if those
    of an image go together."""
    names, place = np.unique(images, return_inverse=True)
    sums = np.zeros((len(names), 2))
    np.add.at(sums, place, residuals)
    excess = np.trace(np.linalg.solve(expected + 1e-6 * np.eye(2), sums.T @ sums)) / 2
    return expected * max(1.0, float(excess))


def _spread(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (columns * weights[:, None]).T @ columns


def _logit(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores, 0.001, 0.999)
    return np.log(clipped / (1 - clipped))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))
