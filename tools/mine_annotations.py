#!/usr/bin/env python
"""Complete a sparsely annotated data set with what a trained model mines on it.

python tools/mine_annotations.py --config-file my.yaml --weights output/model_final.pth
    --output completed.json
python tools/mine_annotations.py --config-file my.yaml --weights output/model_final.pth
    --output completed.json --precision 0.9 --calibrate-on my_val

The output is the data set's annotation file plus the mined annotations. What is in the file stays
as it is, but for values that had to be repaired to be read. Each mined annotation has the fields
"score" and "origin": "mined". info["mined"] holds config, overrides, weights, whether the
mirror image was asked and, for each category, the score from which on boxes were added; a fixed
threshold of the training is one on the class score, which of FCOS is not the "score". What overlaps
an annotated box is dropped as in training.

If the config has adaptive thresholds and mirrors second views, what is added is what the mirror
image shows, too, and "score" is the lower of the two scores.

The same command goes on where it was interrupted; until the end, OUTPUT.partial holds what was
found. Images that can't be read get nothing and are named at the end, and the exit code is 1. Once
they are repaired, the same command mines these alone.

The number of processes and interruptions do not change the result, the batch size no more than the
last digit of a score or of a box; on GPUs, which compute convolutions in TF32 by default, about the
third.
"""

from __future__ import annotations

import comining  # noqa: F401  first, to import detectron2 quietly

# isort: split
import argparse
import hashlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.utils import comm
from tabulate import tabulate

from comining.annotations.coco_file import read_repaired
from comining.annotations.completion import complete
from comining.annotations.sparse import encode
from comining.data import check_datasets, register_from_config
from comining.engine import Trainer, launch, load_config
from comining.engine.miner import SCORE_DIGITS, Mined, build_miner, why_nothing_is_mined
from comining.engine.mining_run import PartialResults, mine_dataset
from comining.engine.setup import check_weights, weights_file
from comining.errors import InputError
from comining.evaluation.calibration import judge, threshold_for_precision
from comining.output_file import check_output, write_atomically

#: Where thresholds are given or chosen here, boxes of lower scores are out of the question.
LOWEST_SCORE = 0.05


def main(args: argparse.Namespace) -> None:
    """Mine and write, in each of the processes."""
    cfg = load_config(args.config_file, args.opts)
    cfg.MODEL.WEIGHTS = args.weights
    register_from_config(cfg)
    check_weights(args.weights, args.config_file)
    names = {"images": _dataset_name(args, cfg)}
    if args.precision is not None:
        names["calibration"] = args.calibrate_on
    files = _annotation_files(names)
    if args.precision is not None and files["calibration"].samefile(files["images"]):
        raise InputError(
            f"--calibrate-on {args.calibrate_on} is the data set that is completed, where every "
            "new box would count as a mistake: name one whose images are fully annotated"
        )
    check_output(args.output, *files.values())
    records = {key: DatasetCatalog.get(name) for key, name in names.items()}
    Trainer.check_categories(cfg, names.values())

    classes = MetadataCatalog.get(names["images"]).thing_classes
    chosen = _by_class(args.score_thresh, classes)
    are_learnt = args.precision is None and not chosen
    # The model cuts by the class score, which of FCOS may be the square of what boxes score.
    score_thresh = None if are_learnt else min([LOWEST_SCORE, *(x * x for x in chosen)])

    model = build_miner(cfg)
    if are_learnt and (reason := why_nothing_is_mined(model)):
        raise InputError(
            f"{args.weights}: {reason}. Or give --score-thresh, or --precision with --calibrate-on"
        )
    settings = _settings(args, cfg, score_thresh, files, model.asks_mirror_image)
    if comm.is_main_process():
        dataset = _read_dataset(files["images"], records["images"])  # better refused now
    with PartialResults(args.output, settings) as results:
        unreadable = {
            name: mine_dataset(
                model,
                DatasetMapper(cfg, is_train=False),
                records[key],
                results,
                key,
                score_thresh=score_thresh,
                batch_size=args.batch_size,
                num_workers=cfg.DATALOADER.NUM_WORKERS,
            )
            for key, name in names.items()
        }
        if not comm.is_main_process():
            return

        found = {key: results.read(key) for key in names}
        category_ids = _category_ids(names["images"])
        if args.precision is not None:
            thresholds = _thresholds(found, records["calibration"], len(classes), args.precision)
        else:
            thresholds = chosen or [round(x, SCORE_DIGITS) for x in model.score_thresholds()]
        least = [np.inf if x is None else x for x in thresholds]
        if are_learnt:  # the model has applied them already, to its own kind of score
            least = [0] * len(classes)
        completed = complete(
            dataset,
            {
                image_id: [
                    {"category_id": category_ids[class_], "score": score, "box": box}
                    for box, class_, score, is_new in zip(*mined, strict=True)
                    if is_new and score >= least[class_]
                ]
                for image_id, mined in found["images"].items()
            },
            {
                "config": args.config_file,
                "overrides": args.opts,
                "weights": args.weights,
                "mirror_image": model.asks_mirror_image,
                "score_thresh": dict(zip(classes, thresholds, strict=True)),
                **(
                    {"precision": args.precision, "calibrated_on": args.calibrate_on}
                    if args.precision is not None
                    else {}
                ),
            },
        )
        write_atomically(args.output, lambda file: file.writelines(encode(completed)))
        print(summary(dataset, completed))
        print(args.output)
        if any(unreadable.values()):
            raise InputError(_text(unreadable, args.output, results.folder))
        results.remove()


def _dataset_name(args: argparse.Namespace, cfg: CfgNode) -> str:
    names = cfg.DATASETS.TRAIN if args.dataset is None else [args.dataset]
    if len(names) != 1:
        there = f"; the training sets are {', '.join(names)}" if names else ""
        raise InputError(f"which data set? Name it with --dataset{there}")
    return names[0]


def _by_class(score_thresh: list[tuple[str, float]], classes: list[str]) -> list[float]:
    """For each class, the threshold given by its name or for all others; none if none is given."""
    by_name = dict(score_thresh)
    if not by_name:
        return []
    unknown = sorted(by_name.keys() - {*classes, ""})
    if unknown:
        raise InputError(
            f"--score-thresh: no category is called {', '.join(unknown)}; there are "
            f"{', '.join(classes)}"
        )
    missing = [name for name in classes if name not in by_name and "" not in by_name]
    if missing:
        raise InputError(
            f"--score-thresh: none is given for {', '.join(missing)}: add a number without a name, "
            "for all others"
        )
    return [by_name[name if name in by_name else ""] for name in classes]


def _annotation_files(names: dict[str, str]) -> dict[str, Path]:
    check_datasets(names.values())
    files = {}
    for key, name in names.items():
        path = MetadataCatalog.get(name).get("json_file")
        if path is None:
            raise InputError(f"{name} is not in COCO format: register a file that is")
        files[key] = Path(path)
    return files


def _read_dataset(path: Path, records: list[dict[str, Any]]) -> dict[str, Any]:
    """What the mined annotations are added to; the images must be those that are mined."""
    dataset, report = read_repaired(path)
    if report.is_fatal:
        raise InputError(f"{path} can't be completed. {report}")
    if not {x["image_id"] for x in records} <= {x["id"] for x in dataset["images"]}:
        raise InputError(
            f"the data set was not read as {path} is read here: register it with "
            "DATASETS.REGISTER or comining.data.register_coco"
        )
    return dataset


def _settings(
    args: argparse.Namespace,
    cfg: CfgNode,
    score_thresh: float | None,
    files: dict[str, Path],
    asks_mirror_image: bool,
) -> dict[str, Any]:
    """What the result depends on, to tell whether a run goes on or is another one."""
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = cfg.MODEL.WEIGHTS = ""
    contents = {
        "config": f"{cfg.MODEL}\n{cfg.INPUT}\n{cfg.TEST}".encode(),
        "weights": weights_file(args.weights).read_bytes(),
        **{f"annotations of the {key}": path.read_bytes() for key, path in files.items()},
    }
    return {
        **{name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "score threshold": score_thresh,
        "mirror image": asks_mirror_image,
        "precision": args.precision,
    }


def _text(unreadable: dict[str, dict[int, str]], output: Path, partial: Path) -> str:
    lines = [
        f"image {image_id} of {name}: {reason}"
        for name, reasons in unreadable.items()
        for image_id, reason in sorted(reasons.items())
    ]
    return "\n  ".join(
        [
            f"{output} is complete but for {len(lines)} images that can't be read. Repair them and "
            f"give the same command again: it mines these alone. To leave it so, remove {partial}",
            *lines,
        ]
    )


def _category_ids(name: str) -> list[int]:
    """By class of the model, the data set's own id."""
    classes = MetadataCatalog.get(name).thing_dataset_id_to_contiguous_id
    return sorted(classes, key=classes.__getitem__)


def _thresholds(
    found: dict[str, dict[int, Mined]],
    records: list[dict[str, Any]],
    num_classes: int,
    precision: float,
) -> list[float | None]:
    """For each class, the score from which on new boxes have the wanted precision."""
    detections = [
        {
            "image_id": image_id,
            "category_id": class_,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": score,
        }
        for image_id, mined in found["calibration"].items()
        for (x0, y0, x1, y1), class_, score, _ in zip(*mined, strict=True)
    ]
    judged = judge(records, detections, num_classes)
    classes, scores, is_new = (
        np.array(
            [value for mined in found["images"].values() for value in getattr(mined, field)], dtype
        )
        for field, dtype in (("classes", np.int64), ("scores", np.float64), ("is_new", bool))
    )
    return [
        threshold_for_precision(
            judged[class_], scores[classes == class_], is_new[classes == class_], precision
        )
        for class_ in range(num_classes)
    ]


def summary(dataset: dict[str, Any], completed: dict[str, Any]) -> str:
    """A table of what was in a data set, by earlier completions too, and what was added to it."""
    number = len(dataset.get("annotations", []))
    before, added = (
        Counter(x["category_id"] for x in annotations)
        for annotations in (completed["annotations"][:number], completed["annotations"][number:])
    )
    thresholds = completed["info"]["mined"]["score_thresh"]
    rows = [
        [
            category["name"],
            before[category["id"]],
            added[category["id"]],
            thresholds[category["name"]],
        ]
        for category in completed["categories"]
    ]
    rows.append(["all", before.total(), added.total(), None])
    return tabulate(rows, headers=["category", "annotated", "added", "score threshold"])


def _threshold(word: str) -> tuple[str, float]:
    """``NAME=0.5``, or ``0.5`` with the name ""."""
    name, _, number = word.rpartition("=")
    if not 0 <= float(number) <= 1:
        raise argparse.ArgumentTypeError(f"{number} must be between 0 and 1")
    return name, float(number)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, help="of the trained model")
    parser.add_argument("--weights", required=True, help="of the trained model")
    parser.add_argument("--dataset", help="a registered data set (default: the training set)")
    parser.add_argument("--output", required=True, type=Path, help="the completed COCO file")
    parser.add_argument(
        "--score-thresh",
        type=_threshold,
        action="append",
        default=[],
        metavar="[NAME=]NUMBER",
        help="add boxes that score at least this (default: the thresholds of the training); "
        "NAME=NUMBER, any number of times, for one category",
    )
    parser.add_argument(
        "--precision",
        type=float,
        help="instead: for each category, the lowest score from which on this share of the added "
        "boxes is expected to be correct",
    )
    parser.add_argument(
        "--calibrate-on",
        metavar="DATASET",
        help="for --precision: a registered data set of fully annotated images",
    )
    parser.add_argument("--batch-size", type=int, default=4, help="of each process (default: 4)")
    parser.add_argument("--num-gpus", type=int, default=1, help="processes; GPUs if there are any")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs")
    parser.set_defaults(num_machines=1, machine_rank=0, dist_url="auto")
    args = parser.parse_args(argv)
    if (args.precision is None) != (args.calibrate_on is None):
        parser.error("--precision and --calibrate-on belong together")
    if args.precision is not None and args.score_thresh:
        parser.error("--precision chooses the thresholds: leave --score-thresh out")
    if args.precision is not None and not 0 < args.precision <= 1:
        parser.error(f"--precision {args.precision}: must be above 0 and at most 1")
    if args.batch_size < 1:
        parser.error(f"--batch-size {args.batch_size}: must be at least 1")
    return args


if __name__ == "__main__":
    try:
        launch(main, parse_args())
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from here", file=sys.stderr)
        sys.exit(130)
