"""The review of a completed data set: as a served page, or as one file."""

from __future__ import annotations

import logging
import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from comining.annotations.decisions import read_decisions
from comining.output_file import check_output

from .gallery import write_gallery
from .gallery_data import gallery_data
from .proposals import read_proposals, read_reviewed, with_proposals
from .review_files import ReviewFiles

logger = logging.getLogger(__name__)

#: From so many images on, the page's writer suggests to link them.
MANY_IMAGES = 2_000
#: The longest edge of a picture of a page that nobody asked for, in pixels.
THUMBNAIL = 256


class Shown(NamedTuple):
    """What the page shows beside the completed data set.

    Attributes:
        full: the full original of sparse annotations, or None.
        sample: how many proposals to draw and judge; None for all, as they come.
        seed: of the sample.
    """

    full: Path | None = None
    sample: int | None = None
    seed: int = 0


def serve(
    review: ReviewFiles, shown: Shown, port: int, say: Callable[[str], Any], open_browser: bool
) -> int:
    """Serve the page until interrupted.

    Args:
        review: what is reviewed.
        shown: what the page shows.
        port: 0 for any that is free.
        say: is told the page's address.
        open_browser: whether to open it.

    Returns:
        How many decisions are saved and not undone.

    Raises:
        InputError: a file can't be used, or the port is taken.
    """
    from .decision_log import DecisionLog
    from .server import ReviewServer, Running

    dataset = read_reviewed(review, review.images)
    proposals = read_proposals(review.proposals)
    log = DecisionLog(review.decisions, with_proposals(dataset, proposals))
    try:
        decided = {x["id"] for x in log.after(0) if "id" in x}
        data = _page_data(dataset, proposals, review, shown, decided)
        running = Running(ReviewServer(review.title, data, review.images, log), port)
        say(running.url)
        if open_browser and _has_display():
            threading.Thread(target=webbrowser.open, args=[running.url], daemon=True).start()
        with suppress(KeyboardInterrupt):  # that is how a review ends
            running.run()
        return log.count()
    finally:
        log.close()


def write_page(review: ReviewFiles, shown: Shown, output: Path, thumbnail_size: int | None) -> None:
    """Write the page as a file that keeps decisions in the browser.

    Args:
        review: what is reviewed.
        shown: what the page shows.
        output: the page.
        thumbnail_size: longest edge in pixels; None for images that are linked only.

    Raises:
        InputError: a file can't be used or written.
    """
    check_output(output, review.completed, *([shown.full] if shown.full else []))
    dataset = read_reviewed(review, review.images)
    proposals = read_proposals(review.proposals)
    made: list[dict[str, Any]] = []
    if review.decisions.is_file():
        made = read_decisions(review.decisions, with_proposals(dataset, proposals)).records
    data = _page_data(dataset, proposals, review, shown, {x["id"] for x in made if "id" in x})
    data["decisions"] = made
    if thumbnail_size is not None and len(data["images"]) >= MANY_IMAGES:
        logger.warning(
            f"{len(data['images']):,} thumbnails make a large page: --link-images makes a small "
            "one, which shows the images where they are"
        )
    write_gallery(output, review.title, data, review.images, thumbnail_size)


def write_small_page(review: ReviewFiles, output: Path, num_images: int) -> None:
    """As `write_page`, with small thumbnails or, of many images, none."""
    size = THUMBNAIL if num_images < MANY_IMAGES else None
    write_page(review, Shown(), output, size)


def _page_data(
    dataset: dict[str, Any],
    proposals: Sequence[dict[str, Any]],
    review: ReviewFiles,
    shown: Shown,
    decided: Collection[int | str],
) -> dict[str, Any]:
    """For a sample, all that may be added is shown, else what was and what is ``decided``."""
    wanted = decided if shown.sample is None else None
    number = len(dataset["annotations"])
    dataset = with_proposals(dataset, proposals, wanted)
    data = gallery_data(dataset, review.completed, shown.full)
    if shown.sample is None:
        return data
    from .sample import note_sample, with_sample

    not_added = len(dataset["annotations"]) - number
    data = with_sample(data, shown.sample, shown.seed, not_added)
    if proposals:
        note_sample(review.sample, data["sample"]["ids"])
    return data


def _has_display() -> bool:
    """Whether a browser would have a window, not the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
