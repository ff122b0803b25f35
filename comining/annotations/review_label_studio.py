"""A completed data set as tasks of Label Studio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from .completion import MINED, info_of
from .exchange_images import portable_name
from .ids import numbered
from .review import by_image

#: Names of the two elements of the labelling interface that `label_studio_config` makes.
CONTROL, IMAGE = "label", "image"


def label_studio_tasks(dataset: Mapping[str, Any], image_url: str) -> list[dict[str, Any]]:
    """A data set as tasks for Label Studio, annotated and mined boxes together as a prediction.

    Label Studio makes of a prediction an editable annotation when a task is opened, but only where
    there is no annotation yet. So one prediction holds all boxes of an image; mined ones have a
    score. The prediction's own score is that of its most doubtful box.

    Args:
        dataset: in COCO format, completed or not.
        image_url: what Label Studio finds the images below, such as
            ``/data/local-files/?d=images``.
    """
    names = {x["id"]: x["name"] for x in dataset["categories"]}
    of_image = by_image(numbered(dataset["annotations"]))
    mined = info_of(dataset).get("mined")
    weights = mined.get("weights") if isinstance(mined, Mapping) else None
    tasks = []
    for image in dataset["images"]:
        # A region to ignore may be of all categories; Label Studio has no such label.
        annotations = [x for x in of_image[image["id"]] if x["category_id"] is not None]
        scores = [x["score"] for x in annotations if x.get("origin") == MINED]
        prediction = {
            "model_version": str(weights or "annotated"),
            "score": min(scores, default=1.0),
            "result": [_region(x, names[x["category_id"]], image) for x in annotations],
        }
        url = f"{image_url.rstrip('/')}/{quote(portable_name(image['file_name']))}"
        tasks.append({"data": {IMAGE: url, "image_id": image["id"]}, "predictions": [prediction]})
    return tasks


def label_studio_config(dataset: Mapping[str, Any]) -> str:
    """The labelling interface that the tasks of a data set need, for Label Studio's settings."""
    labels = "".join(f"\n    <Label value={quoteattr(x['name'])}/>" for x in dataset["categories"])
    return (
        f'<View>\n  <Image name="{IMAGE}" value="${IMAGE}" zoom="true"/>\n'
        f'  <RectangleLabels name="{CONTROL}" toName="{IMAGE}">{labels}\n  </RectangleLabels>\n'
        "</View>\n"
    )


def _region(
    annotation: Mapping[str, Any], category: str, image: Mapping[str, Any]
) -> dict[str, Any]:
    x, y, width, height = annotation["bbox"]
    region = {
        "id": str(annotation["id"]),
        "type": "rectanglelabels",
        "from_name": CONTROL,
        "to_name": IMAGE,
        "original_width": image["width"],
        "original_height": image["height"],
        "image_rotation": 0,
        "value": {
            "x": 100 * x / image["width"],
            "y": 100 * y / image["height"],
            "width": 100 * width / image["width"],
            "height": 100 * height / image["height"],
            "rotation": 0,
            "rectanglelabels": [category],
        },
    }
    if annotation.get("origin") == MINED:
        region["score"] = annotation["score"]
    return region
