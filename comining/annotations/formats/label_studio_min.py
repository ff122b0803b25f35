"""Label Studio: annotations as JSON-MIN."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.errors import InputError

from .document import Document, Entry, ImageEdits, NewBox, Shape, mined
from .geometry import Size
from .label_studio_regions import (
    RECTANGLE,
    image_of,
    rectangle,
    region_box,
    region_kind,
    region_label,
    region_size,
)

Item = dict[str, Any]


class LabelStudioMinDocument(Document):
    """Images are known by the places of their items, shapes by their list and place in it.

    JSON-MIN has an item for each annotation; of several of one task, the latest is taken. It has
    no room for predictions, so that mined boxes stand among the regions, marked by ``origin`` and
    ``score``.
    """

    format = "label_studio"
    suffix = ".label_studio.json"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._items: list[Item] = read_json(path)
        for place, item in enumerate(self._items):
            for key, regions in _lists(item):
                if not all(isinstance(x, dict) for x in regions):
                    raise InputError(
                        f"{path}: item {place + 1}: {key!r} holds something else than regions: "
                        "export as JSON-MIN again"
                    )
        latest: dict[str, int] = {}
        for place, item in enumerate(self._items):
            task = str(item.get("id", f"item {place}"))
            other = latest.get(task)
            if other is None or _updated(item) >= _updated(self._items[other]):
                latest[task] = place
        self._places = sorted(latest.values())
        if len(self._places) < len(self._items):
            self.notes["annotations of a task that has a later one: left out"] = len(
                self._items
            ) - len(self._places)

    def entries(self) -> Iterator[Entry]:
        for place in self._places:
            item = self._items[place]
            where = f"{self.path}: item {place + 1}"
            sizes = (region_size(x, where) for _, regions in _lists(item) for x in regions)
            yield Entry(place, image_of(item, where), next(filter(None, sizes), None), where)

    def shapes(self, entry: Entry, size: Size) -> Iterator[Shape]:
        for key, regions in _lists(self._items[entry.key]):
            for place, region in enumerate(regions):
                where = f"{entry.where}: {key} {place + 1}"
                label, kind = region_label(region), region_kind(region)
                box = region_box(region, size, where) if label else None
                if label is None or box is None:
                    self.notes[f"regions of the kind {kind!r}: left out"] += 1
                    continue
                if region.get("rotation"):
                    self.notes["regions are rotated: taken upright, large enough to hold them"] += 1
                elif kind != RECTANGLE:
                    self.notes[f"regions of the kind {kind!r}: taken by their boxes"] += 1
                is_mined = region.get("origin") == "mined"
                record = mined(region.get("score")) if is_mined else {}
                yield Shape((key, place), label, box, record)

    def write(self, edits: Sequence[ImageEdits], dataset: dict[str, Any], target: Path) -> None:
        items = copy.deepcopy(self._items)
        lists = [x for item in items for x in _lists(item)]
        of_boxes = (key for key, regions in lists if region_kind(regions[0]) == RECTANGLE)
        key_of_new = next(of_boxes, "label")
        for edit in edits:
            if edit.key is None:
                item: Item = {"image": edit.file_name}
                items.append(item)
            else:
                item = items[edit.key]
            for key, regions in _lists(item):
                item[key] = [
                    _region(edit.changed[key, place], edit.size)
                    if (key, place) in edit.changed
                    else region
                    for place, region in enumerate(regions)
                    if (key, place) not in edit.removed
                ]
            if edit.added:
                added = [_region(new, edit.size) for new in edit.added]
                there = item.get(key_of_new)
                item[key_of_new] = [*(there if isinstance(there, list) else []), *added]
        target.write_text(json.dumps(items, ensure_ascii=False, indent=2), encoding="utf-8")


def is_label_studio_min(content: Any) -> bool:
    """Whether JSON is an export as JSON-MIN."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(x, dict) for x in content)
        and any("annotation_id" in x or _lists(x) for x in content)
    )


def _lists(item: Item) -> list[tuple[str, list[dict[str, Any]]]]:
    """The lists of regions, by the names of what drew them."""
    return [
        (key, value)
        for key, value in item.items()
        if isinstance(value, list)
        and any(isinstance(x, dict) and ("original_width" in x or region_label(x)) for x in value)
    ]


def _updated(item: Item) -> str:
    return str(item.get("updated_at") or "")


def _region(new: NewBox, size: Size) -> dict[str, Any]:
    marks = {} if new.score is None else {"origin": "mined", "score": new.score}
    return {
        **rectangle(new, size),
        "original_width": size[0],
        "original_height": size[1],
        **marks,
    }
