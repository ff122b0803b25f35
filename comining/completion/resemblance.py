"""Whether what looks like a detection is annotated elsewhere.

What somebody never boxes, however often it occurs, is no object, though a detector that learns from
half-finished annotations may take it for one: whatever is likely to be a missing object isn't
learnt as background.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.data import DatasetMapper

from comining.engine.miner import SCORE_DIGITS, Mined
from comining.modeling import TwoViewDetector

from .evidence import ANNOTATED, LOWEST, NEW, WITHHELD
from .gathering import gather_evidence
from .looks import looks_of

#: Images are judged by others: a part of so many by all the rest.
FOLDS = 5
#: Of fewer annotated or new detections nothing is learnt.
FEWEST = 20
#: Of more, so many are drawn by chance.
MOST = 50_000
#: How much large coefficients are punished (a normal prior of this precision).
RIDGE = 100.0
#: Objects that are hard to see are forgotten more often than others: what looks like them may be
#: annotated up to so many times less often than what looks like most.
FORGOTTEN = 1.5
#: Newton's steps of the fit, none longer than 3.
STEPS = 12


def rescored(
    model: TwoViewDetector,
    mapper: DatasetMapper,
    records: Sequence[dict[str, Any]],
    mined: Mapping[int, Mined],
    images: Mapping[int, Any],
    num_workers: int,
    tell: Callable[[float], None],
) -> dict[int, Mined]:
    """Detections with scores that are lower where what looks like them is hardly ever annotated.

    Each score is multiplied by its `resemblance`.

    Args:
        model: that found them, in evaluation mode.
        mapper: for inference.
        records: of images or tiles, in detectron2's standard form.
        mined: by their ids, what was found.
        images: by the ids of tiles, the images that they are from; those of images may lack.
        num_workers: processes that read images; 0 reads in this one.
        tell: is told the share that is done.

    Returns:
        By id; with the same scores in other processes than the first.
    """
    looks = looks_of(model, mapper, records, mined, num_workers, tell)
    records = [x for x in records if x["image_id"] in looks]
    if not records:
        return dict(mined)
    evidence = gather_evidence(mined, records)
    is_of_interest = evidence.scores >= LOWEST
    factors = resemblance(
        np.concatenate([looks[x["image_id"]] for x in records]),
        evidence.classes,
        np.array([images.get(id_, id_) for id_ in evidence.image_ids.tolist()]),
        is_annotated=is_of_interest & (evidence.near == ANNOTATED) & evidence.right,
        is_new=is_of_interest & (evidence.near == NEW),
        is_asked=is_of_interest & np.isin(evidence.near, (NEW, ANNOTATED, WITHHELD)),
    )
    scores = evidence.scores * factors
    ends = np.cumsum([len(mined[x["image_id"]].scores) for x in records])[:-1]
    new_scores = dict(zip((x["image_id"] for x in records), np.split(scores, ends), strict=True))
    return {
        id_: _with_scores(found, new_scores[id_]) if id_ in new_scores else found
        for id_, found in mined.items()
    }


def _with_scores(found: Mined, scores: np.ndarray) -> Mined:
    order = np.argsort(-scores, kind="stable")
    return Mined(
        boxes=[found.boxes[i] for i in order],
        classes=[found.classes[i] for i in order],
        scores=scores[order].round(SCORE_DIGITS).tolist(),
        is_new=[found.is_new[i] for i in order],
    )


def resemblance(
    looks: np.ndarray,
    classes: np.ndarray,
    images: np.ndarray,
    *,
    is_annotated: np.ndarray,
    is_new: np.ndarray,
    is_asked: np.ndarray,
) -> np.ndarray:
    """How often what looks like a detection is annotated, against what looks like most objects.

    Detections on annotated objects are told from new ones by their looks, class by class, by a
    logistic regression; those of an image by one of other images. Were objects forgotten by chance,
    the chance of being annotated would be the same for all of them, and 0 for what is none (Elkan
    and Noto, Learning classifiers from only positive and unlabeled data, KDD 2008, eq. 1). As they
    are not, `FORGOTTEN` times the chance counts, divided by the median of annotated ones.

    Args:
        looks: (M, C) of unit variance.
        classes: (M,) int64.
        images: (M,) which image each is from.
        is_annotated, is_new: (M,) bool, on an annotated object with its class, or far from all.
        is_asked: (M,) bool, of which it is asked.

    Returns:
        (M,) in (0, 1]; 1 for the others, and where too few are known.
    """
    part = np.unique(images, return_inverse=True)[1] % FOLDS
    factors = np.ones(len(looks))
    for class_ in np.unique(classes):
        of_class = classes == class_
        chances = np.full(len(looks), np.nan)
        for fold in range(FOLDS):
            known = of_class & (is_annotated | is_new) & (part != fold)
            if min((known & is_annotated).sum(), (known & is_new).sum()) < FEWEST:
                continue
            drawn = np.flatnonzero(known)
            if len(drawn) > MOST:
                drawn = np.random.default_rng(fold).choice(drawn, MOST, replace=False)
            coefficients = _fit(looks[drawn], is_annotated[drawn])
            rows = of_class & is_asked & (part == fold)
            chances[rows] = _chances(looks[rows], coefficients)
        is_told = ~np.isnan(chances)
        if (is_told & is_annotated).any():
            usual = np.median(chances[is_told & is_annotated])
            factors[is_told] = np.minimum(1, FORGOTTEN * chances[is_told] / usual)
    return factors


def _chances(looks: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(looks @ coefficients[:-1] + coefficients[-1])))


def _fit(looks: np.ndarray, is_annotated: np.ndarray) -> np.ndarray:
    """Coefficients and, last, the intercept of a logistic regression."""
    columns = np.hstack((looks, np.ones((len(looks), 1)))).astype(float)
    ridge = np.full(columns.shape[1], RIDGE)
    ridge[-1] = 1e-3
    coefficients = np.zeros(columns.shape[1])
    coefficients[-1] = np.log(is_annotated.sum() / (~is_annotated).sum())
    for _ in range(STEPS):
        chances = _chances(looks, coefficients)
        gradient = columns.T @ (chances - is_annotated) + ridge * coefficients
        curvature = (columns * (chances * (1 - chances))[:, None]).T @ columns + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        coefficients -= step / max(1.0, float(np.linalg.norm(step)) / 3)
    return coefficients
