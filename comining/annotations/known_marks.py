"""Adding to an annotation file what is known of its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from comining.errors import InputError
from comining.output_file import check_output, write_atomically

from .coco_file import read_repaired
from .formats.table import Table
from .known import ABSENT, ALL, EXHAUSTIVE, check_known, known_of
from .report import NUM_NAMED, Report
from .sparse import encode

COLUMNS = ("image", "exhaustive", "absent")


class Mark(NamedTuple):
    """What is known of an image.

    Attributes:
        image_id: of the image.
        exhaustive: ids of categories of which all objects are annotated.
        absent: ids of categories that were looked for and aren't there.
    """

    image_id: int
    exhaustive: frozenset[int]
    absent: frozenset[int]


def marks_of_images(
    dataset: Mapping[str, Any], exhaustive: str, absent: str, images_glob: str = "*"
) -> list[Mark]:
    """The same mark for each image whose ``file_name`` a pattern matches.

    Args:
        dataset: in COCO format.
        exhaustive, absent: names of categories with commas between them, "all", or nothing.
        images_glob: a pattern with ``*``, which stands for slashes, too, ``?`` and ``[...]``.

    Raises:
        InputError: there is no such category or image.
    """
    lists = [_category_ids(dataset, names) for names in (exhaustive, absent)]
    ids = [x["id"] for x in dataset["images"] if fnmatchcase(x["file_name"], images_glob)]
    if not ids:
        some = ", ".join(x["file_name"] for x in dataset["images"][:NUM_NAMED])
        raise InputError(f"no image matches {images_glob!r}; images are named like {some}")
    return [Mark(id_, *lists) for id_ in ids]


def marks_of_table(dataset: Mapping[str, Any], csv_file: Path) -> list[Mark]:
    """The marks of a CSV file.

    Args:
        dataset: in COCO format.
        csv_file: with the columns ``image``, a ``file_name`` or an id, and ``exhaustive`` and
            ``absent``, as for `marks_of_images`, of which one may be missing.

    Raises:
        InputError: it can't be read, or names what the data set lacks.
    """
    table = Table(csv_file)
    if "image" not in table.columns or not {"exhaustive", "absent"} & set(table.columns):
        raise InputError(
            f"{csv_file} has the columns {', '.join(table.columns)}; it needs image, and "
            "exhaustive or absent or both"
        )
    ids = {str(x["id"]): x["id"] for x in dataset["images"]}
    ids |= {x["file_name"]: x["id"] for x in dataset["images"]}
    marks = []
    for line, row in zip(table.lines, table.rows, strict=True):
        if row["image"] not in ids:
            raise InputError(
                f"{csv_file}: line {line} names the image {row['image']!r}, which the annotations "
                "don't list: give its file_name as they have it, or its id"
            )
        try:
            lists = [_category_ids(dataset, row.get(column, "")) for column in COLUMNS[1:]]
        except InputError as error:
            raise InputError(f"{csv_file}: line {line}: {error}") from error
        marks.append(Mark(ids[row["image"]], *lists))
    return marks


def with_marks(dataset: Mapping[str, Any], marks: Iterable[Mark]) -> dict[str, Any]:
    """The data set with marks added to what it says of its images already.

    Args:
        dataset: as `read_repaired` returns it, without errors; it isn't changed.
        marks: of its images.

    Raises:
        InputError: the result would contradict itself.
    """
    known = known_of(dataset)
    exhaustive, absent = dict(known.exhaustive), dict(known.absent)
    marked = set()
    for mark in marks:
        marked.add(mark.image_id)
        exhaustive[mark.image_id] |= mark.exhaustive
        absent[mark.image_id] |= mark.absent
    images = []
    for image in dataset["images"]:
        if image["id"] in marked:
            lists = {EXHAUSTIVE: exhaustive[image["id"]], ABSENT: absent[image["id"]]}
            image = {**image, **{field: sorted(ids) for field, ids in lists.items() if ids}}
        images.append(image)
    result = {**dataset, "images": images}
    report = Report("the result")
    check_known(result, report)
    if report.is_fatal:
        raise InputError("\n  ".join(["nothing was written:", *map(str, report.findings)]))
    return result


def annotate_known(
    annotations: Path,
    output: Path,
    *,
    exhaustive: str = "",
    absent: str = "",
    images_glob: str = "*",
    csv_file: Path | None = None,
) -> dict[str, int]:
    """Write an annotation file with what is known of its images added.

    Args:
        annotations: in COCO format.
        output: the file to write, in an existing folder.
        exhaustive, absent, images_glob: of `marks_of_images`.
        csv_file: of `marks_of_table`, in place of these.

    Returns:
        By what it is, how much the output knows, as `Report.known` has it.

    Raises:
        InputError: something can't be used, the result would contradict itself, or it can't be
            written.
    """
    check_output(output, annotations, *([csv_file] if csv_file else []))
    dataset, report = read_repaired(annotations)
    if report.is_fatal:
        raise InputError(f"correct the annotations first. {report}")
    if csv_file is not None:
        marks = marks_of_table(dataset, csv_file)
    else:
        marks = marks_of_images(dataset, exhaustive, absent, images_glob)
    result = with_marks(dataset, marks)
    write_atomically(output, lambda file: file.writelines(encode(result)))
    written = Report(str(output))
    check_known(result, written)
    return written.known


def _category_ids(dataset: Mapping[str, Any], names: str) -> frozenset[int]:
    ids = {x["name"]: x["id"] for x in dataset["categories"]}
    names = names.strip()
    wanted: Sequence[str] = [x.strip() for x in names.split(",") if x.strip()]
    if names in ids:  # which may hold commas, or be "all"
        wanted = [names]
    elif names == ALL:
        wanted = list(ids)
    unknown = [x for x in wanted if x not in ids]
    if unknown:
        raise InputError(
            f"no category is called {', '.join(unknown)}; there are {', '.join(ids)}, and {ALL!r}"
        )
    return frozenset(ids[x] for x in wanted)
