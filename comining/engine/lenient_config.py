"""A config that takes what people write where its meaning is clear."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import IO, Any

import yaml
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

from comining.config_files import packaged_base


class LenientConfig(CfgNode):
    """Takes whole numbers where yacs wants others, lists without quotes, and files whose ``_BASE_``
    may be a config of the package."""

    @classmethod
    def _open_cfg(cls, filename: str) -> IO[str]:
        return PathManager.open(packaged_base(filename), "r")

    def merge_from_other_cfg(self, cfg_other: CfgNode) -> None:
        _make_floats(cfg_other, self)
        super().merge_from_other_cfg(cfg_other)

    def merge_from_list(self, cfg_list: Sequence[Any]) -> None:
        """yacs's.

        Args:
            cfg_list: keys and values in turn.

        Raises:
            ValueError, KeyError, AssertionError: a key or value is of no use.
        """
        for word in map(str, cfg_list[::2]):
            if "=" in word:
                raise ValueError(f"write {word.replace('=', ' ', 1)} in place of {word}")
        fitting = list(cfg_list)
        for place in range(1, len(cfg_list), 2):
            key = cfg_list[place - 1]
            fitting[place] = self._fitting(key, cfg_list[place])
        super().merge_from_list(fitting)

    def _fitting(self, key: str, word: Any) -> Any:
        """A value in the type that a key's has, if it can be one."""
        present: Any = self
        for name in key.split("."):
            present = present.get(name) if isinstance(present, CfgNode) else None
        value = self._decode_cfg_value(word)
        if isinstance(present, float) and type(value) is int:
            return float(value)
        if not isinstance(present, (list, tuple)) or isinstance(value, (list, tuple, type(None))):
            return word
        with contextlib.suppress(yaml.YAMLError):
            value = yaml.safe_load(str(word))
        if not isinstance(value, list):
            raise ValueError(f'{key} takes a list: write {key} "[{word}]" in place of {word}')
        return value


def _make_floats(given: CfgNode, wanted: CfgNode) -> None:
    """Make floats of the whole numbers in one config, in place, where another has floats."""
    for key, value in given.items():
        present = wanted.get(key)
        if isinstance(value, CfgNode) and isinstance(present, CfgNode):
            _make_floats(value, present)
        elif isinstance(present, float) and type(value) is int:
            given[key] = float(value)
