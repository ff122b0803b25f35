"""Label Studio: tasks as JSON."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.errors import InputError

from .document import Document, Entry, ImageEdits, NewBox, Shape, mined
from .geometry import Size
from .label_studio_regions import (
    MODEL,
    RECTANGLE,
    image_of,
    percent,
    rectangle,
    region_box,
    region_kind,
    region_label,
    region_size,
)

Task = dict[str, Any]


class LabelStudioDocument(Document):
    """Images are known by the places of their tasks, shapes by their result and their place in it.

    Of several annotations of a task, one marked as ground truth is taken, else the latest that
    wasn't cancelled. Predictions are left out, but for those that are marked as mined.
    """

    format = "label_studio"
    suffix = ".label_studio.json"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._tasks: list[Task] = read_json(path)
        for place, task in enumerate(self._tasks):
            for key in ("annotations", "completions", "predictions"):
                if not isinstance(task.get(key, []), list) or not all(
                    isinstance(x, dict) and _is_result(x.get("result", []))
                    for x in task.get(key, [])
                ):
                    raise InputError(
                        f"{self._where(place)}: {key!r} must hold objects, each with a list "
                        "'result': export as JSON again"
                    )

    def _where(self, place: int) -> str:
        return f"{self.path}: task {self._tasks[place].get('id', place + 1)}"

    def entries(self) -> Iterator[Entry]:
        for place, task in enumerate(self._tasks):
            where = self._where(place)
            sizes = (region_size(x, where) for _, result in _results(task) for x in result)
            name = image_of(task.get("data") or {}, where)
            yield Entry(place, name, next(filter(None, sizes), None), where)

    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        task = self._tasks[entry.key]
        annotations = _annotations(task)
        if len(annotations) > 1:
            self.notes["tasks have several annotations: the latest taken"] += 1
        elif not annotations:
            self.notes["tasks have no annotation that was submitted: without boxes"] += 1
        others = [x for x in task.get("predictions", []) if x.get("model_version") != MODEL]
        if others:
            self.notes["predictions: left out"] += len(others)
        for list_name, result in _results(task):
            labelled = {_id(x, None) for x in result if region_label(_value(x))}
            for place, region in enumerate(result):
                where = f"{entry.where}: region {region.get('id', place + 1)}"
                label, kind = region_label(_value(region)), region_kind(_value(region))
                if label is None and _id(region, None) in labelled:
                    continue  # another aspect of a region that has a label
                box = region_box(_value(region), size, where) if label else None
                if label is None or box is None:
                    self.notes[f"regions of the kind {kind!r}: left out"] += 1
                    continue
                if _value(region).get("rotation"):
                    self.notes["regions are rotated: taken upright, large enough to hold them"] += 1
                elif "x" not in _value(region) or "radiusX" in _value(region):
                    self.notes[f"regions of the kind {kind!r}: taken by their boxes"] += 1
                record = mined(region.get("score")) if list_name == "predictions" else {}
                yield Shape((list_name, place), label, box, record)

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        tasks = copy.deepcopy(self._tasks)
        for edit in edits:
            if edit.key is None:
                task: Task = {"data": {self._image_key(): edit.file_name}, "annotations": []}
                tasks.append(task)
            else:
                task = tasks[edit.key]
            self._edit(task, edit)
        target.write_text(json.dumps(tasks, ensure_ascii=False, indent=2), encoding="utf-8")

    def _edit(self, task: Task, edit: ImageEdits) -> None:
        for list_name, result in _results(task):
            changed = {ref[1]: new for ref, new in edit.changed.items() if ref[0] == list_name}
            moved = {_id(result[place], place): new for place, new in changed.items()}
            removed = {_id(result[ref[1]], ref[1]) for ref in edit.removed if ref[0] == list_name}
            kept = []
            for place, region in enumerate(result):
                id_ = _id(region, place)
                if place in changed:
                    region = self._changed(region, changed[place], edit.size)
                elif id_ in moved and _value(region).keys() & {"x", "points"}:
                    # What else is said of the region, with its place.
                    region = _moved(region, moved[id_], edit.size)
                if id_ not in removed:
                    kept.append(region)
            result[:] = kept
        drawn = [x for x in edit.added if x.score is None]
        if drawn:
            if not _annotations(task):
                task.setdefault("annotations", []).append({"result": []})
            _annotations(task)[0]["result"] += self._regions(task, drawn, edit.size)
        self._predict(task, [x for x in edit.added if x.score is not None], edit.size)

    def _predict(self, task: Task, boxes: list[NewBox], size: Size) -> None:
        own = [x for x in task.get("predictions", []) if x.get("model_version") == MODEL]
        if boxes and not own:
            own = [{"model_version": MODEL, "score": 0.0, "result": []}]
            task.setdefault("predictions", []).append(own[0])
        if not own:
            return
        new = zip(self._regions(task, boxes, size), boxes, strict=True)
        own[0]["result"] += [{**region, "score": x.score} for region, x in new]
        scores = [x["score"] for x in own[0]["result"] if "score" in x]
        if scores:
            own[0]["score"] = min(scores)
        else:
            task["predictions"].remove(own[0])

    def _changed(self, region: dict[str, Any], new: NewBox, size: Size) -> dict[str, Any]:
        value = _value(region)
        if "width" in value:
            key = next((k for k in value if k.endswith("labels")), None)
            labels = {key: [new.label]} if key else {}
            moved = _moved(region, new, size)
            return {**moved, "value": {**moved["value"], **labels}}
        return {**self._region(new, size), "id": region.get("id")}

    def _regions(self, task: Task, boxes: list[NewBox], size: Size) -> Iterator[dict[str, Any]]:
        """New regions, with ids that the task has not: boxes are numbered anew in each reading."""
        taken = {_id(x, None) for _, result in _results(task) for x in result}
        for box in boxes:
            name = f"{MODEL}-{box.record.get('id')}"
            later = (f"{name}-{number}" for number in count(2))
            id_ = next(x for x in chain((name,), later) if x not in taken)
            taken.add(id_)
            yield {**self._region(box, size), "id": id_}

    def _region(self, new: NewBox, size: Size) -> dict[str, Any]:
        names = next(
            (
                x
                for task in self._tasks
                for _, result in _results(task)
                for x in result
                if x.get("type") == RECTANGLE
            ),
            {},
        )
        return {
            "type": RECTANGLE,
            "from_name": names.get("from_name", "label"),
            "to_name": names.get("to_name", "image"),
            "original_width": size[0],
            "original_height": size[1],
            "image_rotation": 0,
            "value": rectangle(new, size),
        }

    def _image_key(self) -> str:
        data = self._tasks[0].get("data") or {}
        return next((k for k in ("image", "img") if k in data), next(iter(data), "image"))


def is_label_studio(content: Any) -> bool:
    """Whether JSON is an export of tasks."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(
            isinstance(x, dict)
            and isinstance(x.get("data"), dict)
            and any(k in x for k in ("annotations", "completions", "predictions"))
            for x in content
        )
    )


def _is_result(result: Any) -> bool:
    return isinstance(result, list) and all(isinstance(x, dict) for x in result)


def _value(region: dict[str, Any]) -> dict[str, Any]:
    value = region.get("value")
    return value if isinstance(value, dict) else {}


def _id(region: dict[str, Any], place: int | None) -> str:
    """What is the same for all results of one region."""
    return str(region.get("id", place))


def _moved(region: dict[str, Any], new: NewBox, size: Size) -> dict[str, Any]:
    """A result with the place of a box."""
    value = {k: v for k, v in _value(region).items() if k not in ("points", "closed")}
    return {**region, "value": {**value, **percent(new.box, size)}}


def _annotations(task: Task) -> list[dict[str, Any]]:
    """Those that were submitted, the best one first."""
    submitted = [
        x
        for x in task.get("annotations") or task.get("completions") or []
        if not x.get("was_cancelled")
    ]
    return sorted(
        submitted,
        key=lambda x: (bool(x.get("ground_truth")), str(x.get("updated_at") or "")),
        reverse=True,
    )


def _results(task: Task) -> list[tuple[str, list[dict[str, Any]]]]:
    """The lists of regions that count, each with the name of the list that it is from."""
    lists = [("annotations", x) for x in _annotations(task)[:1]]
    own = [x for x in task.get("predictions", []) if x.get("model_version") == MODEL]
    lists += [("predictions", x) for x in own[:1]]
    return [(name, x.setdefault("result", [])) for name, x in lists]
