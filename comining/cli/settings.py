"""``KEY VALUE`` words at the end of a command, which change its config."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click


class WithSettings(click.Command):
    """A command `with_settings`, whose values may begin with a minus: SEED -1."""

    ignore_unknown_options = True


def _no_options(
    ctx: click.Context, parameter: click.Parameter, words: tuple[str, ...]
) -> tuple[str, ...]:
    for word in words:
        if re.match(r"--?[a-zA-Z]", word):
            known = [name for x in ctx.command.params for name in x.opts if name.startswith("-")]
            name = word.partition("=")[0]
            raise click.NoSuchOption(name, None, difflib.get_close_matches(name, known), ctx)
    return words


#: For a command of the class `WithSettings`.
with_settings = click.argument("settings", nargs=-1, metavar="[KEY VALUE]...", callback=_no_options)


def overrides(settings: Sequence[str], own: Mapping[str, Any]) -> list[str]:
    """Keys and values in turn: the settings, then those of keys that have options of their own.

    Args:
        settings: keys and values in turn.
        own: by key, None for the config's value.
    """
    return [*settings, *(str(x) for pair in own.items() if pair[1] is not None for x in pair)]
