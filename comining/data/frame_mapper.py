"""Where a mapper's image lies in the file's, and what of its objects is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.structures import BoxMode

from .known_mapper import MARKED, REGION

#: Less of an object's box teaches nothing: often its corner, where nothing of the object is.
LEAST_LEFT = 0.5


class FrameMapper(DatasetMapper):
    """detectron2's mapper, whose items also tell how they were augmented.

    An item's ``frame``, (2, 3) float64, moves a point (x, y, 1) of the file's image, in pixels, to
    the item's ``image``. Every augmentation of detectron2 moves points by such a matrix.

    Where a crop leaves less than half of an object's box, what is left is a region to ignore of its
    class, as in `KnownMapper`; of a withheld object nothing is left. In the corner of a box there
    is often nothing but background; learnt as an object, it is found on all background that a
    border cuts off.
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

    def _transform_annotations(
        self, dataset_dict: dict[str, Any], transforms: T.Transform, image_shape: tuple[int, int]
    ) -> None:
        whole: list[dict[str, Any]] = []
        cut: list[dict[str, Any]] = []
        for x in dataset_dict["annotations"]:
            if x.get(MARKED) == REGION or _share_left(x, transforms, image_shape) >= LEAST_LEFT:
                whole.append(x)
            elif MARKED not in x:
                cut.append(x)
        dataset_dict["annotations"] = whole
        super()._transform_annotations(dataset_dict, transforms, image_shape)
        if cut:
            of_cut: dict[str, Any] = {"annotations": cut}
            super()._transform_annotations(of_cut, transforms, image_shape)
            dataset_dict["ignored"] = of_cut["instances"]


def _share_left(
    annotation: dict[str, Any], transforms: T.Transform, image_shape: tuple[int, int]
) -> float:
    """The share of a box's area that lies in the image (H, W) after the transforms."""
    box = BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS)
    moved = transforms.apply_box(np.array([box], dtype=float))[0]
    left = moved.clip(0, np.tile(image_shape[::-1], 2))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (left, moved)]
    return float(areas[0] / areas[1]) if areas[1] > 0 else 0.0


class _Recorded(T.AugmentationList):
    """Keeps what was drawn last."""

    last: Any

    def __call__(self, aug_input: T.AugInput) -> T.Transform:
        self.last = super().__call__(aug_input)
        return self.last
