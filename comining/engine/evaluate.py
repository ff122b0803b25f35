"""Evaluation that goes on where an image can't be read."""

from __future__ import annotations

import json
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from detectron2.evaluation import (
    DatasetEvaluator,
    DatasetEvaluators,
    inference_on_dataset,
    print_csv_format,
)
from detectron2.utils import comm
from torch import nn

from comining.counted import counted
from comining.errors import PartialError
from comining.output_file import write_atomically

from .waiting import report_progress, wait_for_all

logger = logging.getLogger(__name__)


class IncompleteEvaluationError(PartialError):
    """Images could not be read.

    Attributes:
        results: of the others.
    """

    def __init__(self, message: str, results: OrderedDict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.results = OrderedDict() if results is None else results


class _ReadableBatches:
    """A loader's batches without the images that a `TolerantMapper` could not read."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.unreadable: list[str] = []

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        for batch in self.loader:
            self.unreadable += [item["unreadable"] for item in batch if "unreadable" in item]
            readable = [item for item in batch if "unreadable" not in item]
            if readable:
                yield readable


class _Pace(DatasetEvaluator):
    """Lets the other processes wait for this one before their predictions are gathered."""

    def process(self, *_: Any) -> None:
        report_progress()

    def evaluate(self) -> None:
        wait_for_all()


def evaluate(
    model: nn.Module,
    datasets: Iterable[str],
    build_loader: Callable[[str], Any],
    build_evaluator: Callable[[str], DatasetEvaluator],
    output_dir: str | Path,
    beside: Mapping[str, DatasetEvaluator] = MappingProxyType({}),
) -> OrderedDict[str, Any]:
    """Evaluate a model in all processes and write ``results.json``.

    Args:
        model: a detector.
        datasets: names.
        build_loader: makes of a name the loader of this process, which has a length.
        build_evaluator: makes of a name what judges.
        output_dir: folder of the file, which is not written if images are missing.
        beside: what judges on further data sets, by their names; its results stand beside those.

    Returns:
        detectron2's results, as `Trainer.test` describes them; in other processes than the main one
        they are empty.

    Raises:
        IncompleteEvaluationError: at the end, in all processes, if images can't be read.
    """
    results: OrderedDict[str, Any] = OrderedDict()
    unreadable: list[str] = []

    def evaluate_on(name: str, judge: DatasetEvaluator) -> OrderedDict[str, Any]:
        batches = _ReadableBatches(build_loader(name))
        evaluator = DatasetEvaluators([_Pace(), judge])
        of_name: OrderedDict[str, Any] = inference_on_dataset(model, batches, evaluator)
        if comm.is_main_process():
            logger.info(f"Results on {name}, to copy:")
            print_csv_format(of_name)
        for lines in comm.all_gather(batches.unreadable):
            unreadable.extend(f"{name}: {line}" for line in lines)
        return of_name

    for name in datasets:
        results[name] = evaluate_on(name, build_evaluator(name))
    if len(results) == 1:
        (results,) = results.values()
    for name, judge in beside.items():
        results.update(evaluate_on(name, judge))
    path = Path(output_dir) / "results.json"
    if unreadable:
        raise IncompleteEvaluationError(
            "\n  ".join(
                [
                    f"{counted(len(unreadable), 'images')} can't be read. The metrics in the log "
                    f"are those of the other images, {path} was not written. Repair or remove "
                    "what is named below and evaluate again, by --eval-only with MODEL.WEIGHTS:",
                    *unreadable,
                ]
            ),
            results,
        )
    if comm.is_main_process():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(_nan_to_none(results), indent=1) + "\n"
        write_atomically(path, lambda file: file.write(content.encode()))
    return results


def _nan_to_none(results: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(results, dict):
        return {key: _nan_to_none(value) for key, value in results.items()}
    return None if math.isnan(results) else float(results)
