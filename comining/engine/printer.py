"""The console line of a training."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from detectron2.utils.events import CommonMetricPrinter, get_event_storage

#: Of the original view and of the second one.
MINED = ("comining/mined_per_image", "comining/mined_per_image_aug")


class MinedLabelsPrinter(CommonMetricPrinter):
    """detectron2's, with the mined labels per image of both branches at the end of its line.

    They are smoothed as in ``metrics.json``. The line of a model that logs none stays as it is.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """
        Args:
            args, kwargs: of ``CommonMetricPrinter``.
        """
        super().__init__(*args, **kwargs)
        self.logger = _WithMinedLabels(logging.getLogger(CommonMetricPrinter.__module__), {})


# Subscriptable only from Python 3.11 on.
class _WithMinedLabels(logging.LoggerAdapter):  # type: ignore[type-arg]
    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[str, MutableMapping[str, Any]]:
        latest = get_event_storage().latest_with_smoothing_hint()
        mined = [
            f"{name.removeprefix('comining/')}: {latest[name][0]:.4g}"
            for name in MINED
            if name in latest
        ]
        return "  ".join([str(msg).rstrip(), *mined]), kwargs
