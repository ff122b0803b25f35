"""What is known of an image beside its annotations, on its way through a mapper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detectron2.structures import BoxMode, Instances

#: Classes from here on mark withheld annotations on their way through a mapper.
WITHHELD_CLASSES = 1 << 20
#: This class marks regions to ignore of all classes, the following ones those of a class.
REGION_CLASSES = 1 << 21
#: A field of what is no annotated object, on its way through a mapper, and what it says.
MARKED, WITHHELD, REGION = "marked", "withheld", "region"


class KnownMapper:
    """A mapper's wrapper that takes along what is known of an image beside its annotations.

    These boxes go through the mapper's augmentation like annotated ones, and come out apart, beside
    ``instances`` and as ``Instances`` with ``gt_boxes`` and ``gt_classes``, too:

    - ``withheld``, of a record's ``withheld_annotations``: to judge mined labels by;
    - ``ignored``, of its ``ignored_regions``: where it isn't known what is there; the class is -1
      for all. Those that the mapper has found itself stay.

    Both are clipped to what is left of the image, and dropped where nothing is. A record needs to
    have neither; what it lacks, the item lacks. Classes that are ``exhaustive`` or ``absent`` need
    no such help: any mapper that hands on a record's other fields, as detectron2's does, takes them
    along.
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
        regions = record.pop("ignored_regions", None)
        if withheld is None and not regions:
            return self.mapper(record)
        marked = [
            {**x, "category_id": x["category_id"] + WITHHELD_CLASSES, MARKED: WITHHELD}
            for x in withheld or ()
        ]
        marked += [_marked_region(x) for x in regions or ()]
        item = self.mapper({**record, "annotations": [*record["annotations"], *marked]})
        if item is None:  # how a mapper skips an image
            return None
        every = item["instances"]
        of_withheld, of_region = (every.gt_classes >= x for x in (WITHHELD_CLASSES, REGION_CLASSES))
        item["instances"] = every[~of_withheld]
        if withheld is not None:
            item["withheld"] = every[of_withheld & ~of_region]
            item["withheld"].gt_classes -= WITHHELD_CLASSES
        if regions:
            ignored = every[of_region]
            ignored.gt_classes -= REGION_CLASSES + 1
            cut = [item["ignored"]] if "ignored" in item else []
            item["ignored"] = Instances.cat([ignored, *cut])
        return item


def _marked_region(region: dict[str, Any]) -> dict[str, Any]:
    class_ = -1 if region["category_id"] is None else region["category_id"]
    return {
        "bbox": [float(x) for x in region["bbox"]],  # whole numbers would be rounded down
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": class_ + 1 + REGION_CLASSES,
        MARKED: REGION,
    }
