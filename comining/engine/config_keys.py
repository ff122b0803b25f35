"""Mistyped keys of configs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from detectron2.config import CfgNode


def config_error(error: Exception, cfg: CfgNode) -> str:
    """What was wrong with a config, with the nearest key if one does not exist.

    Args:
        error: raised by ``cfg.merge_from_file`` or ``cfg.merge_from_list``.
        cfg: has all keys there are.
    """
    # A KeyError's str() is its message's repr.
    text = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    wrong = re.fullmatch(r"Non-existent (?:config )?key: (\S+)", text)
    if wrong is None:
        return text
    near = nearest_key(wrong[1], cfg)
    return f"there is no key {wrong[1]}" + (f"; did you mean {near}?" if near else "")


def nearest_key(key: str, cfg: CfgNode) -> str | None:
    """The key most like another one, its sections included."""
    near = difflib.get_close_matches(key.upper(), _keys(cfg), n=1)
    return near[0] if near else None


def _keys(cfg: CfgNode, section: str = "") -> Iterator[str]:
    for name, value in cfg.items():
        yield section + name
        if isinstance(value, CfgNode):
            yield from _keys(value, f"{section}{name}.")
