"""Where a review finds what it is about and where its decisions go."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comining.annotations.coco_file import read_json
from comining.errors import InputError


@dataclass(frozen=True)
class ReviewFiles:
    """The files of a review.

    Attributes:
        completed: annotations in COCO format, some of them mined.
        images: folder of the images.
        decisions: one JSON object a line; perhaps not there yet.
        accepted: where the accepted annotations go, without a suffix.
        source: what ``source.json`` of a folder holds; None for a file of its own.
    """

    completed: Path
    images: Path
    decisions: Path
    accepted: Path
    source: dict[str, Any] | None = None

    @property
    def annotations(self) -> Path | None:
        """What was completed, in COCO format; None for a file of its own."""
        return None if self.source is None else self.completed.with_name("annotations.json")

    @property
    def proposals(self) -> Path | None:
        """All that might have been added, perhaps not there; None for a file of its own."""
        return None if self.source is None else self.completed.with_name("proposals.json")

    @property
    def sample(self) -> Path:
        """The ids of proposals that were drawn by chance; perhaps not there."""
        return self.completed.with_name("sample.json")

    @property
    def written(self) -> Path:
        """Which files `comining accept` has written into which folders; perhaps not there."""
        return self.completed.with_name("accepted_files.json")

    @property
    def title(self) -> str:
        return self.completed.name if self.source is None else self.completed.parent.name


def find_review(target: Path, images: Path | None) -> ReviewFiles:
    """The files of the review of ``target``.

    Args:
        target: a folder that ``comining complete`` wrote, or a file in COCO format.
        images: folder of the images; None for the one that the folder's ``source.json`` names.

    Raises:
        InputError: something is missing.
    """
    if target.is_dir():
        review = _of_folder(target, images)
    elif images is None:
        if (target.parent / "source.json").exists():
            raise InputError(
                f"{target} lies in the folder of a completion: name that, {target.parent}"
            )
        raise InputError(f"to review the file {target}, name the folder of its images: --images")
    else:
        bare = target.with_suffix("")
        review = ReviewFiles(
            target,
            images,
            bare.with_name(f"{bare.name}.decisions.jsonl"),
            bare.with_name(f"{bare.name}.accepted"),
        )
    if not review.completed.is_file():
        if review.source is not None:
            raise unfinished(target, review.source)
        raise InputError(f"{review.completed} is not there: review what `comining complete` wrote")
    if not review.images.is_dir():
        raise InputError(
            f"the folder of images {review.images} is not there: name it with --images"
        )
    return review


def read_source(folder: Path) -> dict[str, Any]:
    """What ``source.json`` of a completion's folder holds.

    Raises:
        InputError: it is no such folder.
    """
    if not (folder / "source.json").exists():
        raise InputError(
            f"{folder} is not what `comining complete` wrote: it has no source.json. Name the "
            "folder that was its --output"
        )
    source = read_json(folder / "source.json")
    if not isinstance(source, dict) or not isinstance(source.get("images"), str):
        raise InputError(f"{folder / 'source.json'} must be an object that names the 'images'")
    return source


def unfinished(folder: Path, source: dict[str, Any]) -> InputError:
    """What tells that a completion hasn't ended, and how it goes on."""
    words = ["comining", "complete", source["images"], source.get("annotations", "ANNOTATIONS")]
    words += ["--output", str(folder), *(["--listed-only"] if source.get("listed_only") else [])]
    return InputError(
        f"the completion in {folder} hasn't finished: wait, if it is running, or give its command "
        f"again, which goes on where it stopped: {shlex.join(words)} (and the other options that "
        "it had)"
    )


def _of_folder(folder: Path, images: Path | None) -> ReviewFiles:
    source = read_source(folder)
    return ReviewFiles(
        folder / "completed.json",
        Path(source["images"]) if images is None else images,
        folder / "decisions.jsonl",
        folder / "accepted",
        source,
    )
