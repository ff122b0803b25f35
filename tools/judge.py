#!/usr/bin/env python
"""Judge a sample of a completion's proposals by eye, so that anyone can check it.

python tools/judge.py draw completed/ --number 200 --seed 0 --output verdicts.csv
python tools/judge.py pages verdicts.csv annotations.json images/ --output pages/
python tools/judge.py count verdicts.csv

`draw` writes a line for each proposal that is drawn, evenly over their scores, and whether it was
added. Write "right" or "wrong" behind it, or "unclear". `pages` shows the proposals in that order,
24 on a page, in blue among the annotated boxes, in green. `count` tells how many are right, with
Wilson's interval at a level of 90 %; unclear ones count as wrong.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from comining.annotations.coco_file import read_json
from comining.completion.folder import Folder
from comining.completion.proportion import wilson_interval
from comining.completion.proposals import read_proposals
from comining.completion.sample import draw_sample
from comining.errors import InputError

COLUMNS = ("number", "file_name", "x", "y", "width", "height", "score", "added", "verdict")
VERDICTS = ("right", "wrong", "unclear")
#: Of a page: columns, rows, pixels of a picture, of the box in it.
ACROSS, DOWN, SIZE, BOX = 6, 4, 250, 120
Row = dict[str, Any]


def draw(path: Path, number: int, seed: int) -> list[Row]:
    """The rows of a file of verdicts, without these.

    Args:
        path: what `comining complete` wrote.
        number, seed: of the sample.
    """
    folder = Folder(path)
    proposals = {x["id"]: x for x in read_proposals(folder.proposals)}
    completed = read_json(folder.completed)
    files = {x["id"]: x["file_name"] for x in completed["images"]}
    added = {x["id"] for x in completed["annotations"]}
    drawn = draw_sample({id_: x["score"] for id_, x in proposals.items()}, number, seed)
    rows = []
    for order, id_ in enumerate(drawn, 1):
        proposal = proposals[id_]
        box = [round(value, 1) for value in proposal["bbox"]]
        file_name, score = files[proposal["image_id"]], round(proposal["score"], 3)
        cells = (order, file_name, *box, score, "yes" if id_ in added else "no", "")
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def read_rows(path: Path) -> list[Row]:
    """What is in a file of verdicts.

    Raises:
        InputError: a verdict is none of `VERDICTS`.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["verdict"] not in ("", *VERDICTS):
            raise InputError(
                f"{path}, number {row['number']}: the verdict is {row['verdict']!r}; write one of "
                f"{', '.join(VERDICTS)}"
            )
    return rows


def pages(rows: Sequence[Row], annotations: Path, images: Path) -> list[Image.Image]:
    """Pictures of the proposals, `ACROSS` x `DOWN` on each.

    Args:
        rows: of a file of verdicts.
        annotations: in COCO format.
        images: their folder.
    """
    dataset = read_json(annotations)
    files = {x["id"]: x["file_name"] for x in dataset["images"]}
    annotated = defaultdict(list)
    for x in dataset["annotations"]:
        annotated[files[x["image_id"]]].append(x["bbox"])
    sheets = []
    for start in range(0, len(rows), ACROSS * DOWN):
        sheet = Image.new("RGB", (ACROSS * SIZE, DOWN * SIZE))
        for place, row in enumerate(rows[start : start + ACROSS * DOWN]):
            picture = _picture(row, annotated[row["file_name"]], images)
            sheet.paste(picture, (place % ACROSS * SIZE, place // ACROSS * SIZE))
        sheets.append(sheet)
    return sheets


def _picture(row: Row, annotated: Sequence[Sequence[float]], images: Path) -> Image.Image:
    x, y, width, height = (float(row[name]) for name in COLUMNS[2:6])
    zoom = BOX / max(width, height)
    left, top = x + width / 2 - SIZE / zoom / 2, y + height / 2 - SIZE / zoom / 2
    with Image.open(images / row["file_name"]) as image:
        end = (left + SIZE / zoom, top + SIZE / zoom)
        picture = image.convert("RGB").transform(
            (SIZE, SIZE), Image.Transform.EXTENT, (left, top, *end), Image.Resampling.BILINEAR
        )
    canvas = ImageDraw.Draw(picture)
    coloured = [(box, "lime") for box in annotated] + [((x, y, width, height), "blue")]
    for (u, v, w, h), colour in coloured:
        edges = (u - left, v - top, u + w - left, v + h - top)
        canvas.rectangle([zoom * edge for edge in edges], outline=colour, width=2)
    canvas.text((4, 2), f"{row['number']} {row['verdict']}", fill="yellow", stroke_width=1,
                stroke_fill="black")  # fmt: skip
    return picture


def count(rows: Sequence[Row]) -> list[str]:
    """How many are right, of those that were added, of the others, and of all."""
    lines = []
    for name, chosen in (
        ("added", [x for x in rows if x["added"] == "yes"]),
        ("not added", [x for x in rows if x["added"] == "no"]),
        ("all", list(rows)),
    ):
        judged = [x["verdict"] for x in chosen if x["verdict"]]
        if judged:
            right, unclear = judged.count("right"), judged.count("unclear")
            low, high = wilson_interval(right, len(judged))
            lines.append(
                f"{name:9} {right} of {len(judged)} right, {unclear} unclear: "
                f"{right / len(judged):.1%} ({low:.1%} to {high:.1%})"
            )
    return lines


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("folder", type=Path)
    drawing.add_argument("--number", type=int, default=200)
    drawing.add_argument("--seed", type=int, default=0)
    drawing.add_argument("--output", type=Path, required=True)
    showing = commands.add_parser("pages")
    for name in ("verdicts", "annotations", "images"):
        showing.add_argument(name, type=Path)
    showing.add_argument("--output", type=Path, required=True)
    commands.add_parser("count").add_argument("verdicts", type=Path)
    args = parser.parse_args(argv)
    try:
        if args.command == "draw":
            rows = draw(args.folder, args.number, args.seed)
            with args.output.open("x", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        elif args.command == "pages":
            args.output.mkdir(parents=True, exist_ok=True)
            sheets = pages(read_rows(args.verdicts), args.annotations, args.images)
            for number, sheet in enumerate(sheets, 1):
                sheet.save(args.output / f"{number}.png")
        else:
            print("\n".join(count(read_rows(args.verdicts))))
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
