"""What normalises a dense detector's head."""

from __future__ import annotations

from collections.abc import Callable

from detectron2.layers import get_norm
from torch import nn

from comining.errors import InputError


def head_norm(key: str, name: str) -> str | Callable[[int], nn.Module]:
    """What detectron2's heads take as ``norm``.

    Args:
        key: of the config, for messages.
        name: its value.

    Raises:
        InputError: detectron2 has no such norm.
    """
    try:
        get_norm(name, 32)
    except KeyError as error:
        raise InputError(f"{key} is {name!r}, which detectron2 doesn't know") from error
    # detectron2 first tries a head's norm on one channel, too few for 32 groups.
    if name != "GN":
        return name
    return lambda channels: get_norm(name, 32 if channels == 1 else channels)
