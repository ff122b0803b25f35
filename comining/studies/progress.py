"""How far a study is, and how long the rest may take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from .archive import find_finished
from .plan import Cell


class Progress:
    """Counts finished cells and prints a line for each that ends.

    Args:
        cells: of the study.
        output: its folder.
        jobs: how many cells run at a time.
    """

    def __init__(self, cells: Sequence[Cell], output: Path, jobs: int) -> None:
        self.total = len(cells)
        self.jobs = jobs
        self.minutes: dict[str, list[float]] = defaultdict(list)
        waiting = []
        for cell in cells:
            finished = find_finished(cell, output)
            if finished:
                self.minutes[cell.method].append(finished.record.minutes)
            else:
                waiting.append((cell.method, 0.0))
        print(
            f"{self.finished}/{self.total} cells are finished{self._outlook(waiting)}", flush=True
        )

    @property
    def finished(self) -> int:
        """How many cells are."""
        return sum(map(len, self.minutes.values()))

    def print(
        self, ended: Cell, code: int, minutes: float, left: Iterable[tuple[str, float]]
    ) -> None:
        """Print that a cell ended.

        Args:
            ended: which one.
            code: what its process exited with.
            minutes: that it took.
            left: as for `minutes_left`.
        """
        if code == 0:
            self.minutes[ended.method].append(minutes)
        how = "finished" if code == 0 else f"FAILED with exit code {code}"
        print(
            f"{self.finished}/{self.total} {ended.name} {how} after {minutes:.1f} min"
            f"{self._outlook(left)}",
            flush=True,
        )

    def _outlook(self, left: Iterable[tuple[str, float]]) -> str:
        minutes = minutes_left(self.minutes, left, self.jobs)
        hours, rest = divmod(round(minutes or 0), 60)
        return f"; about {hours} h {rest:02} min left" if minutes else ""


def minutes_left(
    finished: dict[str, list[float]], left: Iterable[tuple[str, float]], jobs: int
) -> float | None:
    """How long the rest of a study may take.

    A cell is taken to need the mean time of the finished ones of its method, or of all if there are
    none.

    Args:
        finished: by method, the minutes of its finished cells.
        left: of each other cell, its method and the minutes it took so far.
        jobs: how many run at a time.

    Returns:
        Minutes; None if no cell is finished.
    """
    everything = [value for values in finished.values() for value in values]
    if not everything:
        return None
    needed = {method: fmean(values) for method, values in finished.items() if values}
    usual = fmean(everything)
    return sum(max(0.0, needed.get(method, usual) - so_far) for method, so_far in left) / jobs
