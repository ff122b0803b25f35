"""A config as a YAML file that tells why each setting is as it is."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from comining.errors import InputError


class Choice(NamedTuple):
    """One setting of a config.

    Attributes:
        key: with dots, as in ``SOLVER.MAX_ITER``.
        value: a scalar, list or dict.
        why: the reason, for a reader; may be empty.
    """

    key: str
    value: Any
    why: str = ""


def config_text(base: Mapping[str, Any], choices: Sequence[Choice], head: str) -> str:
    """A YAML file with all of ``base``, changed by ``choices``, each below its reason.

    Args:
        base: nested settings.
        choices: later ones win.
        head: becomes the comment on top.
    """
    nested: dict[str, Any] = {}
    reasons = {choice.key: choice.why for choice in choices}
    for key, value in [*_flat(base), *((x.key, x.value) for x in choices)]:
        *path, name = key.split(".")
        node = nested
        for part in path:
            node = node.setdefault(part, {})
        node[name] = value
    return "\n".join([*_comment(head, 0), *_lines(nested, reasons, "", 0), ""])


def _flat(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    return [
        leaf
        for name, value in node.items()
        for leaf in (
            _flat(value, f"{prefix}{name}.")
            if isinstance(value, Mapping) and value
            else [(f"{prefix}{name}", value)]
        )
    ]


def _lines(
    node: Mapping[str, Any], reasons: Mapping[str, str], prefix: str, depth: int
) -> list[str]:
    lines = []
    for name, value in node.items():
        key = f"{prefix}{name}"
        lines += _comment(reasons.get(key, ""), depth)
        if isinstance(value, dict) and value:
            lines.append(f"{'  ' * depth}{name}:")
            lines += _lines(value, reasons, f"{key}.", depth + 1)
        else:
            lines.append(f"{'  ' * depth}{name}: {_written(value)}")
    return lines


def _written(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=2**16, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _comment(text: str, depth: int) -> list[str]:
    indent = "  " * depth
    return [f"{indent}# {line}" for line in textwrap.wrap(text, 96 - len(indent))]


def replaced(text: str, name: str, value: Any, why: str = "") -> str:
    """A config's text with another value of a setting.

    Args:
        text: from `config_text`, perhaps edited.
        name: the last part of the key, which stands there once, on one line.
        value: a scalar, list or dict.
        why: takes the place of the reason above it; "" leaves that.

    Raises:
        InputError: it isn't there.
    """
    pattern = re.compile(rf"^( *)((?:# .*\n *)*){name}: .*$", re.MULTILINE)

    def changed(found: re.Match[str]) -> str:
        indent, comment = found.groups()
        comment = f"# {why}\n{indent}" if why else comment
        return f"{indent}{comment}{name}: {_written(value)}"

    text, number = pattern.subn(changed, text, count=1)
    if number != 1:
        raise InputError(f"config.yaml lacks {name}: put it back, or remove the file")
    return text
