"""One image, read and augmented; what follows if it can't be read."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from detectron2.data.detection_utils import SizeMismatchError
from detectron2.utils import comm
from PIL import Image
from torch.utils.data import Dataset

#: What reading an image raises if the file is missing, no image, truncated or of another size.
UNREADABLE = (OSError, SyntaxError, SizeMismatchError, Image.DecompressionBombError)
#: Where images are read and little else: Pillow raises a ValueError at too large a chunk of text.
UNREADABLE_OR_ODD = (*UNREADABLE, ValueError)


class Samples(Dataset[Any]):
    """Reads and augments one image, in whatever process."""

    def __init__(
        self,
        images: Sequence[dict[str, Any]],
        mapper: Callable[[dict[str, Any]], dict[str, Any] | None],
        is_wide: Sequence[bool],
        seed: int,
        max_unreadable: int,
    ) -> None:
        self.images = images
        self.mapper = mapper
        self.is_wide = is_wide
        self.seed = seed
        self.rank = comm.get_rank()
        self.max_unreadable = max_unreadable

    def __getitem__(
        self, sample: tuple[int, int]
    ) -> tuple[dict[str, Any] | None, list[tuple[str, str]]]:
        """The item, and (name, reason) of images that could not be read before it.

        Failures are returned, since what a worker raises arrives wrapped in its traceback.
        """
        number, wanted = sample
        failures: list[tuple[str, str]] = []
        with _seeded([self.seed, self.rank, number]):
            for index in self._with_replacements(wanted):
                item, reason = self._read(self.images[index])
                if item is not None:
                    return item, failures
                if reason:
                    failures.append((self.images[index]["file_name"], reason))
                if len(failures) > self.max_unreadable:
                    break
        return None, failures

    def _read(self, image: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
        """The item; or none and why it can't be read, or no reason if the mapper skips it."""
        try:
            return self.mapper(image), ""
        except Exception as error:
            if isinstance(error, UNREADABLE) or _is_pillows(error):
                return None, failure_text(image["file_name"], error)
            raise

    def _with_replacements(self, wanted: int) -> Iterator[int]:
        total = len(self.is_wide)
        for index in (i % total for i in range(wanted, wanted + total)):
            if self.is_wide[index] == self.is_wide[wanted]:
                yield index


def failure_text(file_name: str, error: Exception) -> str:
    """Why an image can't be read, with its name."""
    text = str(error) or type(error).__name__
    return text if file_name in text else f"{file_name}: {text}"


def _is_pillows(error: Exception) -> bool:
    """Whether it is a ValueError of Pillow's, as of too large a chunk of text in a file."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return isinstance(error, ValueError) and frame.f_globals["__name__"].startswith("PIL.")


@contextmanager
def _seeded(counters: Sequence[int]) -> Iterator[None]:
    """Derive the global random state from ``counters`` and restore it afterwards."""
    states = np.random.get_state(), random.getstate(), torch.get_rng_state()
    seeds = np.random.SeedSequence(counters).generate_state(4)
    np.random.seed(seeds)
    random.seed(seeds.tobytes())
    torch.default_generator.manual_seed(int(seeds[0]))
    try:
        yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
        torch.set_rng_state(states[2])
