"""The boxes of what Label Studio exports."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from comining.errors import InputError

from .exchange_boxes import ExportedBox, ReviewedBox, upright_boxes
from .exchange_fields import as_key, as_number, is_true
from .exchange_images import ImageNames, is_end_of
from .report import Report
from .review_label_studio import IMAGE

#: Types of results that are no regions of the image: what else was asked.
_ANSWERS = {
    "choices", "datetime", "number", "pairwise", "ranker", "rating", "relation", "taxonomy",
    "textarea",
}  # fmt: skip


def read_label_studio(
    export: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any], report: Report
) -> dict[int, list[ReviewedBox]]:
    """What came of the tasks of `label_studio_tasks`, from the export as JSON.

    A task counts as reviewed if an annotation was submitted, of several the latest. Rotated
    rectangles become the upright ones around them.

    Args:
        export: tasks.
        dataset: what the tasks were made of.
        report: gets what was repaired, and an error for each kind of thing that can't be used: a
            task that is not of the data set or is the second one with annotations of an image, a
            region that is no rectangle with one known label and four numbers.

    Returns:
        By id, the boxes of each reviewed image; right if the report has no error.

    Raises:
        InputError: the export has another form.
    """
    if not export:
        raise InputError(f"{report.json_file} has no tasks: export them from Label Studio as JSON")
    reader = _Reader(dataset)
    for number, task in enumerate(export):
        if not isinstance(task, Mapping):
            raise InputError(
                f"{report.json_file}: entry {number} of Label Studio's export is {task!r}, no "
                "task: export as JSON"
            )
        name = f"task {task['id']}" if task.get("id") is not None else f"entry {number}"
        submissions = task.get("annotations", task.get("completions"))
        if not isinstance(submissions, list) or not isinstance(task.get("data"), Mapping):
            raise InputError(
                f"{report.json_file}: {name} of Label Studio's export has no annotations or data: "
                "export as JSON, not as JSON-MIN"
            )
        reader.read(task["data"], submissions, name)
    report.num_images = len(export)
    report.num_annotations = len(reader.boxes)
    report.num_categories = len({label for box in reader.boxes for label in box.labels})
    for (severity, text), offenders in reader.found.items():
        report.add(severity, text, offenders)
    boxes = upright_boxes(reader.boxes, (x["name"] for x in dataset["categories"]), report)
    return {id_: boxes.get(id_, []) for id_ in reader.reviewed}


class _Reader:
    """Collects rectangles of tasks, and what can't be used.

    Attributes:
        boxes: the rectangles.
        reviewed: for the id of each reviewed image, the name of its task.
        found: names of offenders by severity and text.
    """

    def __init__(self, dataset: Mapping[str, Any]) -> None:
        self._images = {x["id"]: x for x in dataset["images"]}
        self._names = ImageNames(dataset["images"])
        self.boxes: list[ExportedBox] = []
        self.reviewed: dict[int, str] = {}
        self.found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)

    def read(self, data: Mapping[str, Any], submissions: Sequence[Any], name: str) -> None:
        """Collect the rectangles of a task's latest submission."""
        if not all(isinstance(x, Mapping) for x in submissions):
            self._refuse("tasks have annotations without their content: export as JSON", name)
            return
        submitted = [
            x
            for x in submissions
            if not is_true(x.get("was_cancelled")) and not is_true(x.get("skipped"))
        ]
        image = self._image_of(data, name)
        if image is None or not submitted:
            return
        if image["id"] in self.reviewed:
            self._refuse(
                "tasks are the second one with annotations of their image, and which one holds is "
                "not known: remove one",
                f"{name}: image {image['id']}, as {self.reviewed[image['id']]}",
            )
            return
        self.reviewed[image["id"]] = name
        results = max(submitted, key=_age).get("result")
        if not isinstance(results, list) or not all(isinstance(x, Mapping) for x in results):
            self._refuse("tasks have an annotation without a list of results: export again", name)
            return
        for region, value in self._rectangles(results, name):
            box = _exported_box(region, value, image, name)
            self.boxes.append(box)
            if not _is_shown_as(region, image):
                self._refuse(
                    "regions were drawn on an image of another shape than the data set's: show "
                    "Label Studio the same image",
                    f"{box.name}: {region['original_width']}x{region['original_height']}, not "
                    f"{image['width']}x{image['height']}",
                )

    def _refuse(self, text: str, offender: str) -> None:
        self.found["error", text].append(offender)

    def _image_of(self, data: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        """That of the task's ``image_id``; its URL serves where there is none, and as a check."""
        id_, url = as_key(data.get("image_id")), data.get(IMAGE)
        url = url if isinstance(url, str) else ""
        image = self._images.get(id_)
        if image is not None and is_end_of(image["file_name"], url):
            return image
        of_url = self._names.find(url)
        if id_ is None and len(of_url) == 1:
            return of_url[0]
        if image is None:
            self._refuse(
                "tasks have an image_id that the data set lacks: give the completed file that the "
                "tasks were made of",
                f"{name}: image_id {data.get('image_id')!r}",
            )
        elif of_url and image not in of_url:
            self._refuse(
                "tasks have another image than the one that has their image_id in the data set: "
                "give the completed file that the tasks were made of",
                f"{name}: {url}, not {image['file_name']}",
            )
            return None
        return image

    def _rectangles(
        self, results: Sequence[Mapping[str, Any]], name: str
    ) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Each rectangle and its value. With an interface of Rectangle and Labels, a region is
        two results with one id."""
        of_two: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        for number, region in enumerate(results):
            value = region.get("value")
            value = value if isinstance(value, Mapping) else {}
            implied = "rectanglelabels" if "rectanglelabels" in value else "no type"
            kind = str(region.get("type") or implied)
            if kind == "rectanglelabels":
                yield region, value
            elif kind in ("rectangle", "labels"):
                key = str(region.get("id", f"without id {number}"))
                _, other = of_two.get(key, (None, {}))
                of_two[key] = region, {**other, **value}
            elif kind in _ANSWERS:
                self.found["note", "answers are not about boxes: left out"].append(
                    f"{name}: {kind}"
                )
            else:
                self._refuse(
                    "regions are of another kind: only rectangles can come back, remove them",
                    f"{_region_name(region, name)}: {kind}",
                )
        yield from of_two.values()


def _exported_box(
    region: Mapping[str, Any], value: Mapping[str, Any], image: Mapping[str, Any], name: str
) -> ExportedBox:
    labels = value.get("rectanglelabels") or value.get("labels") or []
    return ExportedBox(
        _region_name(region, name),
        image,
        [str(x) for x in (labels if isinstance(labels, list) else [labels]) if x not in ("", None)],
        [value.get(key) for key in ("x", "y", "width", "height")],
        (image["width"] / 100, image["height"] / 100),
        value.get("rotation"),
        (0, 0),
    )


def _region_name(region: Mapping[str, Any], task_name: str) -> str:
    return f"{task_name}, region {region.get('id')}"


def _is_shown_as(region: Mapping[str, Any], image: Mapping[str, Any]) -> bool:
    """Whether an image had its proportions, up to a pixel, when a region was drawn on it."""
    width, height = (as_number(region.get(f"original_{x}")) for x in ("width", "height"))
    if not width or not height:
        return True
    difference = abs(width * image["height"] - height * image["width"])
    return difference <= image["width"] + image["height"]


def _age(submission: Mapping[str, Any]) -> tuple[float, float]:
    """What grows with the time of a submission: seconds, then its id."""
    when = submission.get("updated_at") or submission.get("created_at")
    number = as_number(submission.get("id"))
    return _seconds(when), -1 if number is None else number


def _seconds(when: Any) -> float:
    """Of a time as number or ISO text; what is neither counts as older than all others."""
    number = as_number(when)
    if number is not None:
        return number
    try:
        time = datetime.fromisoformat(str(when).replace("Z", "+00:00"))
    except ValueError:
        return -1
    return time.replace(tzinfo=time.tzinfo or timezone.utc).timestamp()
