"""The page that tells what a completion did."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image, ImageDraw

from comining.annotations.coco_file import read_json
from comining.annotations.completion import MINED
from comining.annotations.image_files import turned
from comining.counted import counted
from comining.errors import InputError
from comining.output_file import write_atomically
from comining.studies.curves import plot_runs

from .folder import Folder
from .result import advice, interval_text, summary

PAGE = Path(__file__).with_name("report.html")
#: Boxes shown of each kind.
SHOWN = 12
#: Of what the training itself takes for objects. It reads like a poor result, which it isn't:
#: whatever nobody has annotated counts as wrong.
QUALITY = ("comining/mined_precision", "comining/mined_recall")
#: A picture shows its box with as much around it, in boxes, and is so large, in pixels.
AROUND, EDGE = 1.0, 180

Annotation = Mapping[str, Any]


def write_report(
    folder: Folder,
    image_root: Path,
    completed: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    unreadable: Mapping[int, str],
    recall: float | None,
    finished: float = 0.0,
) -> None:
    """Write ``report.html``, one file that needs nothing else.

    Args:
        folder: of the completion.
        image_root: folder of the images.
        completed: the completed data set.
        rows: what `comining.completion.result.category_rows` gives.
        unreadable: by image id, why an image was left out.
        recall: the share of withheld boxes found, in 0..1.
        finished: the share of the images that were finished before, in 0..1.
    """
    mined = [x for x in completed["annotations"] if x.get("origin") == MINED]
    by_score = sorted(mined, key=lambda x: -x["score"])
    doubtful = by_score[SHOWN:][-SHOWN:][::-1]
    number = len(completed["annotations"]) - len(mined)
    pictures = _pictures([*by_score[:SHOWN], *doubtful], completed, image_root)
    text = Template(PAGE.read_text(encoding="utf-8")).substitute(
        summary=html.escape(summary(len(completed["images"]), number, rows, recall, finished)),
        table=_table(rows),
        surest=_figures(by_score[:SHOWN], pictures, completed),
        doubtful=_figures(doubtful, pictures, completed),
        curves=_curves(folder),
        advice=_advice(rows, recall),
        basis=_basis(folder),
        review=_review(folder),
        unreadable=_unreadable(completed, unreadable),
        config=html.escape(folder.config.read_text(encoding="utf-8")),
    )
    write_atomically(folder.report, lambda file: file.write(text.encode()))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    def cell(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    columns = {
        "category": [html.escape(x["name"]) for x in rows],
        "annotated": [str(x["annotated"]) for x in rows],
        "images finished": [f"{x['finished']:.0%}" for x in rows],
        "added": [str(x["added"]) for x in rows],
        "expected right": [cell(x["precision"], ".0%") for x in rows],
        "90% interval": [interval_text(x) for x in rows],
        "found of those withheld": [cell(x["recall"], ".0%") for x in rows],
        "from score": [cell(x["threshold"] if x["added"] else None, ".2f") for x in rows],
    }
    if not any(x["finished"] for x in rows):
        del columns["images finished"]
    head = "".join(f"<th>{name}</th>" for name in columns)
    lines = zip(*columns.values(), strict=True)
    cells = ("".join(f"<td>{value}</td>" for value in line) for line in lines)
    return "\n".join(f"<tr>{x}</tr>" for x in (head, *cells))


def _pictures(
    shown: Iterable[Annotation], dataset: Mapping[str, Any], image_root: Path
) -> dict[int, bytes]:
    """By id of the annotation, its picture. Each image is decoded once."""
    names = {x["id"]: x["file_name"] for x in dataset["images"]}
    of_image: dict[int, list[Annotation]] = {}
    for x in shown:
        of_image.setdefault(x["image_id"], []).append(x)
    pictures: dict[int, bytes] = {}
    for image_id, boxes in of_image.items():
        with Image.open(image_root / names[image_id]) as opened:
            image = turned(opened).convert("RGB")
        pictures |= {x["id"]: _crop(image, x["bbox"]) for x in boxes}
    return pictures


def _figures(
    shown: Iterable[Annotation], pictures: Mapping[int, bytes], dataset: Mapping[str, Any]
) -> str:
    images = {x["id"]: x for x in dataset["images"]}
    names = {x["id"]: x["name"] for x in dataset["categories"]}
    figures = []
    for x in shown:
        name = images[x["image_id"]]["file_name"]
        data = base64.b64encode(pictures[x["id"]]).decode()
        caption = f"{names[x['category_id']]} {x['score']:.2f}"
        figures.append(
            f'<figure title="{html.escape(name)}"><img alt="" '
            f'src="data:image/jpeg;base64,{data}"><figcaption>{html.escape(caption)}'
            "</figcaption></figure>"
        )
    return "\n".join(figures) or "<p>none</p>"


def _crop(image: Image.Image, box: Sequence[float]) -> bytes:
    """A JPEG of what is around a box, and the box."""
    left, top, width, height = box
    edge = (1 + AROUND) * max(width, height)
    x0, y0 = left + (width - edge) / 2, top + (height - edge) / 2
    scale = EDGE / edge
    shown = image.transform(
        (EDGE, EDGE), Image.Transform.EXTENT, (x0, y0, x0 + edge, y0 + edge),
        Image.Resampling.BILINEAR, fillcolor="#ddd",
    )  # fmt: skip
    corners = [(left - x0) * scale, (top - y0) * scale]
    ImageDraw.Draw(shown).rectangle(
        (*corners, corners[0] + width * scale, corners[1] + height * scale), outline="#0af", width=2
    )
    buffer = BytesIO()
    shown.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _curves(folder: Folder) -> str:
    try:
        _, svg = plot_runs([folder.training], folder.training / "curves", without=QUALITY)
    except InputError:  # so short a training has logged nothing
        return "<p>none</p>"
    data = base64.b64encode(svg.read_bytes()).decode()
    return f'<img class="curves" alt="" src="data:image/svg+xml;base64,{data}">'


def _advice(rows: Sequence[Mapping[str, Any]], recall: float | None) -> str:
    hint = advice(rows, recall)
    return f"<p>{html.escape(hint)}</p>" if hint else ""


def _basis(folder: Folder) -> str:
    """What the expected precision is estimated from."""
    if judged := read_json(folder.result)["judged"]:
        return (
            f"“Expected right” goes by your verdicts on {counted(judged, 'drawn boxes')}. It is "
            "rather cautious: lower than the share of right ones among them."
        )
    return (
        "“Expected right” is an estimate from the boxes that were withheld: of detections on known "
        "objects, the share with the right category and place. It can't see other things that "
        "merely look like your objects: look at the pictures below, or judge a sample, <code>"
        f"comining review {html.escape(str(folder.path))} --sample 40</code>."
    )


def _review(folder: Folder) -> str:
    if not folder.review.exists():
        return ""
    return (
        f'<p><a href="{folder.review.name}">Look through all of them</a>. To accept or reject '
        f"them, <code>comining review {html.escape(str(folder.path))}</code> is better: it saves "
        "what you decide.</p>"
    )


def _unreadable(dataset: Mapping[str, Any], unreadable: Mapping[int, str]) -> str:
    if not unreadable:
        return ""
    items = "".join(f"<li>{html.escape(why)}</li>" for why in unreadable.values())
    return f"<h2>Images that could not be read</h2><ul>{items}</ul>"
