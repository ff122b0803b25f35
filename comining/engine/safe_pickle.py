"""Reading pickle files that hold numpy arrays in plain containers, and nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from comining.errors import InputError

#: All that arrays and plain containers need; numpy 2 moved its internals to another module.
_ADMITTED = {
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def load_plain_pickle(path: str | Path) -> dict[str, Any]:
    """Read a dict from a pickle file without running anything in it.

    Strings that Python 2 wrote are read as Latin-1, as numpy needs it.

    Raises:
        InputError: the file is damaged or holds more than numpy arrays, numbers, strings and
            plain containers.
    """
    try:
        with Path(path).open("rb") as file:
            loaded = _PlainUnpickler(file, encoding="latin1").load()
    # A damaged file makes the unpickler fail in any of these ways.
    except (
        pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, KeyError, IndexError,
        AttributeError, ImportError, MemoryError, OverflowError,
    ) as error:  # fmt: skip
        raise InputError(
            f"{path} holds more than numpy arrays in plain containers, or is damaged; nothing in "
            f"it was run ({error}). Save the weights anew where they were made, as a dict of arrays"
        ) from error
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds a {type(loaded).__name__}, but weights come as a dict")
    return loaded
