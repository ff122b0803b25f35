"""The file of a review's decisions: each is on the disk before it counts as saved."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from comining.annotations.decisions import Decisions, parse_decisions
from comining.errors import InputError

logger = logging.getLogger(__name__)

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


class DecisionLog:
    """Decisions about one data set in a file that no other log has open. Threads may share it."""

    def __init__(self, path: Path, dataset: Mapping[str, Any]) -> None:
        """Read what is there, and cut off a last line that was written in part.

        Args:
            path: the file; made if it isn't there.
            dataset: in COCO format, ``numbered``.

        Raises:
            InputError: the file can't be written, another log has it open, or it holds decisions
                about something else.
        """
        self.path = path
        try:
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(f"{path} can't be written: {error.strerror}") from error
        self._lock = Lock()
        try:
            self._keep_from_others()
            self._decisions, self._length = self._read(dataset)
        except BaseException:
            self.close()
            raise

    def _keep_from_others(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{self.path} is being written by another review: go on there, or end it first"
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise

    def _read(self, dataset: Mapping[str, Any]) -> tuple[Decisions, int]:
        content = self.path.read_bytes()
        decisions, length = parse_decisions(content, dataset, str(self.path))
        if length < len(content):
            logger.warning(
                f"{self.path} ended in a decision that was written in part and never counted as "
                f"saved; it was cut off: {content[length:][:200]!r}"
            )
            self._file.truncate(length)
        elif content and not content.endswith(b"\n"):
            self._write(b"\n", length)
            length += 1
        return decisions, length

    def after(self, number: int) -> list[dict[str, Any]]:
        """All decisions but the first ``number``."""
        with self._lock:
            return self._decisions.records[number:]

    def count(self) -> int:
        """How many decisions there are that were not undone."""
        with self._lock:
            return sum(1 for _ in self._decisions.effective())

    def append(self, record: Any) -> None:
        """Save a decision; one that is known already is passed over.

        Raises:
            InputError: it is no decision about the data set.
            OSError: it can't be written, and is not in the file.
        """
        with self._lock:
            if not self._decisions.add(record):
                return
            line = f"{json.dumps(record, separators=(',', ':'))}\n".encode()
            try:
                self._write(line, self._length)
            except OSError:
                self._decisions.forget_last()
                raise
            self._length += len(line)

    def _write(self, content: bytes, length: int) -> None:
        """Append to the file, which has ``length`` bytes, all or nothing."""
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._file.fileno(), view) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(length)
            raise

    def close(self) -> None:
        self._file.close()
