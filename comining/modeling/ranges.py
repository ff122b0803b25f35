"""Settings that lie within a range."""

from __future__ import annotations

import math

from comining.errors import InputError


def check_range(node: str, *, most: float = 1.0, **values: float) -> None:
    """Check that settings are at least 0 and at most something.

    Args:
        node: of the config, such as ``MODEL.COMINING``.
        most: infinite if it doesn't matter.
        values: by the names of the keys, in small letters.

    Raises:
        InputError: one is not.
    """
    for name, value in values.items():
        if not 0 <= value <= most:
            wanted = "at least 0" if most == math.inf else f"between 0 and {most:g}"
            raise InputError(f"{node}.{name.upper()} is {value}; it must be {wanted}")
