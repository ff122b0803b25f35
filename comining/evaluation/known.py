"""Where predictions can't be judged, since it isn't known what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comining.annotations.known import known_of

#: XYWH: holds all boxes of any image.
_EVERYWHERE = (-1e6, -1e6, 1e7, 1e7)


def regions_of_predictions(
    ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Crowds that keep predictions from counting as false positives where nothing tells.

    An evaluation leaves out what lies on a crowd and on no object. So a region to ignore of all
    categories becomes a crowd of each category. If the file says what is known of its images, the
    whole image becomes one of each category that is neither exhaustive nor absent there, as LVIS's
    evaluation has it; otherwise all categories count as exhaustive everywhere.

    Args:
        ground_truth: a COCO data set.
        predictions: in COCO's result format. There are crowds for what is predicted, no others.
    """
    known = known_of(ground_truth)
    of_all = {
        image_id: [x.bbox for x in regions if x.category_id is None]
        for image_id, regions in known.regions.items()
    }
    pairs = dict.fromkeys((x["image_id"], x["category_id"]) for x in predictions)
    for image_id, category_id in pairs:
        if image_id not in known.exhaustive:
            continue
        boxes = of_all.get(image_id, [])
        if known.is_stated and not known.is_complete(image_id, category_id):
            boxes = [_EVERYWHERE]
        for box in boxes:
            yield {
                "image_id": image_id,
                "category_id": category_id,
                "bbox": list(box),
                "iscrowd": 1,
            }
