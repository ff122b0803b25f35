"""From half-finished annotations to completed ones."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comining.annotations.completion import MINED
from comining.engine import launch
from comining.errors import InputError

from .folder import Folder
from .machine import checked_trunk, this_machine
from .result import read_result
from .work import Work


@dataclass(frozen=True)
class Completion:
    """What a completion has found.

    Attributes:
        folder: holds ``completed.*``, ``report.html``, ``config.yaml`` and all else.
        dataset: the completed annotations in COCO format; those added have ``origin`` "mined" and
            a ``score``.
        written: the same in the format of the annotations that were given, a file or a folder.
        categories: for each category ``name``, ``annotated``, ``finished`` (the share of the images
            in which it was complete), ``added``, ``precision`` (expected of what was added),
            ``precision_low`` and ``precision_high`` (which hold it with a probability of 90 %),
            ``recall`` (of withheld boxes), ``threshold`` and ``best`` (the highest precision that
            is expected of ten or more of the new boxes); None where it can't be known.
        recall: the share of all withheld boxes that was found; None if none was withheld.
        unreadable: by image id, why an image was left out.
        finished: the share of the images in which all categories were complete.
        judged: how many boxes that were drawn by chance were judged, and tell what was added.
    """

    folder: Path
    dataset: dict[str, Any]
    written: Path
    categories: list[dict[str, Any]]
    recall: float | None
    unreadable: dict[int, str]
    finished: float = 0.0
    judged: int = 0

    def detections(self, image_id: int) -> dict[str, np.ndarray]:
        """What was added to an image, as the arguments of ``supervision.Detections``.

        Returns:
            ``xyxy`` (M, 4) in pixels, ``confidence`` (M,) in [0, 1] and ``class_id`` (M,), the
            places of their categories in ``categories``, from 0.
        """
        added = [
            x
            for x in self.dataset["annotations"]
            if x["image_id"] == image_id and x.get("origin") == MINED
        ]
        places = {
            id_: i for i, id_ in enumerate(sorted(x["id"] for x in self.dataset["categories"]))
        }
        boxes = np.array([x["bbox"] for x in added], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return {
            "xyxy": boxes,
            "confidence": np.array([x["score"] for x in added], dtype=float),
            "class_id": np.array([places[x["category_id"]] for x in added], dtype=int),
        }


def complete(
    images: str | Path,
    annotations: str | Path,
    output: str | Path,
    *,
    minutes: float | None = None,
    precision: float = 0.9,
    device: str | None = None,
    weights: str | Path | None = None,
    listed_only: bool = False,
    reviewed: str | Path | None = None,
    dry_run: bool = False,
    quiet: bool = True,
) -> Completion | None:
    """Train on half-finished annotations and add the boxes that are missing.

    The same call goes on where it was interrupted. ``output/config.yaml`` may be edited in between,
    or other ``minutes`` given; then the training begins anew. After a review, what was decided
    stays so, and what else is added is chosen anew, by what a judged sample (`comining review
    --sample`) showed.

    Args:
        images: folder of the images.
        annotations: a file or folder in one of the formats of `comining.annotations.formats`.
        output: folder that everything is written to.
        minutes: about how long it may take; None for 10 on a CPU, 60 on a GPU.
        precision: the wanted share of right ones among the boxes that are added, in (0, 1].
        device: as torch names it; None for all GPUs of the machine or, without one, the CPU.
        weights: file of trained weights of a MobileNetV2, named as torchvision names them, that the
            training begins with; "none" to begin from scratch; None for what can be downloaded.
        listed_only: whether images that the annotations don't list are left out.
        reviewed: folder of an earlier completion; what its review rejected isn't proposed again.
        dry_run: whether to write the plan, ``output/config.yaml``, and no more.
        quiet: whether nothing is printed.

    Returns:
        What was found; None after a dry run, and in all processes but the first.

    Raises:
        InputError: the data can't be used, or the folder is another's.
    """
    machine = this_machine(device)
    given_minutes = minutes
    if minutes is None:
        minutes = 60.0 if machine.is_gpu else 10.0
    _check_range(precision, minutes)
    if weights is not None:
        weights = "" if weights == "none" else checked_trunk(str(weights))
    args = argparse.Namespace(
        weights=weights,
        images=Path(images),
        annotations=Path(annotations),
        output=Path(output),
        minutes=minutes,
        given_minutes=given_minutes,
        precision=precision,
        machine=machine,
        listed_only=listed_only,
        reviewed=reviewed and Path(reviewed),
        dry_run=dry_run,
        quiet=quiet,
        num_gpus=machine.num_processes,
        num_machines=1,
        machine_rank=0,
        dist_url="auto",
        resume=True,
        eval_only=False,
    )
    launch(_run, args)
    if dry_run or int(os.environ.get("RANK", "0")) > 0:
        return None
    return Completion(**read_result(Folder(output)))


def _check_range(precision: float, minutes: float) -> None:
    if not 0 < precision <= 1:
        raise InputError(f"--precision {precision:g}: must be above 0 and at most 1; 0.9 for 90 %")
    if minutes <= 0:
        raise InputError(f"--minutes {minutes:g}: must be above 0")


def _run(args: argparse.Namespace) -> None:
    Work(args).run()
