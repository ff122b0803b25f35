"""Writing the annotations that a review leaves, in the format of the input."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from comining.annotations.accepted import apply_decisions
from comining.annotations.decisions import Decisions, read_decisions
from comining.annotations.formats import check_beside, read_annotations, write_annotations
from comining.annotations.sparse import encode
from comining.errors import InputError
from comining.output_file import check_output, write_atomically

from .accepted_folder import check_file, check_folder, replace
from .gallery_data import read_completed
from .proposals import read_proposals, with_proposals
from .review_files import ReviewFiles


class Accepted(NamedTuple):
    """What a review left.

    Attributes:
        path: the file or folder that was written.
        counts: how many boxes became what.
        number: of the boxes in the result.
    """

    path: Path
    counts: dict[str, int]
    number: int


def accept(
    review: ReviewFiles,
    decisions: Path | None = None,
    output: Path | None = None,
    *,
    keep_unreviewed: bool = False,
) -> Accepted:
    """Write the annotations of a completed data set with the decisions of its review applied.

    Args:
        review: what was reviewed.
        decisions: their file, if it isn't the review's own.
        output: the file to write, if it isn't the review's own.
        keep_unreviewed: as `apply_decisions` takes it.

    Raises:
        InputError: there are no decisions, but for boxes that are all kept, they are not about
            this data set, or a file can't be read or written.
    """
    dataset = read_completed(review.completed, review.images)
    proposals = read_proposals(review.proposals)
    path, made = decisions or review.decisions, Decisions(with_proposals(dataset, proposals))
    if path.is_file():
        made = read_decisions(path, with_proposals(dataset, proposals))
    elif decisions is not None or not keep_unreviewed:
        raise InputError(
            f"there are no decisions in {path}: make them with `comining review` first, name the "
            "file that its page saved with --decisions, or keep all that was mined with "
            "--unreviewed keep"
        )
    dataset = with_proposals(dataset, proposals, made.outcomes())
    result = apply_decisions(dataset, made, keep_unreviewed=keep_unreviewed)
    path = write_accepted(review, result, output)
    return Accepted(path, result["info"]["reviewed"], len(result["annotations"]))


def write_accepted(review: ReviewFiles, dataset: dict[str, Any], output: Path | None) -> Path:
    """Write a reviewed data set: in the input's format for a folder, else in COCO format.

    Raises:
        InputError: it can't be written, or would replace what was reviewed.
    """
    if review.source is not None:
        return _write_like_source(review, review.source, dataset, output)
    path = output or review.accepted.with_name(f"{review.accepted.name}.json")
    check_output(path, review.completed, review.decisions)
    write_atomically(path, lambda file: file.writelines(encode(dataset)))
    return path


def _write_like_source(
    review: ReviewFiles, source: dict[str, Any], dataset: dict[str, Any], output: Path | None
) -> Path:
    read = read_annotations(
        source["annotations"], review.images, listed_only=bool(source.get("listed_only"))
    )
    suffix = read.document.suffix
    path = output or review.accepted.with_name(f"{review.accepted.name}{suffix}")
    check_beside(read, path)
    if path.suffix.lower() == ".json" and not suffix:
        raise InputError(
            f"--output {path} would be a folder, as {read.path} is: name one, of which `comining "
            "convert` makes a COCO file"
        )
    if suffix:
        check_output(path, review.completed, review.decisions, read.path)
        check_file(path, review.written)
    else:
        check_folder(path, review.written)
    try:
        with TemporaryDirectory(prefix=".accepted-", dir=path.resolve().parent) as folder:
            written = write_annotations(read, dataset, Path(folder))
            replace(written, path, review.written)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}") from error
    return path
