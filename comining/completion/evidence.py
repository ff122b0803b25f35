"""What annotated and withheld boxes tell about detections: how precise, and how much is found.

`gathering` makes it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: What a detection is near to, or why it is none of that and not new: its class is complete in the
#: image, or it lies in a region to ignore.
NEW, ANNOTATED, WITHHELD, IMPOSSIBLE, IGNORED = range(5)
#: Whether a person decided about a detection, and whether it was drawn for that by chance.
UNDECIDED, DECIDED, SAMPLED = range(3)
#: Boxes of lower scores are never added.
LOWEST = 0.15


class Evidence(NamedTuple):
    """Detections of a data set, one row each, and the withheld objects.

    Attributes:
        image_ids, classes: (M,) int64; classes in [0, K).
        scores: (M,) in [0, 1].
        boxes: (M, 4) XYXY in pixels.
        near: (M,) `NEW`, `ANNOTATED`, `WITHHELD`, `IMPOSSIBLE` or `IGNORED`.
        right: (M,) bool, whether it is on the object that it is near to, with its class; of a
            decided one, what the person said.
        decided: (M,) `UNDECIDED`, `DECIDED` or `SAMPLED`; of new ones only.
        found_at: (W,) by withheld object, the best score of a right detection; -1 for none.
        withheld_classes: (W,) int64.
    """

    image_ids: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    near: np.ndarray
    right: np.ndarray
    decided: np.ndarray
    found_at: np.ndarray
    withheld_classes: np.ndarray

    def of_class(self, class_: int) -> Evidence:
        rows, objects = self.classes == class_, self.withheld_classes == class_
        detections = (field[rows] for field in self[:7])
        return Evidence(*detections, *(field[objects] for field in self[7:]))

    @property
    def is_proposal(self) -> np.ndarray:
        """(M,) bool, whether it may be added."""
        return (self.near == NEW) & (self.scores >= LOWEST)

    def recall(self, threshold: float) -> float:
        """The share of withheld objects found at this score or above; NaN without any."""
        return float(np.mean(self.found_at >= threshold)) if len(self.found_at) else np.nan

    def found(self, thresholds: np.ndarray) -> float | None:
        """The share of withheld objects of all classes found at their thresholds (K,)."""
        if not len(self.found_at):
            return None
        return float(np.mean(self.found_at >= thresholds[self.withheld_classes]))
