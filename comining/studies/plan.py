"""From a study file to its cells, one training each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

from comining.config_files import find_config
from comining.engine import load_config
from comining.errors import InputError

#: The protocol in which nothing is missing: 'gap closed' is measured against it.
FULL = "full"

NAME = re.compile(r"\w[\w.+-]*")
OWN_KEYS = ("OUTPUT_DIR", "SEED")
NEEDED = ("config", "methods", "protocols", "seeds")
SCRIPT = "script"
OPTIONAL = (SCRIPT, "settings", "skip", "controls", "costs")


@dataclass(frozen=True)
class Cell:
    """One training of a study.

    Attributes:
        protocol, method, seed: which one.
        config_file: the config that it starts from.
        overrides: what differs from it, by key; with SEED, without OUTPUT_DIR.
        settings: all that follows from these, by key, as JSON values; without OUTPUT_DIR. A script
            of the study's own is among them, as `SCRIPT`.
    """

    protocol: str
    method: str
    seed: int
    config_file: str
    overrides: dict[str, Any]
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """Also the folder below that of the study."""
        return f"{self.protocol}/{self.method}/seed{self.seed}"


@dataclass(frozen=True)
class Study:
    """What a study file asks for.

    Attributes:
        protocols, methods: names, in the order of the file.
        controls: those methods that 'gap closed' is stated against.
        cells: in the order in which they are run: all of the first seed, then of the next one.
        script: that trains them, a Python file; None for ``comining.engine.run``.
        costs: the method whose time and memory those of the others are stated against; None to
            leave them out.
    """

    protocols: tuple[str, ...]
    methods: tuple[str, ...]
    controls: tuple[str, ...]
    cells: tuple[Cell, ...]
    script: str | None
    costs: str | None = None


def read_study(path: Path) -> Study:
    """Read and check a study file. It is described in `comining.studies.report`.

    Args:
        path: of a YAML file, read without executing anything in it.

    Raises:
        InputError: the file or a config is missing, a key unknown, a value of no use.
    """
    try:
        content = yaml.load(path.read_text(), _Loader)
        return _study(content)
    except OSError as error:
        raise InputError(f"study {path} can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"study {path} is no YAML file: {error}") from error
    except InputError as error:
        raise InputError(f"study {path}: {error}") from error


class _Loader(yaml.SafeLoader):
    """Of two entries of the same name, YAML would drop one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"{', '.join(twice)}: there twice (line {node.start_mark.line + 1})")
        return super().construct_mapping(node, deep)


def _study(content: Any) -> Study:
    if not isinstance(content, dict):
        raise InputError("must consist of KEY: value lines")
    missing = [key for key in NEEDED if key not in content]
    unknown = [str(key) for key in content if key not in (*NEEDED, *OPTIONAL)]
    mistakes = [f"{', '.join(missing)}: not there"] if missing else []
    if unknown:
        known = ", ".join((*NEEDED, *OPTIONAL))
        mistakes.append(f"{', '.join(unknown)}: unknown; {known} are known")
    if mistakes:
        raise InputError("; ".join(mistakes))
    common = _overrides(content.get("settings"), "settings")
    methods = _methods(content["methods"], _config(content["config"], "config"))
    protocols = {
        name: _overrides(value, f"protocols: {name}")
        for name, value in _named(content["protocols"], "protocols").items()
    }
    skip = _skip(content.get("skip") or [], methods, protocols)
    script = _script(content[SCRIPT]) if SCRIPT in content else None
    cells = [
        _cell(
            protocol,
            method,
            seed,
            script,
            config_file,
            {**common, **_join(own, data, method, protocol)},
        )
        for seed in _seeds(content["seeds"])
        for protocol, data in protocols.items()
        for method, (config_file, own) in methods.items()
        if (method, protocol) not in skip
    ]
    if not cells:
        raise InputError("skip leaves nothing to run")
    controls = _controls(content.get("controls") or [], cells)
    costs = content.get("costs")
    if costs is not None and costs not in list(methods):
        raise InputError(f"costs must be one of the methods, but is {costs}")
    return Study(tuple(protocols), tuple(methods), controls, tuple(cells), script, costs)


def _methods(value: Any, config_file: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """By name, a method's config file (that of the study, if it has none) and its overrides."""
    methods = {}
    for name, entries in _named(value, "methods").items():
        own = dict(_mapping(entries, f"methods: {name}"))
        its_config = _config(own.pop("config", config_file), f"methods: {name}: config")
        methods[name] = its_config, _overrides(own, f"methods: {name}")
    return methods


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise InputError(f"{where} must consist of KEY: value lines")
    return value


def _named(value: Any, where: str) -> dict[str, Any]:
    named = _mapping(value, where)
    if not named:
        raise InputError(f"{where}: there must be at least one")
    for name in named:
        # Names become folders.
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(
                f"{where}: {name!r} is no name; a name has letters, digits, '_', '.', '+' and '-' "
                "and begins with a letter, digit or '_' (numbers and words like yes: in quotes)"
            )
    return named


def _overrides(value: Any, where: str) -> dict[str, Any]:
    overrides = _mapping(value, where)
    for key, item in overrides.items():
        if not isinstance(key, str):
            raise InputError(f"{where}: {key!r} is no key of a config")
        if key in OWN_KEYS:
            raise InputError(f"{where}: {key} is set by the study, not in its file")
        if isinstance(item, dict):
            raise InputError(f"{where}: write {key}.NAME: value, flat, in place of a nested {key}")
    return overrides


def _config(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{where} must be a config file or the name of one, but is {value!r}")
    return find_config(value)


def _script(value: Any) -> str:
    if not isinstance(value, str) or not Path(value).is_file():
        raise InputError(f"script must be the path of a Python file, but is {value!r}")
    return value


def _seeds(value: Any) -> list[int]:
    if (
        not isinstance(value, list)
        or not value
        or any(type(seed) is not int or seed < 0 for seed in value)
        or len(set(value)) < len(value)
    ):
        raise InputError(f"seeds must be a list of different whole numbers from 0, but is {value}")
    return value


def _skip(value: Any, methods: dict[str, Any], protocols: dict[str, Any]) -> set[tuple[str, str]]:
    pairs = value if isinstance(value, list) else [value]
    for pair in pairs:
        known = (
            isinstance(pair, list)
            and len(pair) == 2
            and all(isinstance(name, str) for name in pair)
            and pair[0] in methods
            and pair[1] in protocols
        )
        if not known:
            raise InputError(f"skip has the entry {pair}; it must be [a method, a protocol]")
    return {(method, protocol) for method, protocol in pairs}


def _controls(value: Any, cells: list[Cell]) -> tuple[str, ...]:
    methods = [cell.method for cell in cells]
    if not isinstance(value, list) or any(name not in methods for name in value):
        raise InputError(f"controls must be a list of methods that are run, but is {value}")
    for name in value:
        if not any((cell.method, cell.protocol) == (name, FULL) for cell in cells):
            raise InputError(
                f"controls: {name} is not run on a protocol named {FULL}, which 'gap closed' is "
                "measured against: add it, or leave out the control"
            )
    return tuple(value)


def _join(own: dict[str, Any], data: dict[str, Any], method: str, protocol: str) -> dict[str, Any]:
    """The overrides of a method and a protocol in one."""
    both = sorted(own.keys() & data.keys())
    if both:
        raise InputError(
            f"{', '.join(both)}: set by the method {method} and by the protocol {protocol}; set it "
            "in one of them"
        )
    return {**own, **data}


def _cell(
    protocol: str,
    method: str,
    seed: int,
    script: str | None,
    config_file: str,
    overrides: dict[str, Any],
) -> Cell:
    overrides = {**overrides, "SEED": seed}
    try:
        settings = settings_of(config_file, overrides)
    except InputError as error:
        message = str(error).removeprefix("command line: ")
        raise InputError(f"method {method} on protocol {protocol}: {message}") from error
    if len(settings["DATASETS.TEST"]) != 1:
        raise InputError(
            f"method {method} on protocol {protocol}: DATASETS.TEST must name one data set, but is "
            f"{settings['DATASETS.TEST']}"
        )
    if script is not None:
        settings[SCRIPT] = script
    return Cell(protocol, method, seed, config_file, overrides, settings)


def settings_of(config_file: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """What follows from a config file, as it is now, and overrides; without OUTPUT_DIR.

    Raises:
        InputError: a file or a value is of no use.
    """
    settings = json.loads(json.dumps(flat(load_config(config_file, words(overrides)))))
    del settings["OUTPUT_DIR"]
    return settings


def words(overrides: dict[str, Any]) -> list[str]:
    """Overrides as they stand on the command line."""
    return [str(word) for pair in overrides.items() for word in pair]


def flat(cfg: CfgNode, prefix: str = "") -> dict[str, Any]:
    """The values of a config, by full key."""
    values: dict[str, Any] = {}
    for key, value in cfg.items():
        if isinstance(value, CfgNode):
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[prefix + key] = value
    return values
