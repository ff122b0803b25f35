"""What was detected in pictures, as one COCO file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Instances

from comining.data.pictures import PICTURES, Picture
from comining.output_file import write_atomically


class Predictions:
    """What has been detected in pictures.

    The file that `write` makes is a COCO file: ``images`` have ``annotated``, the path of the
    annotated picture below the output, and of a frame of a video also ``video`` and ``frame``
    (counted from 0); ``annotations`` are in the form of COCO's results, with ``id``, ``area`` and
    ``iscrowd``; ``categories`` are those of the data, or else numbered; ``info`` has
    ``image_root``, the common folder of the inputs.
    """

    def __init__(self, categories: list[dict[str, Any]], root: Path) -> None:
        """
        Args:
            categories: from `find_categories`.
            root: the common folder of the inputs.
        """
        self.root = root
        self.classes = dict(enumerate(categories))  # by the model's number
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self._places: set[str] = set()

    def add(self, picture: Picture, instances: Instances) -> str:
        """Add the objects of a picture. Returns where to draw it, a path below the output."""
        for number in instances.pred_classes.tolist():
            self.classes.setdefault(number, {"id": number, "name": str(number)})
        height, width = picture.pixels.shape[:2]
        image = {
            "id": len(self.images) + 1,
            "file_name": picture.name,
            "width": width,
            "height": height,
            "annotated": self._place_of(picture.name),
            **picture.origin,
        }
        self.images.append(image)
        for found in instances_to_coco_json(instances, image["id"]):
            found["category_id"] = self.classes[found["category_id"]]["id"]
            area = found["bbox"][2] * found["bbox"][3]
            self.annotations.append(
                {"id": len(self.annotations) + 1, **found, "area": area, "iscrowd": 0}
            )

        return image["annotated"]

    def _place_of(self, name: str) -> str:
        is_usual = Path(name).suffix.lower() in (".jpg", ".jpeg", ".png")
        place = f"{PICTURES}/{name}" if is_usual else f"{PICTURES}/{name}.jpg"
        while place in self._places:
            place += ".jpg"
        self._places.add(place)
        return place

    def write(self, path: Path) -> None:
        """Write the JSON file, completely or not at all."""
        content = {
            "info": {"image_root": str(self.root)},
            "images": self.images,
            "annotations": self.annotations,
            "categories": [self.classes[number] for number in sorted(self.classes)],
        }
        write_atomically(path, lambda file: file.write(f"{json.dumps(content)}\n".encode()))
