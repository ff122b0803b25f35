"""Processes that wait for one another for as long as the slowest one is seen to work."""

from __future__ import annotations

import datetime
import time

from torch import distributed

#: How long a process waits for others of which there is no sign, as in detectron2.
TIMEOUT = datetime.timedelta(minutes=30)
#: Seconds between two looks at the others.
INTERVAL = 0.2


class MeetingPlace:
    """Where the processes of a run tell how far they are.

    A collective operation, as which a process otherwise waits, fails after `TIMEOUT` even if the
    others are busy.
    """

    def __init__(self, store: distributed.Store, world_size: int) -> None:
        """
        Args:
            store: that all processes share.
            world_size: their number.
        """
        self._store = distributed.PrefixStore("waiting", store)
        self._world_size = world_size
        self._meetings = 0

    def report_progress(self) -> None:
        """Let those that wait go on doing so."""
        self._store.add("progress", 1)

    def wait_for_all(self) -> None:
        """Return when all processes have called this as often as this one.

        Raises:
            TimeoutError: of the missing ones none has reported progress for `TIMEOUT`.
        """
        self._meetings += 1
        meeting = f"meeting {self._meetings}"
        arrived = self._store.add(meeting, 1)
        seen, since = self._store.add("progress", 0), time.monotonic()
        while arrived < self._world_size:
            time.sleep(INTERVAL)
            arrived, progress = self._store.add(meeting, 0), self._store.add("progress", 0)
            if progress != seen:
                seen, since = progress, time.monotonic()
            elif time.monotonic() - since > TIMEOUT.total_seconds():
                raise TimeoutError(
                    f"{self._world_size - arrived} of {self._world_size} processes have shown no "
                    f"sign of life for {TIMEOUT}: see what they logged last, and start again"
                )


_place: MeetingPlace | None = None


def meet_at(store: distributed.Store | None, world_size: int = 1) -> None:
    """Say where `report_progress` and `wait_for_all` take effect; nowhere without a store."""
    global _place
    _place = MeetingPlace(store, world_size) if store is not None else None


def report_progress() -> None:
    """`MeetingPlace.report_progress` in a run of several processes."""
    if _place is not None:
        _place.report_progress()


def wait_for_all() -> None:
    """`MeetingPlace.wait_for_all` in a run of several processes."""
    if _place is not None:
        _place.wait_for_all()
