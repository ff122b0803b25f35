"""Reading images for inference, where one that can't be read is told, not raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .samples import UNREADABLE_OR_ODD, failure_text


class TolerantMapper:
    """A mapper that makes of an image which can't be read an item with the reason alone.

    What a loader's worker raises would arrive wrapped in its traceback, and end the rest.
    """

    def __init__(self, mapper: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """
        Args:
            mapper: for inference.
        """
        self.mapper = mapper

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """The mapper's item, or the field ``unreadable``, a text with the file's name."""
        try:
            return self.mapper(record)
        except UNREADABLE_OR_ODD as error:
            return {"unreadable": failure_text(record["file_name"], error)}
