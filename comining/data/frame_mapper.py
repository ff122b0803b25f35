"""Where a mapper's image lies in the file's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T


class FrameMapper(DatasetMapper):
    """detectron2's mapper, whose items also tell how they were augmented.

    An item's ``frame``, (2, 3) float64, moves a point (x, y, 1) of the file's image, in pixels, to
    the item's ``image``. Every augmentation of detectron2 moves points by such a matrix.
    """

    augmentations: Any

    @configurable
    def __init__(self, **kwargs: Any) -> None:
        """Takes the arguments of detectron2's ``DatasetMapper``, by keyword."""
        super().__init__(**kwargs)
        self.augmentations = _Recorded(self.augmentations.augs)

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = super().__call__(dataset_dict)
        corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        origin, right, down = self.augmentations.last.apply_coords(corners)
        item["frame"] = torch.from_numpy(np.stack((right - origin, down - origin, origin), 1))
        return item


class _Recorded(T.AugmentationList):
    """Keeps what was drawn last."""

    last: Any

    def __call__(self, aug_input: T.AugInput) -> T.Transform:
        self.last = super().__call__(aug_input)
        return self.last
