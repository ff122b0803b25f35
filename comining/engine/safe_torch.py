"""Reading files of torch that hold tensors in plain containers, and nothing else."""

from __future__ import annotations

import pickle
import re
import struct
from pathlib import Path
from typing import Any

import torch

from comining.errors import InputError

#: What to do about a file that can't be used as it is.
SAVE_ANEW = 'save the weights anew where they were made, by torch.save({"model": state_dict}, path)'

_FORBIDDEN = re.compile(r"(?:GLOBAL|[Gg]lobal|[Cc]lass|type) ((?:\w+\.)+\w+)")


def load_torch(path: str | Path, *, mmap: bool = False) -> dict[str, Any]:
    """Read a ``.pth`` file without running anything in it.

    Args:
        path: of the file.
        mmap: leave tensors on the disk until they are used.

    Raises:
        InputError: it is damaged, or holds more than tensors and plain containers.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap or None)
    except pickle.UnpicklingError as error:
        # Not torch's text, which advises to load it unsafely.
        found = _FORBIDDEN.search(str(error))
        what = f" ({found[1]})" if found else ", or is damaged"
        raise InputError(
            f"{path} holds more than tensors and plain containers{what}; nothing in it was run: "
            f"{SAVE_ANEW}"
        ) from error
    # What torch.load makes of a file that is damaged, cut off or no checkpoint at all.
    except (
        OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError,
        AssertionError, OverflowError, struct.error,
    ) as error:  # fmt: skip
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path} is damaged or no checkpoint: {reason}") from error
    if not isinstance(loaded, dict):
        raise InputError(
            f"{path} holds a {type(loaded).__name__}, but a checkpoint is a dict: {SAVE_ANEW}"
        )
    return loaded
