"""Keeping what libraries print away from the terminal, and all of it in a file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

LOGGERS = ("comining", "detectron2", "fvcore", "py.warnings")


@contextlib.contextmanager
def quiet_log(path: Path) -> Iterator[None]:
    """Within, what is logged, printed or warned of goes to the end of a file instead.

    Errors are still raised, and standard error is free for what concerns the user.
    """
    with path.open("a", buffering=1, encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
        loggers = [logging.getLogger(name) for name in LOGGERS]
        before = [(logger.propagate, logger.handlers[:], logger.level) for logger in loggers]
        for logger in loggers:
            logger.handlers[:], logger.propagate = [handler], False
            logger.setLevel(logging.INFO)
        logging.captureWarnings(True)
        try:
            # detectron2's own handler for the terminal takes standard output as it is now.
            with contextlib.redirect_stdout(_Discarded()):
                yield
        finally:
            logging.captureWarnings(False)
            for logger, (propagate, handlers, level) in zip(loggers, before, strict=True):
                logger.propagate, logger.handlers[:] = propagate, handlers
                logger.setLevel(level)


class _Discarded:
    """What is logged to it stands in the file already."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass
