"""Writing the annotations that a review leaves, in the format of the input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from comining.annotations.accepted import apply_decisions
from comining.annotations.coco_file import read_json
from comining.annotations.decisions import Decisions, read_decisions
from comining.annotations.formats import (
    Source,
    check_beside,
    read_annotations,
    write_annotations,
)
from comining.annotations.sparse import encode
from comining.counted import counted
from comining.errors import InputError
from comining.output_file import check_output, write_atomically

from .accepted_folder import check_file, check_folder, replace
from .hints import of_accepted
from .proposals import read_proposals, read_reviewed, with_proposals
from .recognised import recognised
from .review_files import ReviewFiles


class Accepted(NamedTuple):
    """What a review left.

    Attributes:
        path: the file or folder that was written.
        counts: how many boxes became what.
        number: of the boxes in the result.
        hints: what its user must know.
    """

    path: Path
    counts: dict[str, int]
    number: int
    hints: list[str]


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
        output: the file or folder to write, if it isn't the review's own.
        keep_unreviewed: as `apply_decisions` takes it.

    Raises:
        InputError: there are no decisions, but for boxes that are all kept, they are not about
            this data set, or a file can't be read or written.
    """
    dataset = read_reviewed(review, review.images)
    proposals = read_proposals(review.proposals)
    everything = with_proposals(dataset, proposals)
    path, made = decisions or review.decisions, Decisions(everything)
    if path.is_file():
        made = read_decisions(path, everything)
    elif decisions is not None:
        raise InputError(f"--decisions {decisions} is not there: name the file that a page saved")
    elif not keep_unreviewed:
        raise InputError(
            f"there are no decisions in {path}: make them with `comining review` first, name the "
            "file that its page saved with --decisions, or keep all that was mined with "
            "--unreviewed keep"
        )
    ever = list(_ever(made, everything))
    dataset = with_proposals(dataset, proposals, made.outcomes())
    result = apply_decisions(dataset, made, keep_unreviewed=keep_unreviewed)
    accepted = write_accepted(review, result, output, result["info"]["reviewed"], ever)
    return accepted._replace(hints=[*accepted.hints, *_of_unused(review, made, everything)])


def _ever(made: Decisions, dataset: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All that decisions ever made of boxes, whatever became of it: some file may have it."""
    states: defaultdict[int | str, list[Mapping[str, Any]]] = defaultdict(list)
    for x in made.records:
        if "id" in x:
            states[x["id"]].append(x)
    for x in dataset["annotations"]:
        if x["id"] in states:
            states[x["id"]].append(x)
    for of_box in states.values():
        boxes = [x["bbox"] for x in of_box if "bbox" in x]
        categories = {x["category_id"] for x in of_box if "category_id" in x}
        for bbox, category_id in product(boxes, categories):
            image_id = of_box[0]["image_id"]
            yield {"image_id": image_id, "category_id": category_id, "bbox": bbox}


def _of_unused(review: ReviewFiles, made: Decisions, dataset: dict[str, Any]) -> Iterator[str]:
    """That the review has other decisions than those that were named."""
    with suppress(InputError):  # what isn't used may be damaged
        if review.decisions.is_file():
            own = {x["key"] for x in read_decisions(review.decisions, dataset).records}
            if number := len(own - {x["key"] for x in made.records}):
                text = f"decisions are in {review.decisions} alone, not in the named file: left out"
                yield counted(number, text)


def write_accepted(
    review: ReviewFiles,
    dataset: dict[str, Any],
    output: Path | None,
    counts: dict[str, int],
    ever: Iterable[dict[str, Any]] = (),
) -> Accepted:
    """Write a reviewed data set.

    That of a folder is written in the format of the input and, unless ``output`` names a place, in
    COCO format beside it; that of a file, in COCO format.

    Args:
        review: what was reviewed.
        dataset: what that left.
        output: the file or folder to write, if it isn't the review's own.
        counts: how many boxes became what.
        ever: boxes of former results, as far as the last one doesn't tell.

    Raises:
        InputError: it can't be written, or would replace what was reviewed.
    """
    number = len(dataset["annotations"])
    coco = review.accepted.with_name(f"{review.accepted.name}.json")
    if review.source is not None:
        path, hints = _write_like_source(review, review.source, dataset, output, coco, ever)
        return Accepted(path, counts, number, hints)
    path = output or coco
    check_output(path, review.completed, review.decisions)
    write_atomically(path, lambda file: file.writelines(encode(dataset)))
    return Accepted(path, counts, number, [])


def _write_like_source(
    review: ReviewFiles,
    source: dict[str, Any],
    dataset: dict[str, Any],
    output: Path | None,
    coco: Path,
    ever: Iterable[dict[str, Any]],
) -> tuple[Path, list[str]]:
    """Where it was written, and what its user must know."""
    read = _read_again(review, source)
    path = output or review.accepted.with_name(f"{review.accepted.name}{read.document.suffix}")
    has_coco = output is None and read.format != "coco"
    _check_place(review, read, path, coco)
    if has_coco:
        check_file(coco, review.written)
    former = list(_former(dataset, coco))
    others = [*read_proposals(review.proposals), *former, *ever]
    was_accepted = coco.is_file()
    edited, gone = recognised(read, dataset, _annotated(review), others)
    try:
        with TemporaryDirectory(prefix=".accepted-", dir=path.resolve().parent) as folder:
            written = write_annotations(read, edited, Path(folder))
            replace(written, path, review.written)
            if has_coco:
                written = Path(folder) / coco.name
                written.write_bytes(b"".join(encode(dataset)))
                replace(written, coco, review.written)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}") from error
    back = gone & {x.get("id") for x in former} if was_accepted else gone
    hints = []
    if back:
        text = "boxes were deleted since the completion: reject them in the review, too"
        hints.append(counted(len(back), text))
    if read.format == "coco":
        return path, hints
    return path, hints + of_accepted(read, dataset, coco=coco, is_coco_written=has_coco)


def _read_again(review: ReviewFiles, source: dict[str, Any]) -> Source:
    """The annotations that were completed, as they are now."""
    path = Path(source["annotations"])
    if not path.exists():
        raise InputError(
            f"{path}, in whose form the result is written, isn't there any more: put it back, or "
            "give `comining complete` again with its new place and the same --output"
        )
    return read_annotations(path, review.images, listed_only=bool(source.get("listed_only")))


def _annotated(review: ReviewFiles) -> list[dict[str, Any]]:
    file = review.annotations
    return read_json(file)["annotations"] if file is not None and file.is_file() else []


def _former(dataset: dict[str, Any], accepted: Path) -> Iterator[dict[str, Any]]:
    """What was accepted before, in the images of a data set."""
    if not accepted.is_file():
        return
    former = read_json(accepted)
    ids = {x["file_name"]: x["id"] for x in dataset["images"]}
    images = {x["id"]: ids.get(x["file_name"]) for x in former["images"]}
    for x in former["annotations"]:
        if images.get(x["image_id"]) is not None:
            yield {**x, "image_id": images[x["image_id"]]}


def _check_place(review: ReviewFiles, read: Source, path: Path, coco: Path) -> None:
    suffix = read.document.suffix
    check_beside(read, path)
    if path.suffix.lower() == ".json" and not suffix.endswith(".json"):
        what = f"a {suffix} file" if suffix else "a folder"
        raise InputError(
            f"--output {path} would be {what}, as {read.path} is: name one, or leave --output out, "
            f"and a COCO file is written, too, as {coco}"
        )
    if suffix:
        if not path.suffix:
            raise InputError(f"--output {path} has no ending: name a file such as {path}{suffix}")
        check_output(path, review.completed, review.decisions, read.path)
        check_file(path, review.written)
    else:
        check_folder(path, review.written)
