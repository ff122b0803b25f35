"""Paths on the command line, with messages that tell what to name."""

from pathlib import Path
from typing import Any

import click


class Place(click.Path):
    """A path; where it is missing, the message gives an example, if there is one."""

    def __init__(self, example: str = "") -> None:
        super().__init__(path_type=Path)
        self.example = example

    def get_missing_message(self, *_: Any, **__: Any) -> str | None:
        return self.example and f"For example: {self.example}"


class Completed(click.Path):
    """What ``comining complete`` wrote: its folder or, with ``files``, a file of annotations."""

    def __init__(self, *, files: bool) -> None:
        super().__init__(path_type=Path)
        self.files = files

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if not path.exists():
            self.fail(f"{path} is not there: name the --output of `comining complete`", param, ctx)
        if path.is_file() and not self.files:
            self.fail(f"{path} is a file: name its folder, {path.parent}", param, ctx)
        return path
