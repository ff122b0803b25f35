"""Sparse annotations: which annotations of a fully annotated COCO data set a protocol keeps.

Every annotation draws one number, a hash of the seed and its id. A protocol puts annotations into
groups (images, categories) and keeps those with the smallest numbers of each group. So a choice
depends on neither the order of the annotations nor what other groups hold, and with one seed the
protocols are nested: what *extreme* keeps *hard* keeps too, and what *hard* keeps *easy* keeps.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import floor
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from comining.errors import InputError

from . import omissions, verified
from .completion import CHANGED
from .draws import draw
from .sparse_input import repair_dataset


class _Protocol(NamedTuple):
    group: Callable[[Mapping[str, Any]], Hashable]
    num_kept: Callable[[int, Fraction], int]  # (size of the group, share to drop in 0..1)


_PROTOCOLS = {
    "easy": _Protocol(itemgetter("image_id"), lambda n, share: max(n - 1, 1)),
    "hard": _Protocol(itemgetter("image_id"), lambda n, share: n - n // 2),
    "extreme": _Protocol(itemgetter("image_id"), lambda n, share: 1),
    "keep1": _Protocol(itemgetter("image_id", "category_id"), lambda n, share: 1),
    "miss": _Protocol(itemgetter("category_id"), lambda n, share: n - floor(n * share)),
}

PROTOCOLS = tuple(_PROTOCOLS)
"""The names of the uniform protocols; `sparsify` says what each keeps."""


def sparsify(
    annotations: Sequence[Mapping[str, Any]],
    protocol: str,
    *,
    seed: int,
    percent: float | None = None,
) -> list[bool]:
    """Choose the annotations that a protocol keeps.

    Per image, *easy* drops one annotation if there are at least two, *hard* drops half of them
    (rounded down), *extreme* keeps one, *keep1* keeps one per category (SIOD). *miss* drops
    `percent` per cent of each category's annotations in the whole data set (rounded down), so
    images may become empty. Crowd annotations are neither counted nor dropped.

    Args:
        annotations: COCO annotations with the integers `id` (unique), `image_id`, `category_id`
            and, where it isn't 0, `iscrowd`. Anything that plays the part of an image may stand
            behind `image_id`.
        protocol: one of `PROTOCOLS`.
        seed: any integer. The choice is a function of it, the ids and the protocol.
        percent: 0 to 100, for *miss* only, where None means 50.

    Returns:
        For each annotation, whether it is kept.

    Raises:
        InputError: an unknown protocol, or a percentage that is out of range or has no meaning.
    """
    share = _share(_checked_percent(protocol, percent))
    if protocol not in _PROTOCOLS:
        raise InputError(f"'{protocol}' looks at images, too: use `make_sparse`")
    group_of, num_kept = _PROTOCOLS[protocol]
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, annotation in enumerate(annotations):
        if not annotation.get("iscrowd"):
            groups[group_of(annotation)].append(index)
    kept = [True] * len(annotations)
    for members in groups.values():
        members.sort(key=lambda index: draw(seed, annotations[index]["id"]))
        for index in members[num_kept(len(members), share) :]:
            kept[index] = False
    return kept


def make_sparse(
    dataset: Mapping[str, Any],
    protocol: str,
    *,
    seed: int,
    percent: float | None = None,
    file_name: str,
    record_name: bool = False,
    image_root: Path | None = None,
    exhaustive_share: float = 0,
    sources: int | None = None,
    untouched: Collection[int] = (),
) -> dict[str, Any]:
    """Make the sparsely annotated version of a COCO data set.

    Every field is kept, repaired as `repair_dataset` says; images and annotations are sorted by id.
    What the input says to be known of its images (`comining.annotations.known`) is kept as far as
    it is still true. `info["sparse"]` records what was done, as `_record` says.

    Args:
        dataset: a COCO data set; it isn't changed.
        protocol: one of `PROTOCOLS`, `omissions.PROTOCOLS` or `verified.PROTOCOLS`.
        seed: any integer.
        percent: to drop, 0 to 100; not for *easy*, *hard*, *extreme*, *keep1* and *class-subsets*.
            None means 50.
        file_name: names the file that `dataset` was read from, without folders, in errors.
        record_name: whether `info` names it too, so that `withheld_annotations` finds it.
        image_root: folder of the images, for *hard-to-see* only.
        exhaustive_share: 0 to 1: of that share of the images (rounded down) nothing is dropped, and
            they say so. The protocol is applied to the others alone.
        sources: for *class-subsets* only, at least 2. None means `verified.SOURCES`.
        untouched: ids of images of which nothing is dropped either.

    Raises:
        InputError: as for `sparsify`, `repair_dataset`, `omissions.omit` and `verified.verify`, or
            the share is out of range.
    """
    percent = _checked_percent(protocol, percent)
    _check_options(protocol, image_root, exhaustive_share, sources)
    dataset = repair_dataset(dataset, file_name)
    complete = verified.complete_images(dataset, exhaustive_share, seed)
    part = _without_images(dataset, complete.union(untouched))
    omitted, parameters, looked_through = _choose(
        part, protocol, seed=seed, percent=percent, image_root=image_root, sources=sources
    )
    record = _record(
        {"protocol": protocol, "percent": percent, "seed": seed},
        input_sha256=content_hash(dataset),
        exhaustive_share=float(exhaustive_share) or None,
        parameters=parameters,
        input=file_name if record_name else None,
        input_sparse=(dataset.get("info") or {}).get("sparse"),
    )
    dataset = verified.marked(dataset, omitted, complete, looked_through)
    # What became of the original's boxes before is no news: it names the original, which has it.
    info = {k: v for k, v in (dataset.get("info") or {}).items() if k not in CHANGED}
    return {
        **dataset,
        "info": {**info, "sparse": record},
        "images": _sorted_by_id(dataset["images"]),
        "annotations": _sorted_by_id([x for x in dataset["annotations"] if x["id"] not in omitted]),
    }


def _choose(
    dataset: dict[str, Any],
    protocol: str,
    *,
    seed: int,
    percent: float | None,
    image_root: Path | None,
    sources: int | None,
) -> tuple[set[int], dict[str, Any] | None, verified.Verified | None]:
    """The ids to omit, what `info` records of it, and for what images were looked through."""
    annotations, share = dataset["annotations"], _share(percent)
    if protocol in omissions.PROTOCOLS:
        omitted, parameters = omissions.omit(
            dataset, protocol, seed=seed, share=share, image_root=image_root
        )
        return omitted, parameters, None
    if protocol in verified.PROTOCOLS:
        number = verified.SOURCES if sources is None else sources
        chosen = verified.verify(dataset, protocol, seed=seed, share=share, sources=number)
        return _not_looked_for(annotations, chosen), chosen.parameters, chosen
    kept = sparsify(annotations, protocol, seed=seed, percent=percent)
    pairs = zip(annotations, kept, strict=True)
    return {annotation["id"] for annotation, keep in pairs if not keep}, None, None


def _record(always: dict[str, Any], **if_known: Any) -> dict[str, Any]:
    """What ``info["sparse"]`` tells: `protocol`, `percent` (None where it has no meaning), `seed`.

    Further, of the full original, `input_sha256` (`content_hash`) and, if wanted, `input` (its
    file's name); the `exhaustive_share`; for omissions as people make them, `parameters`; and
    `input_sparse`, the input's own record where that is a sparse version itself.
    """
    return {**always, **{name: value for name, value in if_known.items() if value is not None}}


def _without_images(dataset: dict[str, Any], ids: Collection[int]) -> dict[str, Any]:
    return {
        **dataset,
        "images": [x for x in dataset["images"] if x["id"] not in ids],
        "annotations": [x for x in dataset["annotations"] if x["image_id"] not in ids],
    }


def _not_looked_for(
    annotations: Sequence[Mapping[str, Any]], looked_through: verified.Verified
) -> set[int]:
    """The ids of the annotations of other categories, crowds too."""
    return {
        x["id"]
        for x in annotations
        if x["category_id"] is not None
        and x["category_id"] not in looked_through.exhaustive[x["image_id"]]
    }


def _share(percent: float | None) -> Fraction:
    return Fraction(str(percent or 0)) / 100


def content_hash(dataset: Mapping[str, Any]) -> str:
    """Hash what a COCO data set says, whatever the order of its images and annotations.

    Returns:
        The hexadecimal SHA-256 of `encode` of the data set with images and annotations sorted by
        id. It isn't the hash of the file, which depends on order and white space.
    """
    content = {
        **dataset,
        "images": _sorted_by_id(dataset["images"]),
        "annotations": _sorted_by_id(dataset["annotations"]),
    }
    digest = hashlib.sha256()
    for piece in encode(content):
        digest.update(piece)
    return digest.hexdigest()


def encode(dataset: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield a data set as compact JSON, in pieces: the whole text may be too large for memory."""
    encoder = json.JSONEncoder(separators=(",", ":"))
    before = "{"
    for key, value in dataset.items():
        yield f"{before}{encoder.encode(key)}:".encode()
        before = ","
        if isinstance(value, list):
            yield b"["
            for start in range(0, len(value), 1000):
                records = encoder.encode(value[start : start + 1000])
                yield (("," if start else "") + records[1:-1]).encode()
            yield b"]"
        else:
            yield encoder.encode(value).encode()
    yield b"}"


def _check_options(
    protocol: str, image_root: Path | None, exhaustive_share: float, sources: int | None
) -> None:
    if image_root is not None and protocol != "hard-to-see":
        raise InputError(f"images have no meaning for '{protocol}', only for 'hard-to-see'")
    if sources is not None and protocol != "class-subsets":
        raise InputError(f"sources have no meaning for '{protocol}', only for 'class-subsets'")
    if not 0 <= exhaustive_share <= 1:
        raise InputError(f"the exhaustive share must be within 0 to 1, not {exhaustive_share}")


def _checked_percent(protocol: str, percent: float | None) -> float | None:
    """The percentage that a protocol uses; None where it has no meaning."""
    known = (*PROTOCOLS, *omissions.PROTOCOLS, *verified.PROTOCOLS)
    if protocol not in known:
        raise InputError(f"unknown protocol '{protocol}': choose one of {', '.join(known)}")
    with_percentage = ("miss", *omissions.PROTOCOLS, "federated")
    if protocol not in with_percentage:
        if percent is not None:
            raise InputError(
                f"a percentage has no meaning for '{protocol}', only for 'miss', 'federated' and "
                f"omissions as people make them ({', '.join(omissions.PROTOCOLS)})"
            )
        return None
    if percent is None:
        return 50.0
    if not 0 <= percent <= 100:
        raise InputError(f"the percentage to drop must be within 0 to 100, not {percent}")
    return float(percent)


def _sorted_by_id(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(records, key=itemgetter("id"))
