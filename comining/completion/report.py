"""The page that tells what a completion did."""

from __future__ import annotations

from typing import Any

from .folder import Folder


def write_report(folder: Folder, completed: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    folder.report.write_text("")
