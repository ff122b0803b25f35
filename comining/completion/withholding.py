"""Which annotated boxes are kept from the training, to measure by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comining.annotations.known import known_of
from comining.annotations.sparse import make_sparse

#: Fewer annotated boxes are all needed to train on: none is withheld.
FEW = 20
#: About so many boxes are withheld, but no share of all beyond these.
WITHHELD, LEAST, MOST = 60, 0.08, 0.2
#: Draws of one seed are nested: annotations that were made sparse with it, too, would lose their
#: next ones, of the images with the fewest objects. So this seed is one that nobody takes.
WITHHOLDING_SEED = 2**61 - 1


def withhold(dataset: Mapping[str, Any], file_name: str) -> dict[str, Any]:
    """A data set less some boxes of each category, by chance.

    Finished images stay that, unless most of the boxes are there.

    Args:
        dataset: in COCO format; it isn't changed.
        file_name: of the file that it is in, which ``info`` names.
    """
    boxes = [x for x in dataset["annotations"] if not x.get("iscrowd")]
    untouched = known_of(dataset).finished([x["id"] for x in dataset["categories"]])
    there = sum(x["image_id"] in untouched for x in boxes)
    if 2 * there > len(boxes):
        untouched, there = set(), 0
    percent = round(100 * _share_withheld(len(boxes) - there), 1)
    return make_sparse(
        dataset,
        "miss",
        seed=WITHHOLDING_SEED,
        percent=percent,
        untouched=untouched,
        file_name=file_name,
        record_name=True,
    )


def _share_withheld(number: int) -> float:
    return 0.0 if number < FEW else min(max(WITHHELD / number, LEAST), MOST)
