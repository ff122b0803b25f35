"""Keeping what libraries print away from the terminal."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from detectron2.engine import TrainerBase

from comining.errors import InputError

LOGGERS = ("comining", "detectron2", "fvcore", "py.warnings", "torch")
#: Of what torch says, warnings are enough.
LEVELS = {"torch": logging.WARNING}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@contextlib.contextmanager
def quiet_terminal(
    log: Path | None = None, tell: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Within, nothing is printed to standard output, and warnings are logged.

    Standard error is free for what concerns the user, and errors are raised.

    Args:
        log: a file that all that is logged is appended to, beside others.
        tell: is given what the package itself warns of.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(x.propagate, x.handlers[:], x.level) for x in loggers]
    handler = logging.FileHandler(log, encoding="utf-8") if log else logging.NullHandler()
    handler.setFormatter(_Plain("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    for logger in loggers:
        logger.handlers[:], logger.propagate = [handler], False
        logger.setLevel(LEVELS.get(logger.name, logging.INFO))
    if tell is not None:
        logging.getLogger("comining").addHandler(_Teller(tell))
    logging.captureWarnings(True)
    try:
        # detectron2's handler for the terminal takes standard output as it is by then.
        with contextlib.redirect_stdout(_Nothing()):
            yield
    finally:
        logging.captureWarnings(False)
        for logger, (propagate, handlers, level) in zip(loggers, before, strict=True):
            logger.propagate, logger.handlers[:] = propagate, handlers
            logger.setLevel(level)
        handler.close()


class _Plain(logging.Formatter):
    """Without the colours that detectron2 gives a config."""

    def format(self, record: logging.LogRecord) -> str:
        return COLOUR.sub("", super().format(record))


class _Teller(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:  # errors end the command, which tells them
            self.tell(f"warning: {record.getMessage()}")


class _Nothing:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


@contextlib.contextmanager
def without_traceback() -> Iterator[None]:
    """What a user can mend, detectron2 logs by its message alone."""
    log = logging.getLogger(TrainerBase.__module__)

    def shorten(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (InputError, FloatingPointError)):
            record.msg, record.args, record.exc_info = f"{record.msg} {error}", None, None
        return True

    log.addFilter(shorten)
    try:
        yield
    finally:
        log.removeFilter(shorten)
