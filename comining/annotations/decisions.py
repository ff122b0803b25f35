"""What a reviewer decides about the boxes of a completed data set: one JSON object a line.

Every decision has ``key`` (a text of its own, so that one that is sent twice counts once),
``action``, ``image_id`` and ``time`` (ISO 8601). The actions and what else they have:

    accept, reject  ``id`` of the box, ``was``
    change          ``id``, ``was``, and ``bbox``, ``category_id`` or both: the box is right so
    add             ``id`` (a new text), ``bbox``, ``category_id``: a box that the reviewer drew
    finish          nothing: all objects of all categories of the image are annotated
    undo            ``of``, the ``key`` of an earlier decision, which doesn't count any more

Boxes are XYWH in pixels. ``id`` is an integer for an annotation of the data set and a text for a
box that was drawn. ``was`` is the ``bbox`` that an annotation has in the data set, so that a
decision can't be taken for one about another box after the data set was made anew; drawn boxes have
none. Annotated boxes can be decided about like mined ones. Of several decisions about a box, the
last one counts, but a changed box or category stays changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from comining.errors import InputError

#: Why a decision fits nothing, and what to do.
ELSEWHERE = (
    "it was made about another version of the data set; move the decisions away to begin anew"
)
#: By action, the fields beside those that all have. Of a change, either of the last two will do.
FIELDS: dict[str, tuple[str, ...]] = {
    "accept": ("id", "was"),
    "reject": ("id", "was"),
    "change": ("id", "was", "bbox", "category_id"),
    "add": ("id", "bbox", "category_id"),
    "finish": (),
    "undo": ("of",),
}
#: Fields of every decision.
COMMON = ("key", "action", "image_id", "time")
KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: The page rounds boxes to tenths of a pixel.
SAME_BOX = 0.1


@dataclass
class Outcome:
    """What the decisions about one box come to.

    Attributes:
        image_id: its image.
        is_right: whether the box stays.
        bbox: XYWH in pixels if it was changed or drawn.
        category_id: if it was changed or drawn.
    """

    image_id: int
    is_right: bool = True
    bbox: list[float] | None = None
    category_id: int | None = None


class Decisions:
    """Decisions about one data set, in the order in which they were made.

    Attributes:
        records: the decisions, as they stand in the file.
    """

    def __init__(self, dataset: Mapping[str, Any]) -> None:
        """The data set is in COCO format and `numbered`."""
        self.records: list[dict[str, Any]] = []
        self._sizes = {x["id"]: (x["width"], x["height"]) for x in dataset["images"]}
        self._categories = {x["id"] for x in dataset["categories"]}
        self._annotations = {x["id"]: x for x in dataset["annotations"]}
        self._drawn: dict[str, int] = {}  # by id, the image
        self._by_key: dict[str, dict[str, Any]] = {}

    def add(self, record: Any) -> bool:
        """Check a decision and take it in.

        Returns:
            False if it is known already.

        Raises:
            InputError: it is none, or not about this data set.
        """
        if not isinstance(record, dict):
            raise InputError(f"{_short(record)} is no decision: it must be an object")
        key = record.get("key")
        if not isinstance(key, str) or not KEY.fullmatch(key):
            raise InputError(f"a decision has the key {_short(key)}; it must be a short text")
        if key in self._by_key:
            return False
        try:
            self._check(record)
        except InputError as error:
            raise InputError(f"the decision {key} {error}") from error
        if record["action"] == "add":
            self._drawn[record["id"]] = record["image_id"]
        self._by_key[key] = record
        self.records.append(record)
        return True

    def forget_last(self) -> None:
        """Take the last decision back, as if it had not been made."""
        record = self.records.pop()
        del self._by_key[record["key"]]
        if record["action"] == "add":
            del self._drawn[record["id"]]

    def _check(self, record: dict[str, Any]) -> None:
        action = record.get("action")
        if not isinstance(action, str) or action not in FIELDS:
            raise InputError(f"has the action {_short(action)}, not one of {', '.join(FIELDS)}")
        unknown = sorted(set(record) - {*COMMON, *FIELDS[action]})
        if unknown:
            raise InputError(f"has {_short(unknown[0])}, which {action!r} has not")
        if not _is_integer(record.get("image_id")) or record["image_id"] not in self._sizes:
            raise InputError(
                f"has the image_id {_short(record.get('image_id'))}, which the data set lacks"
            )
        if not _is_time(record.get("time")):
            raise InputError(f"has the time {_short(record.get('time'))}, which is not ISO 8601")
        if action == "undo":
            of = record.get("of")
            former = self._by_key.get(of) if isinstance(of, str) else None
            if former is None or former["action"] == "undo":
                raise InputError(f"undoes {_short(record.get('of'))}, which is no earlier decision")
        elif action == "add":
            self._check_new_id(record.get("id"))
        elif action != "finish":
            self._check_box_known(record)
        self._check_values(record, action)

    def _check_new_id(self, id_: Any) -> None:
        if not isinstance(id_, str) or not KEY.fullmatch(id_) or id_ in self._drawn:
            raise InputError(f"draws a box with the id {_short(id_)}; it must be a new short text")

    def _check_box_known(self, record: dict[str, Any]) -> None:
        id_, image_id = record.get("id"), record["image_id"]
        if isinstance(id_, str):
            if self._drawn.get(id_) != image_id:
                raise InputError(f"is about a box {_short(id_)} that nobody drew in {image_id}")
            return
        annotation = self._annotations.get(id_) if _is_integer(id_) else None
        if annotation is None or annotation["image_id"] != image_id:
            raise InputError(
                f"is about an annotation {_short(id_)} that image {image_id} lacks: {ELSEWHERE}"
            )
        was = record.get("was", [])
        if not _is_box(was):
            raise InputError(f"has 'was' {_short(was)}; it must be a list of four numbers")
        if any(abs(a - b) > SAME_BOX for a, b in zip(was, annotation["bbox"], strict=True)):
            raise InputError(
                f"is about an annotation {id_} at {was}, which lies at {annotation['bbox']}: "
                f"{ELSEWHERE}"
            )

    def _check_values(self, record: dict[str, Any], action: str) -> None:
        needed = {"bbox", "category_id"} & set(FIELDS[action])
        given = needed & set(record)
        if needed and not (given if action == "change" else given == needed):
            raise InputError("lacks a bbox or a category_id")
        if "category_id" in given and (
            not _is_integer(record["category_id"])
            or record["category_id"] not in self._categories
        ):  # fmt: skip
            raise InputError(
                f"has the category_id {_short(record['category_id'])}, which the data set lacks"
            )
        if "bbox" in given and not _lies_in(record["bbox"], self._sizes[record["image_id"]]):
            raise InputError(
                f"has the bbox {_short(record['bbox'])}; it must be [x, y, width, height] with an "
                "area, inside the image"
            )

    def effective(self) -> Iterator[dict[str, Any]]:
        """The decisions that were not undone, without the undoing ones."""
        undone = {x["of"] for x in self.records if x["action"] == "undo"}
        return (x for x in self.records if x["action"] != "undo" and x["key"] not in undone)

    def finished(self) -> set[int]:
        """The ids of the finished images."""
        return {x["image_id"] for x in self.effective() if x["action"] == "finish"}

    def outcomes(self) -> dict[int | str, Outcome]:
        """By id, what became of each box that was decided about, drawn ones in their order."""
        outcomes: dict[int | str, Outcome] = {}
        for x in self.effective():
            if x["action"] == "finish":
                continue
            # Where the drawing was undone, what followed is void.
            if isinstance(x["id"], str) and x["action"] != "add" and x["id"] not in outcomes:
                continue
            outcome = outcomes.setdefault(x["id"], Outcome(x["image_id"]))
            outcome.is_right = x["action"] != "reject"
            outcome.bbox = x.get("bbox", outcome.bbox)
            outcome.category_id = x.get("category_id", outcome.category_id)
        return outcomes


def parse_decisions(content: bytes, dataset: Mapping[str, Any], name: str) -> tuple[Decisions, int]:
    """The decisions in the content of a file, and how many of its bytes hold them.

    A last line that was written in part, as a program does that is killed, is left out: its
    decision never counted as saved.

    Raises:
        InputError: another line is no decision about the data set, ``numbered``.
    """
    decisions = Decisions(dataset)
    length = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        is_torn = not line.endswith(b"\n")
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if is_torn:
                break
            raise InputError(
                f"{name}, line {number} is not JSON ({error}): "
                "download the decisions from the page again, or remove the line"
            ) from error
        if is_torn and not isinstance(record, dict):
            break
        try:
            decisions.add(record)
        except InputError as error:
            raise InputError(f"{name}, line {number}: {error}") from error
        length += len(line)
    return decisions, length


def read_decisions(path: Path, dataset: Mapping[str, Any]) -> Decisions:
    """The decisions of a file about a data set that is `numbered`.

    Raises:
        InputError: the file can't be read, or a line of it is no decision about the data set.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    return parse_decisions(content, dataset, str(path))[0]


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        # NaN is not below.
        and all(_is_integer(x) or isinstance(x, float) for x in value)
        and all(abs(x) < 1e9 for x in value)
    )


def _lies_in(bbox: Any, size: tuple[int, int]) -> bool:
    if not _is_box(bbox):
        return False
    x, y, width, height = bbox
    right, bottom = (extent + SAME_BOX for extent in size)  # the page rounds to tenths
    return (
        min(x, y) >= 0
        and min(width, height) > 0
        and x + width <= right
        and y + height <= bottom
    )  # fmt: skip


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (AttributeError, TypeError, ValueError):
        return False
    return True


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
