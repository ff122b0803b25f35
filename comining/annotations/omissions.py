"""Omissions as people make them: which annotations of a fully annotated COCO data set they miss.

All but *class* give every annotation a score and omit the given number of those with the greatest.
Scores are functions of the seed, the ids and what the file says, not of its order. Where "later"
images are spoken of, it is in the order of their ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor, log
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from .draws import draw, uniform
from .visibility import Images, measure

PROTOCOLS = ("hard-to-see", "tired", "class", "session")
"""The names of the protocols; `omit` says what each drops."""

WEIGHTS = {"smallness": 0.7, "crowding": 0.8, "cut_off": 0.2, "low_contrast": 0.4}
"""Of *hard-to-see*: by how much the log-odds of being omitted grow where a feature of
`visibility.measure` grows by one standard deviation.

The first three are those of real omissions: a logistic regression on the 904 red blood cells of
`prepare_blood_cells_2017`'s `revised_full.json`, 299 of which had been forgotten, gave 0.71, 0.83
and 0.16 (standard errors 0.09). The contrast, which hardly differs between those cells, played no
part there (-0.04); its weight is an assumption."""

TIREDNESS = 0.5
"""Of *tired*: by how much less of an image is done in the last than in the first."""
UNSTEADINESS = 0.5
"""Of *tired*: how much the part that is done varies from image to image, besides."""

CONCENTRATION = 0.5
"""Of *session*: the sum of the two parameters of the Beta distribution. As it is below 1 the
distribution is U-shaped at every rate."""
_SURELY = 0.001  # Shares nearer to 0 and 1 are taken for this near: their log-odds must be finite.

Annotations = Sequence[Mapping[str, Any]]


class Omissions(NamedTuple):
    """What people omit.

    Attributes:
        ids: of the omitted annotations.
        parameters: of the protocol, as JSON values.
    """

    ids: set[int]
    parameters: dict[str, Any]


def omit(
    dataset: Mapping[str, Any],
    protocol: str,
    *,
    seed: int,
    share: Fraction,
    image_root: Path | None = None,
) -> Omissions:
    """Choose the annotations that people omit: `share` of all, rounded down. Crowds stay.

    - *hard-to-see*: each annotation's odds grow with `WEIGHTS` times its standardised features:
      small, crowded by others, cut off by the image's border and, with `image_root`, of little
      contrast to its surroundings.
    - *tired*: people stop. Of each image the lower or (as often) the right part stays empty, and of
      later images more than of earlier ones.
    - *class*: in some images a category wasn't looked for. Pairs of image and category are chosen
      at random as long as they fit into the number; so it may be missed by less than the
      smallest pair that is left.
    - *session*: some images are finished and some barely begun. Each image's share is drawn from a
      U-shaped Beta distribution whose mean is `share`.

    Args:
        dataset: that `sparse_input.check_dataset` accepts.
        protocol: one of `PROTOCOLS`.
        seed: any integer.
        share: 0 to 1.
        image_root: of the images, for *hard-to-see*.

    Raises:
        InputError: for *hard-to-see*, sizes of images or image files are missing or unreadable.
    """
    annotations = sorted(
        (a for a in dataset["annotations"] if not a.get("iscrowd")), key=itemgetter("id")
    )
    number = floor(len(annotations) * share)
    if protocol == "class":
        return _not_looked_for(annotations, seed, number)
    if protocol == "tired":
        scores, parameters = _tired(dataset["images"], annotations, seed)
    elif protocol == "session":
        scores, parameters = _session(annotations, seed, float(share))
    else:
        scores, parameters = _hard_to_see(dataset["images"], annotations, seed, number, image_root)
    # Ties, which only equal draws could make, go to the greater id.
    order = np.argsort(scores, kind="stable")
    omitted = order[len(order) - number :].tolist()
    return Omissions({annotations[index]["id"] for index in omitted}, parameters)


def _hard_to_see(
    images: Images, annotations: Annotations, seed: int, number: int, image_root: Path | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Log-odds plus a draw from the logistic distribution.

    To omit the `number` greatest is Pareto sampling (Rosén 1997): an annotation's chance is, but
    for a little, 1 / (1 + exp(-(intercept + log-odds))), and the number is exact. The intercept,
    with which these chances add up to `number`, plays no part in the choice.
    """
    features = measure(images, annotations, image_root)
    log_odds = np.zeros(len(annotations))
    record = {}
    for name, values in features.items():
        mean, deviation = (values.mean(), values.std()) if len(values) else (0.0, 0.0)
        # What is the same for all makes no difference, whatever rounding makes of it.
        alike = deviation <= 1e-9 * max(abs(mean), 1)
        if not alike:
            log_odds += WEIGHTS[name] * (values - mean) / deviation
        record[name] = {
            "weight": WEIGHTS[name],
            "mean": round(float(mean), 6),
            "deviation": 0.0 if alike else round(float(deviation), 6),
        }
    parameters: dict[str, Any] = {"features": record, "intercept": _intercept(log_odds, number)}
    if image_root is None:
        parameters["left_out"] = "low_contrast: no images were given"
    return log_odds + _noise(annotations, seed, "hard-to-see"), parameters


def _session(
    annotations: Annotations, seed: int, share: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """The log-odds of the image's share plus a draw from the logistic distribution."""
    alpha, beta = CONCENTRATION * share, CONCENTRATION * (1 - share)
    log_odds = {}
    for image_id in {annotation["image_id"] for annotation in annotations}:
        random = Random(int.from_bytes(draw(seed, "session image", image_id), "big"))
        rate = random.betavariate(alpha, beta) if 0 < share < 1 else share
        log_odds[image_id] = _logit(min(max(rate, _SURELY), 1 - _SURELY))
    scores = np.array([log_odds[annotation["image_id"]] for annotation in annotations])
    parameters = {"beta": [round(alpha, 6), round(beta, 6)]}
    return scores + _noise(annotations, seed, "session"), parameters


def _tired(
    images: Images, annotations: Annotations, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """How late an annotation's turn comes in its image, plus how tired people are at that image."""
    ids = sorted(image["id"] for image in images)
    tiredness = {
        image_id: TIREDNESS * (place + 0.5) / len(ids)
        + UNSTEADINESS * uniform(seed, "tired image", image_id)
        for place, image_id in enumerate(ids)
    }
    members: defaultdict[int, list[int]] = defaultdict(list)
    for index, annotation in enumerate(annotations):
        members[annotation["image_id"]].append(index)
    scores = np.zeros(len(annotations))
    for image_id, indices in members.items():
        axis = 1 if uniform(seed, "tired direction", image_id) < 0.5 else 0
        centres = [_centre(annotations[index]["bbox"], axis) for index in indices]
        turns = np.argsort(np.argsort(centres, kind="stable"), kind="stable")
        scores[indices] = (turns + 0.5) / len(indices) + tiredness[image_id]
    return scores, {"tiredness": TIREDNESS, "unsteadiness": UNSTEADINESS}


def _not_looked_for(annotations: Annotations, seed: int, number: int) -> Omissions:
    pairs: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for annotation in annotations:
        pairs[annotation["image_id"], annotation["category_id"]].append(annotation["id"])
    omitted: set[int] = set()
    chosen = 0
    for pair in sorted(pairs, key=lambda pair: draw(seed, "class", *pair)):
        if len(omitted) + len(pairs[pair]) <= number:
            omitted.update(pairs[pair])
            chosen += 1
    return Omissions(omitted, {"pairs": chosen, "pairs_of": len(pairs)})


def _noise(annotations: Annotations, seed: int, purpose: str) -> np.ndarray:
    """A draw from the logistic distribution for each annotation."""
    return np.array([_logit(uniform(seed, purpose, a["id"])) for a in annotations])


def _intercept(log_odds: np.ndarray, number: int) -> float | None:
    """What to add to log-odds so that the chances add up to a number; None for none or all."""
    if not 0 < number < len(log_odds):
        return None
    low, high = -60 - log_odds.max(), 60 - log_odds.min()
    for _ in range(100):
        middle = (low + high) / 2
        if (1 / (1 + np.exp(-(log_odds + middle)))).sum() < number:
            low = middle
        else:
            high = middle
    return round(float(low), 6)


def _logit(share: float) -> float:
    return log(share) - log(1 - share)


def _centre(box: Sequence[float], axis: int) -> float:
    return box[axis] + box[axis + 2] / 2
