"""Sparse data sets that say what is known of their images, made from full ones.

*federated* is what LVIS does: each image was looked through for a few categories. *class-subsets*
is several data sets put together, each of which has categories of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

from comining.counted import counted
from comining.errors import InputError

from .draws import draw
from .known import ABSENT, EXHAUSTIVE, LISTS, NOT_EXHAUSTIVE, known_of

PROTOCOLS = ("federated", "class-subsets")
"""The names of the protocols; `verify` says what each keeps."""

SOURCES = 2
"""Of *class-subsets*: how many data sets are put together, unless told otherwise."""


class Verified(NamedTuple):
    """For which categories each image was looked through.

    Attributes:
        exhaustive: by image id, the ids of the categories of which all annotations are kept.
        absent: by image id, the ids of the categories that are said to be absent.
        parameters: of the protocol, as JSON values.
    """

    exhaustive: dict[int, set[int]]
    absent: dict[int, set[int]]
    parameters: dict[str, Any]


def verify(
    dataset: Mapping[str, Any],
    protocol: str,
    *,
    seed: int,
    share: Fraction = Fraction(1, 2),
    sources: int = SOURCES,
) -> Verified:
    """Choose the categories for which images were looked through. What is of others is dropped.

    - *federated*: of the categories that an image shows, `share` (rounded down) are dropped. Of
      those that it doesn't show as many as are kept, but at least one, are verified as absent.
    - *class-subsets*: the categories are dealt out to `sources` at random, and so are the images.
      An image has all objects of its source's categories, and of others none.

    Args:
        dataset: that `sparse_input.check_dataset` accepts.
        protocol: one of `PROTOCOLS`.
        seed: any integer.
        share: 0 to 1, for *federated*.
        sources: at least 2, for *class-subsets*.

    Raises:
        InputError: there are fewer categories than sources.
    """
    images = [x["id"] for x in dataset["images"]]
    categories = {x["id"] for x in dataset["categories"]}
    if protocol == "class-subsets":
        return _class_subsets(images, categories, seed, sources)
    shown: defaultdict[int, set[int]] = defaultdict(set)
    for x in dataset["annotations"]:
        if x["category_id"] is not None:
            shown[x["image_id"]].add(x["category_id"])
    exhaustive, absent = {}, {}
    for image_id in images:
        present = _shuffled(shown[image_id], seed, "federated", image_id)
        number = len(present) - floor(len(present) * share)
        exhaustive[image_id] = set(present[:number])
        others = _shuffled(categories - shown[image_id], seed, "federated", image_id)
        absent[image_id] = set(others[: max(number, 1)])
    return Verified(exhaustive, absent, {})


def _class_subsets(
    images: Iterable[int], categories: Collection[int], seed: int, sources: int
) -> Verified:
    if len(categories) < 2:
        has = counted(len(categories), "categories")
        raise InputError(f"class-subsets deals out categories to sources: {has} can't be")
    if not 2 <= sources <= len(categories):
        raise InputError(
            f"{len(categories)} categories can't be dealt out to {sources} sources: choose 2 to "
            f"{len(categories)}"
        )
    dealt = _shuffled(categories, seed, "class-subsets category")
    subsets = [sorted(dealt[source::sources]) for source in range(sources)]
    ordered = _shuffled(images, seed, "class-subsets image")
    exhaustive = {id_: set(subsets[place % sources]) for place, id_ in enumerate(ordered)}
    return Verified(exhaustive, {id_: set() for id_ in ordered}, {"sources": subsets})


def complete_images(dataset: Mapping[str, Any], share: float, seed: int) -> set[int]:
    """The ids of the images that are left complete: `share` of all (0 to 1, rounded down)."""
    ids = [x["id"] for x in dataset["images"]]
    return set(_shuffled(ids, seed, "complete image")[: floor(len(ids) * Fraction(str(share)))])


def marked(
    dataset: Mapping[str, Any],
    omitted: Collection[int],
    complete: Collection[int] = (),
    verified: Verified | None = None,
) -> dict[str, Any]:
    """The data set with what is still known of its images after annotations were left out.

    If it says nothing of its images, it counts as fully annotated.

    Args:
        dataset: before; it isn't changed.
        omitted: ids of the annotations that are left out; they stay in what is returned.
        complete: ids of the images of which none is, which is marked.
        verified: for which categories the other images were looked through, if it is known.
    """
    known = known_of(dataset)
    if not (known.is_stated or complete or verified):
        return dict(dataset)
    everything = frozenset(x["id"] for x in dataset["categories"])
    dropped: defaultdict[int, set[int]] = defaultdict(set)
    for x in dataset["annotations"]:
        if x["id"] in omitted:
            dropped[x["image_id"]].add(x["category_id"])
    images = []
    for image in dataset["images"]:
        id_ = image["id"]
        exhaustive = known.exhaustive[id_] if known.is_stated else everything
        absent = known.absent[id_]
        if id_ in complete:
            pass
        elif verified:
            sure = exhaustive | absent
            exhaustive, absent = sure & verified.exhaustive[id_], sure & verified.absent[id_]
        elif known.is_stated:
            exhaustive = exhaustive - dropped[id_]
        else:
            images.append(image)
            continue
        lists = {EXHAUSTIVE: exhaustive, ABSENT: absent}
        # Evaluating as LVIS does needs all of its lists.
        lists[NOT_EXHAUSTIVE] = frozenset(image.get(NOT_EXHAUSTIVE, ()))
        bare = {k: v for k, v in image.items() if k not in LISTS}
        images.append({**bare, **{k: sorted(v) for k, v in lists.items()}})
    info = {k: v for k, v in (dataset.get("info") or {}).items() if k != EXHAUSTIVE}
    return {**dataset, "info": info, "images": images}


def _shuffled(ids: Iterable[int], seed: int, *purpose: Any) -> list[int]:
    return sorted(ids, key=lambda id_: draw(seed, *purpose, id_))
