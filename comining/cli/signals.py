"""Ending a program in good order, however it is asked to end."""

from __future__ import annotations

import signal
from typing import Any, NoReturn


def end_as_if_interrupted() -> None:
    """Let SIGTERM and SIGHUP, unless they are ignored, raise KeyboardInterrupt as Ctrl-C does.

    A batch system's time limit sends the first, a closed terminal the second.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt
