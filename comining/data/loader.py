"""Training batches whose content depends on counters alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NoReturn

import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetFromList, get_detection_dataset_dicts
from detectron2.utils import comm
from torch.utils.data import DataLoader

from comining.counted import counted
from comining.errors import InputError

from .datasets import check_same_categories
from .frame_mapper import FrameMapper
from .samples import Samples
from .sampling import build_sampler

logger = logging.getLogger(__name__)


class TrainLoader:
    """Endless batches, of which the n-th is the same in every run.

    Which images it holds and how they are augmented follows from the seed, the rank of the process
    and n. Neither the number of workers matters nor whether the run was interrupted before.

    An image that can't be read is replaced by the next one of its orientation, with a warning; one
    that the mapper skips, by returning None, without.
    """

    def __init__(
        self,
        images: list[dict[str, Any]],
        mapper: Callable[[dict[str, Any]], dict[str, Any] | None],
        sampler: Iterable[int],
        *,
        batch_size: int,
        seed: int,
        aspect_ratio_grouping: bool = True,
        num_workers: int = 0,
        max_unreadable: int = 0,
    ) -> None:
        """
        Args:
            images: in detectron2's data set format.
            mapper: makes of one of them what the model takes.
            sampler: gives the same endless indices whenever it is iterated over.
            batch_size: of this process.
            seed: of the augmentation, at least 0.
            aspect_ratio_grouping: whether wide and tall images come in batches of their own.
            num_workers: worker processes; 0 reads in this process.
            max_unreadable: how many images may be replaced, in this process.

        Raises:
            InputError: images are to be grouped, but their size isn't known.
        """
        self.sampler = sampler
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.max_unreadable = max_unreadable
        self.unreadable: set[str] = set()
        self.is_wide = [False] * len(images)
        if aspect_ratio_grouping:
            for image in images:
                if "width" not in image or "height" not in image:
                    raise InputError(
                        f"{image['file_name']} comes without width and height: add them or "
                        "set DATALOADER.ASPECT_RATIO_GROUPING False"
                    )
            self.is_wide = [image["width"] > image["height"] for image in images]
        shared = DatasetFromList(images, copy=False)  # once for all workers
        self._samples = Samples(shared, mapper, self.is_wide, seed, max_unreadable)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        return self.starting_at(0)

    def starting_at(self, batch: int) -> Iterator[list[dict[str, Any]]]:
        """The batches from number ``batch`` on.

        Raises:
            InputError: (while iterating) too many images can't be read.
        """
        loader = DataLoader(
            self._samples,
            batch_sampler=islice(self._plan(), batch, None),
            num_workers=self.num_workers,
            collate_fn=list,
            generator=torch.Generator(),  # or the global one would be drawn from
        )
        for samples in loader:
            for item, failures in samples:
                for name, reason in failures:
                    self._report(name, reason)
                if item is None:
                    if not failures:
                        raise InputError("the mapper returns None for every image: none is left")
                    self._give_up(failures[-1][1])
            yield [item for item, _ in samples]

    def _plan(self) -> Iterator[list[tuple[int, int]]]:
        """Batches of (number of the sample, index of the image)."""
        waiting: tuple[list[tuple[int, int]], ...] = ([], [])
        for number, index in enumerate(self.sampler):
            group = waiting[self.is_wide[index]]
            group.append((number, index))
            if len(group) == self.batch_size:
                yield group.copy()
                group.clear()

    def _report(self, name: str, reason: str) -> None:
        if name in self.unreadable:
            return
        self.unreadable.add(name)
        if len(self.unreadable) > self.max_unreadable:
            self._give_up(reason)
        logger.warning(
            f"Another image takes the place of one that can't be read ({len(self.unreadable)} so "
            f"far, at most {self.max_unreadable}): {reason}"
        )

    def _give_up(self, reason: str) -> NoReturn:
        names = "\n  ".join(sorted(self.unreadable))
        raise InputError(
            f"training images can't be read; the last one: {reason}. Repair or remove these, or "
            f"raise DATALOADER.MAX_UNREADABLE:\n  {names}"
        )


def load_datasets(names: str | Sequence[str], *, filter_empty: bool = True) -> list[dict[str, Any]]:
    """The images of registered data sets, to train on.

    Args:
        names: of the data sets.
        filter_empty: whether images without annotations are left out, but for those that are
            ``finished``, see `register_coco`.

    Raises:
        InputError: the data can't be used.
    """
    try:
        images = get_detection_dataset_dicts(names, filter_empty=False)
        return that_teach(images, names) if filter_empty else images
    except AssertionError as error:  # how detectron2 refuses data
        raise InputError(f"DATASETS.TRAIN can't be used: {error}") from error
    except ValueError:  # how it refuses other categories, without their names
        check_same_categories([names] if isinstance(names, str) else names)
        raise


def that_teach(images: list[dict[str, Any]], names: str | Sequence[str]) -> list[dict[str, Any]]:
    """Without the images that have no annotation, unless they are ``finished``.

    Args:
        images: at least one.
        names: of the data sets that they are of.

    Raises:
        InputError: none is left.
    """
    if "annotations" not in images[0]:
        return images
    names = [names] if isinstance(names, str) else names
    chosen = [
        x
        for x in images
        if x.get("finished") or any(not y.get("iscrowd") for y in x["annotations"])
    ]
    if not chosen:
        raise InputError(
            f"DATASETS.TRAIN can't be used: no image of {', '.join(names)} has an annotated object"
        )
    if len(chosen) < len(images):
        logger.info(counted(len(images) - len(chosen), "images have no annotation: left out"))
    return chosen


def _from_config(
    cfg: CfgNode, mapper: Callable[[dict[str, Any]], dict[str, Any] | None] | None = None
) -> dict[str, Any]:
    repeat_thresh = {
        "TrainingSampler": 0.0,
        "RepeatFactorTrainingSampler": cfg.DATALOADER.REPEAT_THRESHOLD,
    }
    if cfg.DATALOADER.SAMPLER_TRAIN not in repeat_thresh:
        raise InputError(
            f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN!r}; it must be "
            "'TrainingSampler' or 'RepeatFactorTrainingSampler'"
        )
    return {
        "dataset": load_datasets(
            cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
        ),
        "mapper": mapper or FrameMapper(cfg, is_train=True),
        "total_batch_size": cfg.SOLVER.IMS_PER_BATCH,
        "seed": cfg.SEED,
        "repeat_thresh": repeat_thresh[cfg.DATALOADER.SAMPLER_TRAIN],
        "finished_share": cfg.DATALOADER.FINISHED_SHARE,
        "repeat_sqrt": cfg.DATALOADER.get("REPEAT_SQRT", True),  # release 0.6 has no such key
        "aspect_ratio_grouping": cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        "num_workers": cfg.DATALOADER.NUM_WORKERS,
        "max_unreadable": cfg.DATALOADER.MAX_UNREADABLE,
    }


@configurable(from_config=_from_config)
def build_train_loader(
    dataset: list[dict[str, Any]],
    *,
    mapper: Callable[[dict[str, Any]], dict[str, Any] | None],
    total_batch_size: int,
    seed: int = -1,
    repeat_thresh: float = 0.0,
    repeat_sqrt: bool = True,
    finished_share: float = 0.0,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    max_unreadable: int = 10,
) -> TrainLoader:
    """The loader of this process.

    As with detectron2's ``build_detection_train_loader``, a config with the keys of
    `comining.add_comining_config` may stand for the arguments:
    ``build_train_loader(cfg, mapper=None)``, with a `FrameMapper` by default.

    Args:
        dataset: images in detectron2's data set format.
        mapper: makes of one of them what the model takes.
        total_batch_size: of all processes; a multiple of their number.
        seed: of order and augmentation; below 0, one that the processes draw.
        repeat_thresh: images with a category that a smaller share of the images shows come more
            often, as in LVIS; 0 for none.
        repeat_sqrt: whether by the square root of what such a category lacks, as in LVIS; else by
            what it lacks, which detectron2's release 0.6 does not know.
        finished_share: images that are ``finished``, see `register_coco`, come so often that at
            least this share of what is seen is of them, in [0, 1).
        aspect_ratio_grouping, num_workers, max_unreadable: of `TrainLoader`.

    Raises:
        InputError: a setting is not legal, or the data can't be used.
    """
    world_size = comm.get_world_size()
    if total_batch_size < 1 or total_batch_size % world_size:
        raise InputError(
            f"SOLVER.IMS_PER_BATCH is {total_batch_size}; it must be a multiple of the number of "
            f"processes, {world_size}, and at least that"
        )
    if num_workers < 0:
        raise InputError(f"DATALOADER.NUM_WORKERS is {num_workers}; it must be at least 0")
    if seed < 0:
        seed = comm.shared_random_seed()
    sampler = build_sampler(
        dataset,
        seed,
        repeat_thresh=repeat_thresh,
        repeat_sqrt=repeat_sqrt,
        finished_share=finished_share,
    )
    return TrainLoader(
        dataset,
        mapper,
        sampler,
        batch_size=total_batch_size // world_size,
        seed=seed,
        aspect_ratio_grouping=aspect_ratio_grouping,
        num_workers=num_workers,
        max_unreadable=max_unreadable,
    )
