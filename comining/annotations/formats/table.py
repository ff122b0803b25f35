"""Reading and writing CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from comining.errors import InputError

from .parsing import read_text


class Table:
    """A CSV file with a header.

    Attributes:
        columns: names, in order.
        rows: by column.
        lines: of each row, in the file, from 1.
    """

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, str]] = []
        self.lines: list[int] = []
        reader = csv.reader(io.StringIO(read_text(path), newline=""))
        try:
            self.columns = [x.strip() for x in next(reader, [])]
            for values in reader:
                if not values:
                    continue
                if len(values) != len(self.columns):
                    raise InputError(
                        f"{path}: line {reader.line_num} has {len(values)} columns, but the "
                        f"header has {len(self.columns)}: export it again"
                    )
                self.rows.append(dict(zip(self.columns, values, strict=True)))
                self.lines.append(reader.line_num)
        except csv.Error as error:
            raise InputError(f"{path}: line {reader.line_num} is no CSV: {error}") from error


def write_table(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    """Write rows; what has no column is left out."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
