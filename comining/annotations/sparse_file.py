"""Thinning out an annotation file."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from comining.output_file import check_output, write_atomically

from .coco_file import read_json
from .sparse import encode, make_sparse
from .sparse_input import repair_dataset


class CategoryCounts(NamedTuple):
    """Annotations of a category, without crowds: how many there were and how many are left."""

    name: str
    annotated: int
    kept: int


class SparseFile(NamedTuple):
    """How many annotations there were and how many are left, crowds counted apart.

    Attributes:
        categories: in the order of their ids.
        crowds: those that are kept.
        images: their number.
        images_without: those without annotations other than crowds, before and after.
    """

    categories: list[CategoryCounts]
    crowds: int
    images: int
    images_without: tuple[int, int]

    def table(self) -> str:
        """Per category and in all."""
        annotated = sum(x.annotated for x in self.categories)
        kept = sum(x.kept for x in self.categories)
        rows = [*self.categories, ("all", annotated, kept)]
        width = max(len("category"), *(len(name) for name, _, _ in rows))
        lines = [f"{'category':{width}}  annotations       kept  per cent"]
        for name, number, left in rows:
            share = f"{100 * left / number:8.1f}" if number else f"{'-':>8}"
            lines.append(f"{name:{width}}  {number:11d}  {left:9d}  {share}")
        before, after = self.images_without
        lines.append(f"crowd annotations kept: {self.crowds}")
        lines.append(
            f"images without annotations other than crowds: {after} of {self.images} "
            f"({before} before)"
        )
        return "\n".join(lines)


def make_sparse_file(
    annotations: Path,
    output: Path,
    protocol: str,
    *,
    seed: int,
    percent: float | None = None,
    images: Path | None = None,
    record_name: bool = False,
    exhaustive_share: float = 0,
    sources: int | None = None,
) -> SparseFile:
    """Write a sparsely annotated version of a COCO file.

    Args:
        annotations: a fully annotated COCO file.
        output: the file to write, in an existing folder.
        protocol, seed, percent: of `make_sparse`.
        images: folder of the images, for "hard-to-see": contrast counts, too.
        record_name: let the output name the input file, so that what was withheld can be shown.
        exhaustive_share, sources: of `make_sparse`.

    Raises:
        InputError: something can't be used, or the output not be written.
    """
    if annotations.exists():  # else that is what is told
        check_output(output, annotations)
    with _no_garbage_collection():
        full = repair_dataset(read_json(annotations), annotations.name)
        sparse = make_sparse(
            full,
            protocol,
            seed=seed,
            percent=percent,
            file_name=annotations.name,
            record_name=record_name,
            image_root=images,
            exhaustive_share=exhaustive_share,
            sources=sources,
        )
        write_atomically(output, lambda file: file.writelines(encode(sparse)))
        return _count(full, sparse)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """It would look through millions of records, again and again, for no gain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _count(full: Mapping[str, Any], sparse: Mapping[str, Any]) -> SparseFile:
    before, after = (
        [x for x in dataset["annotations"] if not x.get("iscrowd")] for dataset in (full, sparse)
    )
    by_category = [Counter(x["category_id"] for x in objects) for objects in (before, after)]
    without = [len(full["images"]) - len({x["image_id"] for x in y}) for y in (before, after)]
    return SparseFile(
        [
            CategoryCounts(x["name"], *(counts[x["id"]] for counts in by_category))
            for x in sorted(full["categories"], key=lambda category: category["id"])
        ],
        len(sparse["annotations"]) - len(after),
        len(full["images"]),
        (without[0], without[1]),
    )
