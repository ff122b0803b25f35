"""One progress bar for all that a command does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from detectron2.engine import HookBase
from tqdm import tqdm

#: Seconds from one line to the next where there is no bar.
BETWEEN_LINES = 60


class Progress:
    """Shows how far all stages have come and about how long the rest will take.

    On a terminal it is a bar; elsewhere a line at the beginning of each stage, and every minute.
    """

    def __init__(self, seconds: dict[str, float], *, quiet: bool = False) -> None:
        """
        Args:
            seconds: by the stages' names, in order, what each may take.
            quiet: whether nothing is shown.
        """
        self.seconds = dict(seconds)
        self.quiet = quiet
        self.expected: set[str] = set()
        self.stage = ""
        self.share = 0.0
        self.first = 0.0
        self.start = self.told = time.monotonic()
        self.bar = tqdm(
            total=1.0,
            disable=quiet or not sys.stderr.isatty(),
            bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}",
            leave=False,
            file=sys.stderr,
        )

    def expect(self, stage: str, seconds: float) -> None:
        """Correct what a stage may take."""
        self.seconds[stage] = seconds
        self.expected.add(stage)

    def at(self, stage: str, share: float) -> None:
        """Tell that ``share``, in 0..1, of a stage is done."""
        if stage != self.stage:
            self.stage, self.first = stage, share  # an earlier run may have done a part
            self.start = self.told = time.monotonic()
            if stage in self.expected:
                self.told -= BETWEEN_LINES  # so that the time is told at once
            elif self.bar.disable:
                self.note(f"{stage} ...")
        self.share = share
        self._show()

    def note(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if not self.quiet:
            self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()

    def _show(self) -> None:
        stages = list(self.seconds)
        done = stages[: stages.index(self.stage)]
        passed = time.monotonic() - self.start
        # What a stage has taken so far tells better than the estimate what it will take.
        done_here = self.share - self.first
        if done_here > 0.05 or (done_here > 0 and passed > BETWEEN_LINES / 2):
            self.seconds[self.stage] = passed / done_here
        here = self.seconds[self.stage]
        total = max(sum(self.seconds.values()), 1e-9)
        before = sum(self.seconds[x] for x in done)
        left = total - before - here * self.share
        self.bar.n = min(1.0, (before + here * self.share) / total)
        minutes, seconds = divmod(round(max(left, 0)), 60)
        text = f"about {minutes}:{seconds:02d} left"
        if self.bar.disable and time.monotonic() - self.told >= BETWEEN_LINES:
            self.told = time.monotonic()
            self.note(f"{self.stage} {self.share:.0%}, {text}")
        self.bar.set_description_str(self.stage, refresh=False)
        self.bar.set_postfix_str(text, refresh=True)


class Tell(HookBase):
    """Tells a function the share of a training that is done, after each iteration."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        """
        Args:
            tell: is given a number in 0..1.
        """
        self.tell = tell

    def after_step(self) -> None:
        self.tell((self.trainer.iter + 1) / self.trainer.max_iter)
