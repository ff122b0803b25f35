"""Cut a large annotated photograph into tiles: pure functions on pixel coordinates.

Boxes are XYXY in the photograph's pixels. A *region* is a range of columns ``start <= x < stop``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Boxes = np.ndarray


class Tile(NamedTuple):
    """A square window of a photograph; its own pixel (0, 0) is the photograph's (x, y)."""

    x: int
    y: int
    size: int


class TileBoxes(NamedTuple):
    """The boxes that a tile shows.

    Attributes:
        box_index: (K,) int, which of the photograph's boxes they are, ascending.
        boxes: (K, 4) XYXY in the tile's pixels, clipped to the tile.
        mostly_inside: (K,) bool, False for a fragment: a box of which the tile shows too little.
    """

    box_index: np.ndarray
    boxes: Boxes
    mostly_inside: np.ndarray


def regions_beside(column: int, width: int, boxes: Boxes) -> tuple[range, range]:
    """Split a photograph's columns into two regions that share no box.

    Boxes that straddle the column belong to neither region, and neither region shows any of their
    pixels: the regions are set apart by a gap that reaches from the leftmost to the rightmost edge
    of the straddling boxes (no gap where nothing straddles).

    Args:
        column: the split, 0 < column < width.
        width: of the photograph.
        boxes: (N, 4) XYXY.

    Returns:
        The columns of the left and of the right region.
    """
    straddling = boxes[(boxes[:, 0] < column) & (boxes[:, 2] > column)]
    left_stop = int(np.floor(straddling[:, 0].min(initial=column)))
    right_start = int(np.ceil(straddling[:, 2].max(initial=column)))
    return range(0, left_stop), range(right_start, width)


def lay_tiles(columns: range, rows: range, size: int, stride: int, cover: bool) -> list[Tile]:
    """Lay square tiles over a region, row by row; none reaches out of the region.

    Args:
        columns: the region's columns.
        rows: the region's rows.
        size: edge of a tile in pixels.
        stride: distance between neighbouring tiles; ``stride == size`` means no overlap.
        cover: whether a last tile, closer than a stride to its neighbour, is added flush with the
            region's end where the strides leave a remainder. Without it the remainder is unused.

    Returns:
        The tiles; none if the region is smaller than a tile.
    """

    def starts(along: range) -> list[int]:
        found = list(range(along.start, along.stop - size + 1, stride))
        if cover and found and found[-1] + size < along.stop:
            found.append(along.stop - size)
        return found

    return [Tile(x, y, size) for y in starts(rows) for x in starts(columns)]


def cover_evenly(width: int, height: int, size: int, overlap: int) -> list[Tile]:
    """Cover a whole photograph with square tiles, row by row, as few as the overlap allows.

    Args:
        width, height: of the photograph. Where it is smaller than a tile, tiles reach beyond it on
            the right or below, and nowhere else.
        size: edge of a tile in pixels.
        overlap: neighbours share at least so many pixels, 0 <= overlap < size. So a box whose edges
            are no longer lies wholly inside one of the tiles.
    """

    def starts(length: int) -> list[int]:
        room = length - size
        if room <= 0:
            return [0]
        strides = -(-room // (size - overlap))
        return [room * i // strides for i in range(strides + 1)]

    return [Tile(x, y, size) for y in starts(height) for x in starts(width)]


def boxes_in_tile(boxes: Boxes, tile: Tile, min_share: float = 0.5) -> TileBoxes:
    """Find and clip the boxes that a tile shows.

    Args:
        boxes: (N, 4) XYXY in the photograph's pixels, of positive area.
        tile: the window.
        min_share: a box counts as mostly inside if at least this share of its area, 0..1, is.

    Returns:
        Every box with some area inside the tile.
    """
    corner = np.array([tile.x, tile.y, tile.x, tile.y])
    clipped = np.clip(boxes - corner, 0, tile.size)
    shown = _area(clipped)
    index = np.flatnonzero(shown > 0)
    mostly_inside = shown[index] >= min_share * _area(boxes[index])
    return TileBoxes(index, clipped[index], mostly_inside)


def cells_of(boxes: Boxes, size: int) -> list[tuple[int, int]]:
    """Tell in which cell (row, column) of a grid of squares each box's centre lies.

    The grid begins at the photograph's pixel (0, 0); its cells don't overlap.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return [(int(y // size), int(x // size)) for x, y in centres]


def _area(boxes: Boxes) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
