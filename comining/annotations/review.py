"""To annotation tools and back: a completed data set in Label Studio and in CVAT.

What a reviewer leaves of the mined boxes are annotations like all others in the data set that comes
back; what he deletes is gone.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from comining.errors import InputError

from .completion import MINED, info_of

#: A box that comes back is the same as before if no edge has moved by more than this, in pixels.
#: CVAT rounds to hundredths.
SAME_BOX = 0.05
#: Names of the two elements of the labelling interface that `label_studio_config` makes.
CONTROL, IMAGE = "label", "image"
#: What `apply_review` counts.
COUNTS = (
    "images reviewed",
    "mined, accepted",
    "mined, rejected",
    "mined, image not reviewed: left out",
    "annotated, deleted",
    "drawn or changed",
)


class ReviewedBox(NamedTuple):
    """A box that a reviewer left or drew.

    Attributes:
        category: name.
        bbox: XYWH in pixels.
    """

    category: str
    bbox: tuple[float, float, float, float]


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
    of_image = _by_image(_numbered(dataset["annotations"]))
    info = info_of(dataset).get("mined", {})
    tasks = []
    for image in dataset["images"]:
        annotations = of_image[image["id"]]
        scores = [x["score"] for x in annotations if x.get("origin") == MINED]
        prediction = {
            "model_version": str(info.get("weights", "annotated")),
            "score": min(scores, default=1.0),
            "result": [_region(x, names[x["category_id"]], image) for x in annotations],
        }
        url = f"{image_url.rstrip('/')}/{quote(image['file_name'])}"
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


def cvat_dataset(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """A data set as CVAT's import of the format COCO 1.0 wants it.

    CVAT refuses annotations without ``id``, ``iscrowd`` or ``segmentation`` and makes polygons or
    masks of those that have one. Here all are boxes. ``origin`` goes into ``attributes``, since
    CVAT reads only those and ``score`` besides, and keeps what its labels declare.
    """
    annotations = []
    for x in _numbered(dataset["annotations"]):
        annotation = {
            "id": x["id"],
            "image_id": x["image_id"],
            "category_id": x["category_id"],
            "bbox": x["bbox"],
            "area": x["bbox"][2] * x["bbox"][3],
            "segmentation": [],
            "iscrowd": x.get("iscrowd", 0),
            "attributes": {"origin": x.get("origin", "annotated")},
        }
        if "score" in x:
            annotation["score"] = x["score"]
        annotations.append(annotation)
    images = [{k: x[k] for k in ("id", "file_name", "width", "height")} for x in dataset["images"]]
    categories = [{"id": x["id"], "name": x["name"]} for x in dataset["categories"]]
    return {"images": images, "categories": categories, "annotations": annotations}


def read_label_studio(
    export: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any]
) -> dict[int, list[ReviewedBox]]:
    """What came of the tasks of `label_studio_tasks`, from Label Studio's export as JSON.

    A task counts as reviewed if an annotation was submitted, of several the latest. Rotated
    rectangles become the upright ones around them.

    Returns:
        By id, the boxes of each reviewed image.

    Raises:
        InputError: a task is not of the data set, holds something else than rectangles, or is the
            second one with annotations of an image.
    """
    images = {x["id"]: x for x in dataset["images"]}
    reviewed: dict[int, list[ReviewedBox]] = {}
    for task in export:
        if not isinstance(task, Mapping):
            raise InputError(f"{task!r} in Label Studio's export is no task: export as JSON")
        name = f"task {task.get('id')} of Label Studio's export"
        if "annotations" not in task or not isinstance(task.get("data"), Mapping):
            raise InputError(f"{name} has no annotations or data: export as JSON, not as JSON-MIN")
        image = images.get(task["data"].get("image_id"))
        if image is None:
            raise InputError(
                f"{name} has the image_id {task['data'].get('image_id')!r}, which the data set "
                "lacks: give the completed file that the tasks were made of"
            )
        submitted = [x for x in task["annotations"] if not x.get("was_cancelled")]
        if not submitted:
            continue
        if image["id"] in reviewed:
            raise InputError(
                f"{name} is the second one with annotations of the image {image['id']}: which of "
                "them holds is not known, remove one"
            )
        latest = max(submitted, key=lambda x: x.get("updated_at") or "")
        reviewed[image["id"]] = [_reviewed_box(x, image, name) for x in latest["result"]]
    return reviewed


def _reviewed_box(
    region: Mapping[str, Any], image: Mapping[str, Any], task_name: str
) -> ReviewedBox:
    if region.get("type") != "rectanglelabels":
        raise InputError(
            f"{task_name} has a region of type {region.get('type')!r}: only rectangles can come "
            "back, remove it"
        )
    value = region["value"]
    if not value.get("rectanglelabels"):
        raise InputError(f"{task_name} has a rectangle without a label: give it one or remove it")
    x, width = (value[key] * image["width"] / 100 for key in ("x", "width"))
    y, height = (value[key] * image["height"] / 100 for key in ("y", "height"))
    angle = math.radians(value.get("rotation", 0))
    cos, sin = math.cos(angle), math.sin(angle)
    # Rectangles turn about their first corner.
    across = [0, width * cos, -height * sin, width * cos - height * sin]
    down = [0, width * sin, height * cos, width * sin + height * cos]
    box = x + min(across), y + min(down), max(across) - min(across), max(down) - min(down)
    return ReviewedBox(value["rectanglelabels"][0], box)


def read_cvat(
    export: Mapping[str, Any], dataset: Mapping[str, Any]
) -> dict[int, list[ReviewedBox]]:
    """What CVAT exports as COCO 1.0 of the images of a data set.

    CVAT counts images and labels anew, so these are matched by name. All images of the export
    count as reviewed.

    Returns:
        By the data set's own id, the boxes of each image of the export.

    Raises:
        InputError: an image is not one of the data set's, or ambiguous.
    """
    by_name = {x["file_name"]: x["id"] for x in dataset["images"]}
    base_names = Counter(_base_name(name) for name in by_name)
    by_base_name = {_base_name(name): id_ for name, id_ in by_name.items()}
    ids: dict[int, int] = {}
    matched: dict[int, str] = {}
    for image in export["images"]:
        name = image["file_name"]
        base = _base_name(name)
        if name in by_name:
            id_ = by_name[name]
        elif base_names[base] == 1:
            id_ = by_base_name[base]
        else:
            raise InputError(
                f"CVAT's export has the image {name}, which is "
                f"{'ambiguous' if base_names[base] else 'missing'} in the data set"
            )
        if id_ in matched:
            raise InputError(
                f"CVAT's export has {matched[id_]} and {name}, which are the same image of the "
                "data set: export nothing but what was imported"
            )
        ids[image["id"]] = id_
        matched[id_] = name
    names = {x["id"]: x["name"] for x in export["categories"]}
    of_image = _by_image(export["annotations"])
    return {
        id_: [ReviewedBox(names[x["category_id"]], tuple(x["bbox"])) for x in of_image[cvat_id]]
        for cvat_id, id_ in ids.items()
    }


def apply_review(
    dataset: Mapping[str, Any], reviewed: Mapping[int, Sequence[ReviewedBox]]
) -> tuple[dict[str, Any], dict[str, int]]:
    """The data set that a review makes of a completed one.

    A box that the reviewer left where it was is the annotation that it was before, with all its
    fields and its id, but a mined one loses ``score`` and ``origin``: it is an annotation like the
    others. What he moved, relabelled or drew has a new id. What he deleted is gone. Of an image
    that was not reviewed, the mined boxes are left out.

    Args:
        dataset: the completed one; it isn't changed.
        reviewed: by image id, the boxes that are right.

    Returns:
        The data set, with the counts in ``info["reviewed"]``, and the counts.

    Raises:
        InputError: a box has a category that the data set lacks.
    """
    category_ids = {x["name"]: x["id"] for x in dataset["categories"]}
    counts = Counter(dict.fromkeys(COUNTS, 0))
    annotations = []
    new = []
    of_image = _by_image(dataset["annotations"])
    for image in dataset["images"]:
        before = of_image[image["id"]]
        boxes = reviewed.get(image["id"])
        if boxes is None:
            mined = [x for x in before if x.get("origin") == MINED]
            annotations += [x for x in before if x.get("origin") != MINED]
            counts["mined, image not reviewed: left out"] += len(mined)
            continue
        counts["images reviewed"] += 1
        left = list(boxes)
        for annotation in before:
            same = next((x for x in left if _is_same(x, annotation, category_ids)), None)
            is_mined = annotation.get("origin") == MINED
            if same is None:
                counts["mined, rejected" if is_mined else "annotated, deleted"] += 1
                continue
            left.remove(same)
            if is_mined:
                counts["mined, accepted"] += 1
                annotation = {k: v for k, v in annotation.items() if k not in ("score", "origin")}
            annotations.append(annotation)
        for box in left:
            if box.category not in category_ids:
                raise InputError(
                    f"{image['file_name']} has a box of {box.category!r}, which is none of the "
                    f"data set's categories: {', '.join(category_ids)}"
                )
            bbox = [round(x, 2) for x in box.bbox]
            new.append((image["id"], category_ids[box.category], bbox))
    counts["drawn or changed"] = len(new)
    for id_, (image_id, category_id, bbox) in enumerate(new, _free_id(dataset["annotations"])):
        area = round(bbox[2] * bbox[3], 4)
        annotations.append(
            {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": bbox,
             "area": area, "iscrowd": 0}
        )  # fmt: skip
    info = {**info_of(dataset), "reviewed": dict(counts)}
    return {**dataset, "info": info, "annotations": annotations}, dict(counts)


def _is_same(
    box: ReviewedBox, annotation: Mapping[str, Any], category_ids: Mapping[str, int]
) -> bool:
    if category_ids.get(box.category) != annotation["category_id"]:
        return False
    return all(
        abs(a - b) <= SAME_BOX
        for a, b in zip(_edges(box.bbox), _edges(annotation["bbox"]), strict=True)
    )


def _edges(bbox: Sequence[float]) -> tuple[float, float, float, float]:
    x, y, width, height = bbox
    return x, y, x + width, y + height


def _free_id(annotations: Sequence[Mapping[str, Any]]) -> int:
    """From here on, no annotation has an id."""
    return max((x["id"] for x in annotations if "id" in x), default=0) + 1


def _numbered(annotations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The annotations, each with an id, as the tools need it."""
    free = count(_free_id(annotations))
    return [x if "id" in x else {**x, "id": next(free)} for x in annotations]


def _by_image(annotations: Sequence[Mapping[str, Any]]) -> dict[int, list[Any]]:
    of_image = defaultdict(list)
    for annotation in annotations:
        of_image[annotation["image_id"]].append(annotation)
    return of_image


def _base_name(file_name: str) -> str:
    return file_name.replace("\\", "/").rsplit("/", 1)[-1]
