"""Where a command writes, for an option that says so."""

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
