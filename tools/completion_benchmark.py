#!/usr/bin/env python
"""What `comining complete` finds in data of which somebody knows what they lack.

python tools/completion_benchmark.py run datasets/nuclei/train.json datasets/nuclei/images \\
    --protocol hard --seed 0 --weights datasets/mobilenet_v2.pth --output bench/
cat bench/*/*/*/row.json > docs/studies/completion/rows.jsonl
python tools/completion_benchmark.py table docs/studies/completion/rows.jsonl

`run` drops annotations by a protocol of `comining sparsify`, completes what is left, and judges
what was added by what had been dropped. It goes on where it was interrupted. `table` prints what
was found. With the Python package cleanlab installed, its ObjectLab is asked about the same
detections.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tabulate import tabulate

from comining import Completion, complete
from comining.annotations.coco_file import read_json
from comining.annotations.sparse import encode, make_sparse
from comining.annotations.withheld import withheld_annotations
from comining.completion.audit import audit_folder
from comining.completion.folder import Folder
from comining.completion.proposals import read_proposals
from comining.completion.sample import draw_sample, note_sample
from comining.data.objects import objects_of
from comining.evaluation.found import RIGHT, judge, recall_at_precision

#: From this score on, FiftyOne takes a detection for a missing object.
SURE = 0.95
PRECISION = 0.9
ROW = "row.json"
Annotation = Mapping[str, Any]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Complete, and write what came of it into ``row.json``."""
    full = read_json(args.annotations)
    sparse = make_sparse(
        full,
        args.protocol,
        seed=args.seed,
        file_name=args.annotations.name,
        image_root=args.images if args.protocol == "hard-to-see" else None,
    )
    folder = Folder(args.output / args.annotations.parent.name / args.protocol / f"seed{args.seed}")
    folder.path.mkdir(parents=True, exist_ok=True)
    given = folder.path.with_suffix(".json")
    given.write_bytes(b"".join(encode(sparse)))
    how: dict[str, Any] = {
        "minutes": args.minutes,
        "precision": PRECISION,
        "weights": args.weights,
        "listed_only": True,
        "quiet": False,
    }
    done = complete(args.images, given, folder.path, **how)
    assert done is not None
    settings = yaml.safe_load(folder.config.read_text())["SOLVER"]
    withheld = withheld_annotations(sparse, args.annotations, full)
    dropped = [x for of_image in withheld.values() for x in of_image]
    proposals = read_proposals(folder.proposals)

    def results(done: Completion) -> dict[str, Any]:
        added = {x["id"] for x in done.dataset["annotations"] if x.get("origin") == "mined"}
        return {
            **measures(proposals, added, sparse["annotations"], dropped),
            **counted(audit_folder(folder.path), full["categories"], dropped),
        }

    row = {
        "data": args.annotations.parent.name,
        "protocol": args.protocol,
        "seed": args.seed,
        "iterations": settings["MAX_ITER"],
        "batch": settings["IMS_PER_BATCH"],
        "annotated": len(sparse["annotations"]),
        **results(done),
    }
    if args.judged:
        _review(folder, proposals, dropped, args.judged)
        done = complete(args.images, given, folder.path, **how)
        assert done is not None
        row["judged"] = {"number": args.judged, **results(done)}
        # So that the same command finds what it found before.
        folder.sample.unlink()
        folder.decisions.unlink()
    (folder.path / ROW).write_text(json.dumps(row) + "\n")
    return row


def _review(
    folder: Folder, proposals: Sequence[Annotation], dropped: Sequence[Annotation], number: int
) -> None:
    """Judge a sample of the proposals as somebody would who knows the truth."""
    order = sorted(proposals, key=lambda x: -x["score"])
    is_right = dict(zip((x["id"] for x in order), _judge(order, dropped), strict=True))
    by_id = {x["id"]: x for x in order}
    drawn = draw_sample({x["id"]: x["score"] for x in order}, number, seed=0)
    note_sample(folder.sample, drawn)
    lines = [
        {
            "key": str(id_),
            "action": "accept" if is_right[id_] else "reject",
            "image_id": by_id[id_]["image_id"],
            "id": id_,
            "was": by_id[id_]["bbox"],
            "time": "2000-01-01T00:00:00Z",
        }
        for id_ in drawn
    ]
    folder.decisions.write_text("".join(json.dumps(x) + "\n" for x in lines))


def measures(
    proposals: Sequence[Annotation],
    added: set[int],
    annotated: Sequence[Annotation],
    dropped: Sequence[Annotation],
) -> dict[str, Any]:
    """Of what was added, and of what rivals would have added, how much is right.

    Args:
        proposals: far from annotated boxes, with ids, scores and boxes in COCO format.
        added: the ids of those that were.
        annotated: what was given.
        dropped: the objects that the annotations lack.
    """
    order = sorted(proposals, key=lambda x: -x["score"])
    is_right = _judge(order, dropped)
    scores = np.array([x["score"] for x in order])
    is_added = np.array([x["id"] in added for x in order], dtype=bool)
    row: dict[str, Any] = {"missing": len(dropped)}
    for name, chosen in (
        ("added", is_added),
        ("sure", scores > SURE),
        ("object_lab", _object_lab(order, annotated)),
    ):
        if chosen is not None:
            row[name], row[f"{name}_right"] = int(chosen.sum()), int((chosen & is_right).sum())
    row["possible"] = recall_at_precision(scores, is_right, len(dropped), PRECISION)
    return row


def _judge(proposals: Sequence[Annotation], dropped: Sequence[Annotation]) -> np.ndarray:
    """(M,) bool, which proposals are on an object that none before is on."""
    rows, objects = defaultdict(list), defaultdict(list)
    for index, x in enumerate(proposals):
        rows[x["image_id"]].append(index)
    for x in dropped:
        objects[x["image_id"]].append(x)
    is_right = np.zeros(len(proposals), dtype=bool)
    nothing = objects_of([])
    for image_id, indices in rows.items():
        found, there = objects_of([proposals[i] for i in indices]), objects_of(objects[image_id])
        is_right[indices] = judge(*found, *nothing, *there) == RIGHT
    return is_right


def _object_lab(
    proposals: Sequence[Annotation], annotated: Sequence[Annotation]
) -> np.ndarray | None:
    """(M,) bool, what ObjectLab takes for overlooked, however little; None if it isn't installed.

    Of detections, it takes only those above a score of 0.95 that overlap no annotated box.
    """
    try:
        from cleanlab.object_detection.rank import compute_overlooked_box_scores
    except ModuleNotFoundError:
        return None
    classes = sorted({x["category_id"] for x in (*proposals, *annotated)})
    labels, predictions, rows = [], [], []
    for image_id in sorted({x["image_id"] for x in proposals}):
        boxes, ids = objects_of([x for x in annotated if x["image_id"] == image_id])
        labels.append({"bboxes": boxes, "labels": np.searchsorted(classes, ids)})
        of_image = [i for i, x in enumerate(proposals) if x["image_id"] == image_id]
        by_class = [[i for i in of_image if proposals[i]["category_id"] == c] for c in classes]
        found = np.empty(len(classes), dtype=object)
        for class_, indices in enumerate(by_class):
            scores = np.array([proposals[i]["score"] for i in indices], dtype=np.float32)
            boxes = objects_of([proposals[i] for i in indices])[0]
            found[class_] = np.column_stack([boxes, scores])
        predictions.append(found)
        rows += [i for indices in by_class for i in indices]
    if not rows:
        return np.zeros(0, dtype=bool)
    told = compute_overlooked_box_scores(labels=labels, predictions=predictions)
    chosen = np.zeros(len(proposals), dtype=bool)
    chosen[rows] = np.isfinite(np.concatenate(told))
    return chosen


def counted(
    audit: Sequence[Any], categories: Sequence[Annotation], dropped: Sequence[Annotation]
) -> dict[str, Any]:
    """What an audit tells to be missing, and the truth, in the categories of which it can tell."""
    ids = {x["name"]: x["id"] for x in categories}
    known = [x for x in audit if x.name in ids and x.missing is not None]
    if not known:
        return {"told": None}
    total = known[0] if len(known) == 1 else audit[-1]
    told = {ids[x.name] for x in known}
    truth = sum(x["category_id"] in told for x in dropped)
    return {"told": total.missing, "low": total.low, "high": total.high, "truth": truth}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """What was found, of one run a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = []
    for x in rows:
        told = "unknown"
        if x["told"] is not None:
            told = f"{x['told']:.0f} ({x['low']:.0f} to {x['high']:.0f}) of {x['truth']}"
        lines.append(
            {
                "data": x["data"],
                "protocol": x["protocol"],
                "images seen": x["iterations"] * x["batch"],
                "annotated": x["annotated"],
                "missing": x["missing"],
                "added": x["added"],
                "right, %": _percent(x["added_right"], x["added"]),
                "found, %": _percent(x["added_right"], x["missing"]),
                "counted": told,
                "above 0.95": f"{x['sure_right']} of {x['sure']}",
                "ObjectLab": f"{x['object_lab_right']} of {x['object_lab']}"
                if "object_lab" in x
                else "",
            }
        )
    return tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}" if whole else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run")
    one.add_argument("annotations", type=Path, help="fully annotated, in COCO format")
    one.add_argument("images", type=Path)
    one.add_argument("--protocol", required=True)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--minutes", type=float, help="as of comining complete")
    one.add_argument("--weights", help="as of comining complete")
    one.add_argument("--judged", type=int, default=0, help="how many proposals a review judges")
    one.add_argument("--output", type=Path, required=True)
    every = commands.add_parser("table")
    every.add_argument("rows", type=Path, help="the row.json of all runs in one file")
    args = parser.parse_args()
    if args.command == "run":
        print(json.dumps(run(args)))
    else:
        print(table(read_rows(args.rows)))


if __name__ == "__main__":
    main()
