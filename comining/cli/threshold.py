"""Score thresholds on the command line."""

from __future__ import annotations

import math
from typing import Any

import click


# Subscriptable only in the newest click.
class Threshold(click.ParamType):  # type: ignore[type-arg]
    """``NAME=0.5``, or ``0.5`` with the name ""."""

    name = "[NAME=]NUMBER"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        name, _, word = str(value).rpartition("=")
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not 0 <= number <= 1:
            self.fail(f"{word!r} must be a number from 0 to 1", param, ctx)
        return name, number
