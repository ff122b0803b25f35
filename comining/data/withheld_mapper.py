"""Withheld annotations on their way through a mapper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Classes from here on mark withheld annotations on their way through a mapper.
WITHHELD_CLASSES = 1 << 20


class WithheldMapper:
    """A mapper's wrapper that takes withheld annotations along, to judge mined labels by.

    A record's ``withheld_annotations`` go through the mapper's augmentation like the others and
    come out apart, as ``withheld`` beside ``instances``. No record needs to have any.
    """

    def __init__(self, mapper: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        """
        Args:
            mapper: for training, such as detectron2's ``DatasetMapper``.
        """
        self.mapper = mapper

    def __call__(self, record: dict[str, Any]) -> dict[str, Any] | None:
        record = dict(record)
        withheld = record.pop("withheld_annotations", None)
        if withheld is None:
            return self.mapper(record)
        marked = [{**x, "category_id": x["category_id"] + WITHHELD_CLASSES} for x in withheld]
        item = self.mapper({**record, "annotations": [*record["annotations"], *marked]})
        if item is None:  # how a mapper skips an image
            return None
        instances = item["instances"]
        is_withheld = instances.gt_classes >= WITHHELD_CLASSES
        item["instances"], item["withheld"] = instances[~is_withheld], instances[is_withheld]
        item["withheld"].gt_classes -= WITHHELD_CLASSES
        return item
