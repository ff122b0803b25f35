"""Completing a sparsely annotated data set with what a trained model mines on it.

An added annotation has the fields "score" and "origin": "mined"; see
`annotations.completion.complete`. ``info["mined"]`` of the file tells the weights, whether the
mirror image was asked (where the config has adaptive thresholds and mirrors second views; then
"score" is the lower of the two scores) and, for each category, the score from which on boxes were
added; a fixed threshold of the training is one on the class score, which of FCOS is not the
"score". What overlaps an annotated box is dropped as in training, and so is what can't be there by
what else is known of the image.

Until the end, the folder OUTPUT.partial holds what was found, and the same call goes on from there.
It stays if images can't be read: once they are repaired, the same call mines these alone. The
number of processes and interruptions do not change the result, the batch size no more than the last
digit of a score or of a box; on GPUs, which compute convolutions in TF32 by default, about the
third.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from detectron2.utils import comm
from tabulate import tabulate

from comining.annotations.completion import complete
from comining.annotations.known import known_of
from comining.annotations.sparse import encode
from comining.counted import counted
from comining.data import register_from_config
from comining.engine.miner import SCORE_DIGITS, build_miner, why_nothing_is_mined
from comining.engine.mining_run import PartialResults
from comining.engine.setup import check_weights
from comining.errors import InputError
from comining.modeling import TwoViewDetector
from comining.output_file import write_atomically

from .mining_job import MiningJob
from .precision import thresholds_for_precision
from .result import share_finished

#: Where thresholds are given or chosen here, boxes of lower scores are out of the question.
LOWEST_SCORE = 0.05


class CategoryCounts(NamedTuple):
    """Of a category: annotations that were there, added ones, and from which score on.

    The threshold is None where nothing is added whatever its score. ``finished`` is the share of
    the images, in 0..1, in which the category was complete before.
    """

    name: str
    annotated: int
    added: int
    score_thresh: float | None
    finished: float = 0.0


class MinedAnnotations(NamedTuple):
    """What `mine_annotations` made.

    Attributes:
        categories: in the order of the data set.
        unreadable: a line about each image that can't be read and got nothing.
        partial: where what was found is kept for the images that can't be read.
    """

    categories: list[CategoryCounts]
    unreadable: list[str]
    partial: Path

    def table(self) -> str:
        """Per category and in all."""
        annotated = sum(x.annotated for x in self.categories)
        added = sum(x.added for x in self.categories)
        headers = ["category", "annotated", "added", "score threshold", "images finished"]
        if not any(x.finished for x in self.categories):
            headers.pop()
        rows = [*self.categories, ("all", annotated, added, None, None)]
        return tabulate([row[: len(headers)] for row in rows], headers)

    def what_to_repair(self, output: Path) -> str:
        """Tells of the images that can't be read."""
        left = counted(
            len(self.unreadable),
            "images can't be read: repair them and give the same command again, which mines them "
            "alone",
        )
        head = f"{output} is complete, but {left}. To leave it so, remove {self.partial}"
        return "\n  ".join([head, *self.unreadable])


def mine_annotations(
    cfg: CfgNode,
    weights: str,
    output: Path,
    *,
    dataset: str | None = None,
    score_thresh: Mapping[str, float] | None = None,
    precision: float | None = None,
    calibrate_on: str | None = None,
    batch_size: int = 4,
    record: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> MinedAnnotations | None:
    """Write a data set's annotation file plus what a trained model mines on its images.

    What is in the file stays as it is, but for values that had to be repaired to be read. The same
    call goes on where it was interrupted; see `completion.mine_annotations` for what it writes.

    Args:
        cfg: of the model.
        weights: of the model.
        output: the file to write.
        dataset: a registered data set; by default the only training set.
        score_thresh: from which score on boxes are added, in [0, 1], by category name; "" stands
            for all others. By default the thresholds of the training.
        precision: in its place, the share of the added boxes that shall be right, above 0 and at
            most 1: of each category, from the lowest score on for which that is expected.
        calibrate_on: for ``precision``, a registered data set of fully annotated images.
        batch_size: images at a time in each process.
        record: what ``info["mined"]`` tells besides, as JSON values.
        quiet: show no progress.

    Returns:
        What was made; None in processes other than the first.

    Raises:
        InputError: something does not fit; nothing is written.
    """
    if (precision is None) != (calibrate_on is None):
        raise InputError("--precision and --calibrate-on belong together")
    if precision is not None and score_thresh:
        raise InputError("--precision chooses the thresholds: leave --score-thresh out")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = weights
    register_from_config(cfg)
    check_weights(weights)
    job = MiningJob(cfg, output, dataset or _only_training_set(cfg), calibrate_on, precision)
    given = _by_class(score_thresh or {}, job.classes)
    model = build_miner(cfg)
    are_learnt = precision is None and not given
    if are_learnt and (reason := why_nothing_is_mined(model)):
        raise InputError(
            f"{weights}: {reason}. Say which boxes to add with --score-thresh, or with --precision "
            "and --calibrate-on"
        )
    told = {**(record or {}), "weights": weights, "mirror_image": model.asks_mirror_image}
    if precision is not None:
        told |= {"precision": precision, "calibrated_on": calibrate_on}
    return _mine(job, model, given, told, batch_size=batch_size, quiet=quiet)


def _mine(
    job: MiningJob,
    model: TwoViewDetector,
    given: list[float],
    record: Mapping[str, Any],
    *,
    batch_size: int,
    quiet: bool,
) -> MinedAnnotations | None:
    """Mine, and write the file."""
    are_learnt = job.precision is None and not given
    # The model cuts by the class score, which of FCOS may be the square of what boxes score.
    lowest = None if are_learnt else min([LOWEST_SCORE, *(x * x for x in given)])
    if comm.is_main_process():
        before = job.read_dataset()  # better refused now than after mining
    partial = job.output.with_name(f"{job.output.name}.partial")
    with PartialResults(partial, job.settings(lowest, model.asks_mirror_image)) as results:
        unreadable = job.mine(model, results, lowest, batch_size, quiet)
        if not comm.is_main_process():
            return None
        thresholds = _thresholds(job, model, results, given)
        # Those of the training are applied by the model already, to its own kind of score.
        boxes = job.new_boxes(results.read("images"), None if are_learnt else thresholds)
        by_category = dict(zip(job.classes, thresholds, strict=True))
        after = complete(before, boxes, {**record, "score_thresh": by_category})
        write_atomically(job.output, lambda file: file.writelines(encode(after)))
        if not unreadable:
            results.remove()
    return MinedAnnotations(_counts(before, after), unreadable, results.folder)


def _thresholds(
    job: MiningJob, model: TwoViewDetector, results: PartialResults, given: list[float]
) -> Sequence[float | None]:
    """By class, from which score on boxes are added."""
    if job.precision is not None:
        return thresholds_for_precision(
            results.read("images"),
            results.read("calibration"),
            job.records["calibration"],
            len(job.classes),
            job.precision,
        )
    return given or [round(x, SCORE_DIGITS) for x in model.score_thresholds()]


def _only_training_set(cfg: CfgNode) -> str:
    names = cfg.DATASETS.TRAIN
    if len(names) != 1:
        there = f"; the training sets are {', '.join(names)}" if names else ""
        raise InputError(f"which data set? Name it with --dataset{there}")
    return names[0]


def _by_class(score_thresh: Mapping[str, float], classes: list[str]) -> list[float]:
    """For each class, the threshold given by its name or for all others; none if none is given."""
    if not score_thresh:
        return []
    unknown = sorted(score_thresh.keys() - {*classes, ""})
    if unknown:
        raise InputError(
            f"--score-thresh: no category is called {', '.join(unknown)}; there are "
            f"{', '.join(classes)}"
        )
    missing = [name for name in classes if name not in score_thresh and "" not in score_thresh]
    if missing:
        raise InputError(
            f"--score-thresh: none is given for {', '.join(missing)}: add a number without a name, "
            "for all others"
        )
    return [score_thresh[name if name in score_thresh else ""] for name in classes]


def _counts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[CategoryCounts]:
    """What was there, by earlier completions too, and what was added to it."""
    number = len(before.get("annotations", []))
    there, added = (
        Counter(x["category_id"] for x in annotations)
        for annotations in (after["annotations"][:number], after["annotations"][number:])
    )
    thresholds = after["info"]["mined"]["score_thresh"]
    known = known_of(before)
    return [
        CategoryCounts(
            x["name"],
            there[x["id"]],
            added[x["id"]],
            thresholds[x["name"]],
            share_finished(known, [x["id"]]),
        )
        for x in after["categories"]
    ]
