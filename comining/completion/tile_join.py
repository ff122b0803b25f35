"""Putting together what was found on the tiles of an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from comining.engine.miner import Mined

from .tile_plan import MARGIN

#: Boxes from different tiles with a higher IoU are one object.
SAME_IOU = 0.5
#: So is one that is cut off, if more than this share of it lies in a box from another tile.
CONTAINED = 0.8


class _Found(NamedTuple):
    """M detections on tiles of one image.

    Attributes:
        boxes: (M, 4) XYXY in the image.
        classes: (M,).
        scores: (M,).
        is_new: (M,) bool.
        tiles: (M,) which of the image's tiles each is from.
        is_cut: (M,) bool, whether a border of the tile may cut it off.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    is_new: np.ndarray
    tiles: np.ndarray
    is_cut: np.ndarray

    def rows(self, which: np.ndarray) -> _Found:
        return _Found(*(field[which] for field in self))


def join(mined: Mapping[int, Mined], tiles: Iterable[Mapping[str, Any]]) -> dict[int, Mined]:
    """What was found on images, by what was found on their tiles.

    - A detection that touches a border of its tile inside the image is left out where another tile
      sees its place whole.
    - Where none does, as the object is too large, detections of a class that agree where their
      tiles overlap become one box around them, with the highest score.
    - Of detections from different tiles that are one object, whatever their classes, the one with
      the highest score stays, but a whole one rather than one that is cut off.

    Args:
        mined: by id of the tile, what was found, in the tile's pixels.
        tiles: as `comining.completion.tiling.tiles_of` gives them, all of those of an image.

    Returns:
        By id of the image, what was found, in the image's pixels and clipped to it; of the images
        with a tile in ``mined``.
    """
    of_image = defaultdict(list)
    for tile in tiles:
        of_image[tile["source_image_id"]].append(tile)
    return {
        image_id: _joined(mined, theirs)
        for image_id, theirs in of_image.items()
        if any(x["id"] in mined for x in theirs)
    }


def of_images(unreadable: Mapping[int, str], tiles: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """By id of the image, why a tile of it can't be read; by what is known of the tiles."""
    return {x["source_image_id"]: unreadable[x["id"]] for x in tiles if x["id"] in unreadable}


def _joined(mined: Mapping[int, Mined], tiles: Sequence[Mapping[str, Any]]) -> Mined:
    windows = np.array([(x["x"], x["y"], x["width"], x["height"]) for x in tiles], dtype=float)
    windows[:, 2:] += windows[:, :2]
    safe = _safe(windows)
    found = _gather(mined, tiles, windows, safe)
    is_mined = np.array([x["id"] in mined for x in tiles])
    seen_whole = np.zeros(len(found.boxes), dtype=bool)
    for row in np.flatnonzero(found.is_cut):
        seen_whole[row] = _inside(found.boxes[row], safe[is_mined]).any()
    whole = found.rows(~found.is_cut)
    merged = _merged(found.rows(found.is_cut & ~seen_whole), windows)
    both = _Found(*(np.concatenate(fields) for fields in zip(whole, merged, strict=True)))
    kept = _without_twins(both)
    kept = kept.rows(np.argsort(-kept.scores, kind="stable"))
    return Mined(
        kept.boxes.tolist(), kept.classes.tolist(), kept.scores.tolist(), kept.is_new.tolist()
    )


def _safe(windows: np.ndarray) -> np.ndarray:
    """(T, 4) what each tile sees so well that nothing there is cut off, XYXY."""
    margin = MARGIN * (windows[:, 2:] - windows[:, :2]).max(1, keepdims=True)
    end = windows[:, 2:].max(0)
    starts, ends = windows[:, :2], windows[:, 2:]
    return np.hstack(
        [
            np.where(starts > 0, starts + margin, -np.inf),
            np.where(ends < end, ends - margin, np.inf),
        ]
    )


def _inside(boxes: np.ndarray, safe: np.ndarray) -> np.ndarray:
    """Of one box and T windows, or of M boxes and one, which are inside."""
    edges = (boxes[..., :2] >= safe[..., :2]) & (boxes[..., 2:] <= safe[..., 2:])
    return edges[..., 0] & edges[..., 1]


def _gather(
    mined: Mapping[int, Mined],
    tiles: Sequence[Mapping[str, Any]],
    windows: np.ndarray,
    safe: np.ndarray,
) -> _Found:
    parts = []
    for number, tile in enumerate(tiles):
        if tile["id"] not in mined:  # unreadable
            continue
        of_tile = mined[tile["id"]]
        boxes = np.array(of_tile.boxes, dtype=float).reshape(-1, 4) + np.tile(
            windows[number, :2], 2
        )
        boxes = boxes.clip(np.tile(windows[number, :2], 2), np.tile(windows[number, 2:], 2))
        parts.append(
            _Found(
                boxes,
                np.array(of_tile.classes, dtype=int),
                np.array(of_tile.scores, dtype=float),
                np.array(of_tile.is_new, dtype=bool),
                np.full(len(boxes), number),
                ~_inside(boxes, safe[number]),
            )
        )
    return _Found(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def _merged(found: _Found, windows: np.ndarray) -> _Found:
    """Parts of the same object as one box, by descending score."""
    left = np.argsort(-found.scores, kind="stable")
    objects = [found.rows(left[:0])]
    while len(left):
        parts, left = [left[0]], left[1:]
        for part in parts:  # grows
            agree = _agree(found, part, left, windows)
            parts += list(left[agree])
            left = left[~agree]
        start, end = found.boxes[parts, :2].min(0), found.boxes[parts, 2:].max(0)
        objects.append(
            found.rows(np.array(parts[:1]))._replace(
                boxes=np.hstack([start, end])[None],
                is_new=np.array([found.is_new[parts].all()]),
            )
        )
    return _Found(*(np.concatenate(fields) for fields in zip(*objects, strict=True)))


def _agree(found: _Found, one: int, others: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Which of M other detections show the same object where the tiles of both look."""
    window, theirs = windows[found.tiles[one]], windows[found.tiles[others]]
    start, end = np.maximum(window[:2], theirs[:, :2]), np.minimum(window[2:], theirs[:, 2:])
    end = np.maximum(start, end)
    limits = np.hstack([start, start]), np.hstack([end, end])
    iou = _overlap(found.boxes[one].clip(*limits), found.boxes[others].clip(*limits))[0]
    return (
        (iou > SAME_IOU)
        & (found.classes[others] == found.classes[one])
        & (found.tiles[others] != found.tiles[one])
    )


def _without_twins(found: _Found) -> _Found:
    found = found.rows(np.lexsort((-found.scores, found.is_cut)))
    alive = np.ones(len(found.boxes), dtype=bool)
    for better, worse in _twins(found):
        if alive[better]:
            alive[worse] = False
    return found.rows(alive)


def _twins(found: _Found) -> list[list[int]]:
    """Pairs of detections, the first of each ascending, of which the second repeats the first."""
    groups = [np.flatnonzero(found.tiles == tile) for tile in np.unique(found.tiles)]
    starts = np.array([found.boxes[rows, :2].min(0) for rows in groups]).reshape(-1, 2)
    ends = np.array([found.boxes[rows, 2:].max(0) for rows in groups]).reshape(-1, 2)
    meet = ((starts[:, None] < ends) & (starts < ends[:, None])).all(-1)
    pairs = [np.empty((0, 2), dtype=int)]
    for one, other in np.argwhere(np.triu(meet, 1)):
        rows = np.array(np.meshgrid(groups[one], groups[other])).reshape(2, -1).T
        rows.sort(1)
        better, worse = rows.T
        iou, contained = _overlap(found.boxes[better], found.boxes[worse])
        same = (iou > SAME_IOU) | (found.is_cut[worse] & (contained > CONTAINED))
        pairs.append(rows[same])
    every = np.concatenate(pairs)
    ordered: list[list[int]] = every[np.lexsort(every.T[::-1])].tolist()
    return ordered


def _overlap(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of M others, the IoU with a box or with M, and the share of each that lies in the box."""
    start = np.maximum(boxes[..., :2], others[:, :2])
    end = np.minimum(boxes[..., 2:], others[:, 2:])
    shared = (end - start).clip(0).prod(-1)
    areas = (others[:, 2:] - others[:, :2]).prod(-1)
    union = (boxes[..., 2:] - boxes[..., :2]).prod(-1) + areas - shared
    tiny = np.finfo(float).tiny
    return shared / union.clip(tiny), shared / areas.clip(tiny)
