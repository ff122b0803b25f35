"""Mining a whole data set in one or several processes, so that a killed run can go on."""

from __future__ import annotations

import json
import shutil
from collections import ChainMap, defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from detectron2.data import DatasetFromList, MapDataset
from detectron2.utils import comm
from torch.utils.data import DataLoader
from tqdm import tqdm

from comining.data.tolerant import TolerantMapper
from comining.errors import InputError
from comining.folder_lock import lock_folder
from comining.modeling import TwoViewDetector

from .miner import Mined, mine_batch
from .waiting import report_progress, wait_for_all


class PartialResults:
    """What a run has found so far, in a folder.

    All processes of a run enter it together, and no other run can until they have left.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], *, forget: bool = False) -> None:
        """
        Args:
            folder: is made if it isn't there.
            settings: JSON values by name; what the results depend on.
            forget: whether the results of other settings are removed, rather than refused.
        """
        self.folder = folder
        self.settings = settings
        self.forget = forget
        self._lock: IO[str] | None = None

    def __enter__(self) -> PartialResults:
        """Make the folder, or go on with the one there is.

        Raises:
            InputError: it holds the results of other settings, another run is using it, or it can't
                be made.
        """
        if comm.is_main_process():
            try:
                self._begin()
            except BaseException:
                self.__exit__()
                raise
        comm.synchronize()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def _begin(self) -> None:
        path = self.folder / "settings.json"
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = lock_folder(self.folder)
            if not path.exists():
                path.write_text(json.dumps(self.settings))
            before = json.loads(path.read_text())
            if not isinstance(before, dict):
                raise ValueError("it holds no settings")
        except BlockingIOError as error:
            raise InputError(
                f"{self.folder} is in use: a run with this output has not ended yet; wait for it "
                "or end it"
            ) from error
        except (OSError, ValueError) as error:
            raise InputError(f"{path} can't be used ({error}): remove {self.folder}") from error
        changed = sorted(
            name
            for name in {*before, *self.settings}
            if before.get(name) != self.settings.get(name)
        )
        if changed and self.forget:
            for results in self.folder.glob("*.jsonl"):
                results.unlink()
            path.write_text(json.dumps(self.settings))
        elif changed:
            raise InputError(
                f"{self.folder} holds the results of a run that was interrupted, and these have "
                f"changed since: {', '.join(changed)}. Give the same again, or remove the folder "
                "to begin anew"
            )

    def read(self, dataset: str) -> dict[int, Mined]:
        """By image id, what all processes of all attempts have found in a data set."""
        found = {}
        for path in self._files(dataset):
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):  # the last one of a killed process may be cut off
                    for image_id, *fields in json.loads(line):
                        found[image_id] = Mined(*fields)
        return found

    def new_file(self, dataset: str) -> Path:
        """A file for this process in this attempt. All processes ask at the same time."""
        attempts = [int(path.name.split("-")[-2]) for path in self._files(dataset)]
        attempt = max(attempts, default=0) + 1
        comm.synchronize()  # before another process makes its file
        return self.folder / f"{dataset}-{attempt}-{comm.get_rank()}.jsonl"

    def _files(self, dataset: str) -> list[Path]:
        return sorted(self.folder.glob(f"{dataset}-*-*.jsonl"))

    def remove(self) -> None:
        """In the main process, when they are needed no more."""
        shutil.rmtree(self.folder)


def mine_dataset(
    model: TwoViewDetector,
    mapper: Callable[[dict[str, Any]], dict[str, Any]],
    records: Sequence[dict[str, Any]],
    results: PartialResults,
    name: str,
    *,
    score_thresh: float | None = None,
    batch_size: int,
    num_workers: int,
    tell: Callable[[float], None] | None = None,
) -> dict[int, str]:
    """Mine those images that ``results`` lacks, each in one of the processes.

    An image that can't be read is passed over, and tried again by the next run that goes on.

    Args:
        model: in evaluation mode.
        mapper: for inference.
        records: of a data set, in detectron2's standard form.
        results: gets what is found, batch after batch.
        name: of the data set in ``results``, letters alone.
        score_thresh: in [0, 1]; None for the thresholds of the training.
        batch_size: images at a time in this process.
        num_workers: processes that read images; 0 reads in this one.
        tell: is told the share that is done; without it, a bar shows that.

    Returns:
        By image id, which images could not be read, and why; in every process those of all.
    """
    batches = _batches_left(records, batch_size, results.read(name))
    total, number = sum(map(len, batches)), 0
    path = results.new_file(name)
    unreadable: dict[int, str] = {}
    hidden = None if comm.is_main_process() and tell is None else True  # None: if no terminal
    of_process = f" (process 1 of {comm.get_world_size()})" if comm.get_world_size() > 1 else ""
    with (
        path.open("w") as file,
        tqdm(total=total, desc=f"mining {name}{of_process}", unit=" images", disable=hidden) as bar,
    ):
        for batch, items in read_batches(batches, mapper, num_workers):
            found, not_read = mine_readable(model, items, batch, score_thresh)
            unreadable |= not_read
            if found:
                file.write(json.dumps([[i, *mined] for i, mined in found.items()]) + "\n")
                file.flush()
            bar.update(len(batch))
            report_progress()
            number += len(batch)
            if tell is not None and comm.is_main_process():
                tell(number / total)
    if not path.stat().st_size:
        path.unlink()
    wait_for_all()
    return dict(ChainMap(*comm.all_gather(unreadable)))


def mine_readable(
    model: TwoViewDetector,
    items: Sequence[dict[str, Any]],
    records: Sequence[dict[str, Any]],
    score_thresh: float | None = None,
) -> tuple[dict[int, Mined], dict[int, str]]:
    """Mine those of N images that could be read; see `mine_batch`.

    Args:
        items: of a `TolerantMapper`.

    Returns:
        By image id, what is found, and why images could not be read.
    """
    pairs = list(zip(items, records, strict=True))
    unreadable = {x["image_id"]: item["unreadable"] for item, x in pairs if "unreadable" in item}
    readable = [pair for pair in pairs if "unreadable" not in pair[0]]
    if not readable:
        return {}, unreadable
    items, records = zip(*readable, strict=True)
    found = mine_batch(model, items, records, score_thresh)
    return {x["image_id"]: mined for x, mined in zip(records, found, strict=True)}, unreadable


def _batches_left(
    records: Sequence[dict[str, Any]], batch_size: int, done: Container[int]
) -> list[list[dict[str, Any]]]:
    """Of this process, batches of the images that are not done.

    They are made of all images, so that they are the same after an interruption: the sum of the
    same numbers differs in its last digits with the size of the batch.
    """
    left = [
        [record for record in batch if record["image_id"] not in done]
        for batch in same_size_batches(records, batch_size)
    ]
    return list(filter(None, left))[comm.get_rank() :: comm.get_world_size()]


def read_batches(
    batches: list[list[dict[str, Any]]],
    mapper: Callable[[dict[str, Any]], dict[str, Any]],
    num_workers: int,
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """Each batch of records, and what a `TolerantMapper` makes of it.

    Args:
        batches: of records in detectron2's standard form.
        mapper: for inference.
        num_workers: processes that read images; 0 reads in this one.
    """
    images = [record for batch in batches for record in batch]
    # detectron2 can't serialise an empty list.
    shared = DatasetFromList(images, copy=False, serialize=bool(images))
    loader = DataLoader(
        MapDataset(shared, TolerantMapper(mapper)),
        batch_sampler=list(_consecutive(map(len, batches))),
        num_workers=num_workers,
        collate_fn=list,
    )
    yield from zip(batches, loader, strict=True)


def same_size_batches(
    records: Sequence[dict[str, Any]], batch_size: int
) -> list[list[dict[str, Any]]]:
    """Batches of images that need no padding, so that none changes what is found in another.

    Args:
        records: each with ``height`` and ``width``.
        batch_size: at most that many make a batch.

    Returns:
        The batches in the order of their first images.
    """
    batches: list[list[dict[str, Any]]] = []
    unfinished: defaultdict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        size = record["height"], record["width"]
        batch = unfinished[size]
        if not batch:
            batches.append(batch)
        batch.append(record)
        if len(batch) == batch_size:
            del unfinished[size]
    return batches


def _consecutive(lengths: Iterator[int]) -> Iterator[list[int]]:
    start = 0
    for length in lengths:
        yield list(range(start, start + length))
        start += length
