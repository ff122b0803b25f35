"""COCO JSON."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_coco, read_json
from comining.annotations.known import LISTS
from comining.annotations.report import some
from comining.errors import InputError

from .document import Document, Entry, ImageEdits, NewBox, Shape
from .geometry import Size


class CocoDocument(Document):
    """One file; read by `comining.annotations.coco_file.read_coco`.

    Images are known by their ids, annotations by their places in the file. Annotations that
    `read_coco` drops stay in the file that is written.
    """

    format = "coco"
    suffix = ".json"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        dataset, report = read_coco(path)
        if report.is_fatal:
            raise InputError(str(report))
        for finding in report.findings:
            if finding.severity == "repaired" and finding.offenders:
                self.notes[f"{finding.text} ({some(finding.offenders)})"] = len(finding.offenders)
        self.categories = dataset["categories"]
        self._names = {None: None, **{x["id"]: x["name"] for x in self.categories}}
        self._images = dataset["images"]
        self._top_level = {k: v for k, v in dataset.items() if k not in _LISTS}
        self._raw = read_json(path)
        if "annotations" not in self._raw:
            raise InputError(
                f"{path} has no list 'annotations', only {', '.join(self._raw)}: name the list so, "
                "even if it is empty"
            )
        if any(_ids(self._raw[key]) != _ids(dataset[key]) for key in ("images", "categories")):
            self._raw = dataset  # ids were repaired: their old forms would not fit new boxes
        counts = Counter(x["id"] for x in dataset["annotations"] if "id" in x)
        self._unique = {id_ for id_, number in counts.items() if number == 1}
        self._of_image: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for place, annotation in self._places(dataset["annotations"]):
            self._of_image[annotation["image_id"]].append((place, annotation))

    def _places(self, sound: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Where in the file each annotation stands that `read_coco` left, and the annotation."""
        places = {id_: place for place, id_ in enumerate(_ids(self._raw["annotations"]))}
        ids = _ids(sound)
        if len(places) == len(self._raw["annotations"]) and places.keys() >= set(ids):
            return ((places[id_], x) for id_, x in zip(ids, sound, strict=True))
        if len(sound) < len(self._raw["annotations"]):
            # Which were dropped can't be told without ids of their own: they go.
            self._raw = {**self._raw, "annotations": sound}
        return enumerate(sound)

    def top_level(self) -> dict[str, Any]:
        return self._top_level

    def entries(self) -> Iterator[Entry]:
        for image in self._images:
            size = image["width"], image["height"]
            where = f"{self.path}: image {image['id']}"
            yield Entry(image["id"], image["file_name"], size, where, image)

    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        for place, annotation in self._of_image[entry.record["id"]]:
            x, y, width, height = annotation["bbox"]
            record = annotation
            if annotation.get("id") not in self._unique:
                record = {k: v for k, v in annotation.items() if k != "id"}
            label = self._names[annotation["category_id"]]
            yield Shape(place, label, (x, y, x + width, y + height), record)

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        removed = {ref for edit in edits for ref in edit.removed}
        changed = {ref: new for edit in edits for ref, new in edit.changed.items()}
        annotations = [
            _record(changed[place]) if place in changed else old
            for place, old in enumerate(self._raw["annotations"])
            if place not in removed
        ]
        annotations += [_record(new) for edit in edits for new in edit.added]
        listed = {x["id"] for x in self._images}
        images = {x["id"]: x for x in dataset["images"]}
        # Ids are as in the file, or the file's images would be the repaired ones.
        raw = [_image(x, images.get(x["id"], x)) for x in self._raw["images"]]
        unlisted = [x for x in dataset["images"] if x["id"] not in listed]
        top_level = {k: v for k, v in dataset.items() if k not in _LISTS}
        result = {
            **self._raw,
            **top_level,
            "images": [*raw, *unlisted],
            "annotations": annotations,
        }
        target.write_text(json.dumps(result), encoding="utf-8")


_LISTS = ("images", "annotations", "categories")


def _ids(records: list[dict[str, Any]]) -> list[Any]:
    """Ids as they stand there, 7 apart from "7" and 7.0."""
    return [(type(x.get("id")), str(x.get("id"))) for x in records]


def _image(raw: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    """The record of a file's image, with what is known of it now."""
    kept = {k: v for k, v in raw.items() if k not in LISTS}
    return {**kept, **{k: image[k] for k in (*LISTS, "finished") if k in image}}


def _record(new: NewBox) -> dict[str, Any]:
    """The COCO record of a box; an outline that no longer fits it goes."""
    left, top, right, bottom = (round(x, 4) for x in new.box)
    bbox = [left, top, round(right - left, 4), round(bottom - top, 4)]
    record = {k: v for k, v in new.record.items() if k != "segmentation"}
    return {**record, "bbox": bbox, "area": round(bbox[2] * bbox[3], 4)}
