"""The configs that come with the package, by name."""

from __future__ import annotations

import difflib
from pathlib import Path

from .errors import InputError


def config_folder() -> Path:
    """Where the configs lie: in the package, or beside it in a checkout."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "configs"


def installed(path: str) -> str:
    """The path of a config as a checkout has it, ``configs/demo.yaml``, or of what the package has
    in its place if there is no such file."""
    of_package = config_folder() / path.removeprefix("configs/")
    is_needed = path.startswith("configs/") and not Path(path).is_file() and of_package.is_file()
    return str(of_package) if is_needed else path


def packaged_base(path: str) -> str:
    """The path of a config that a ``_BASE_`` names: as it stands there or, where there is no such
    file, that of the package's config, for ``configs/Base-Small.yaml`` or ``Base-Small``."""
    wanted = Path(path)
    of_package = config_folder() / f"{wanted.stem}.yaml"
    is_named_so = wanted.parent.name == "configs" or not wanted.suffix
    return str(of_package) if is_named_so and not wanted.exists() and of_package.is_file() else path


def find_config(name: str) -> str:
    """The path of a config.

    Args:
        name: a path, also as a checkout has it; or the name of a config of the package, such as
            ``hard_R50``, ``studies/scenes`` or, for a Lazy config, ``lazy/hard_R50``.

    Raises:
        InputError: there is neither.
    """
    name = installed(name)
    if Path(name).is_file():
        return name
    folder = config_folder()
    known = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for pattern in ("*.yaml", "studies/*.yaml", "lazy/*.py")
        for path in sorted(folder.glob(pattern))
    }
    if name in known:
        return str(known[name])
    near = difflib.get_close_matches(Path(name).stem, known, n=3)
    hint = f"; near to it are {', '.join(near)}" if near else ""
    raise InputError(f"{name} is neither a file nor the name of a config{hint}")
