"""Reading and writing CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from comining.counted import counted
from comining.errors import InputError

from .parsing import read_text


class Table:
    """A CSV file with a header.

    Attributes:
        columns: names, in order.
        rows: by column.
        lines: of each row, in the file, from 1.

    Raises:
        InputError: it can't be read, or its rows don't fit the header.
    """

    def __init__(self, path: Path) -> None:
        lines = read_lines(path)
        self.columns = [x.strip() for x in next(lines, (1, []))[1]]
        if len(set(self.columns)) < len(self.columns):
            raise InputError(f"{path}: the header names a column twice: export it again")
        self.rows: list[dict[str, str]] = []
        self.lines: list[int] = []
        for line, values in lines:
            if len(values) != len(self.columns):
                raise InputError(
                    f"{path}: line {line} has {counted(len(values), 'columns')}, but the header "
                    f"has {len(self.columns)}: export it again"
                )
            self.rows.append(dict(zip(self.columns, values, strict=True)))
            self.lines.append(line)


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV file that aren't blank, each with the number of its last one, from 1.

    Raises:
        InputError: it can't be read.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        for values in reader:
            if values:
                yield reader.line_num, values
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} is no CSV: {error}") from error


def write_table(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    """Write rows; what has no column is left out."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
