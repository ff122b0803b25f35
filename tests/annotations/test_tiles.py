import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comining.annotations.tiles import (
    Tile,
    boxes_in_tile,
    cells_of,
    cover_evenly,
    lay_tiles,
    regions_beside,
)


def test_regions_leave_a_gap_as_wide_as_what_straddles_the_split():
    boxes = np.array([(10, 0, 60, 5), (80, 0, 110, 5), (95, 0, 130, 5), (120, 0, 190, 5)])
    assert regions_beside(100, 200, boxes) == (range(0, 80), range(130, 200))


@pytest.mark.parametrize("boxes", [[], [(10, 0, 100, 5), (100, 0, 120, 5)]])
def test_regions_touch_where_nothing_straddles(boxes):
    boxes = np.array(boxes).reshape(-1, 4)
    assert regions_beside(100, 200, boxes) == (range(0, 100), range(100, 200))


def test_tiles_without_overlap_leave_the_remainder_out():
    tiles = lay_tiles(range(30, 100), range(0, 64), size=32, stride=32, cover=False)
    assert tiles == [Tile(30, 0, 32), Tile(62, 0, 32), Tile(30, 32, 32), Tile(62, 32, 32)]


def test_covering_tiles_end_flush_with_the_region():
    tiles = lay_tiles(range(0, 70), range(0, 32), size=32, stride=16, cover=True)
    assert [tile.x for tile in tiles] == [0, 16, 32, 38]
    assert {tile.y for tile in tiles} == {0}


def test_region_smaller_than_a_tile_has_no_tiles():
    assert lay_tiles(range(0, 31), range(0, 64), size=32, stride=32, cover=True) == []


def test_boxes_are_clipped_to_the_tile_and_judged_by_the_share_inside():
    boxes = np.array(
        [
            (120, 230, 140, 250),  # inside
            (90, 210, 110, 220),  # exactly half inside, on the left
            (89, 210, 110, 220),  # 10/21 inside
            (140, 240, 160, 260),  # a quarter inside, in the lower right corner
            (60, 210, 100, 220),  # ends where the tile begins
            (0, 0, 10, 10),  # far away
        ]
    )
    shown = boxes_in_tile(boxes, Tile(100, 200, 50))
    assert shown.box_index.tolist() == [0, 1, 2, 3]
    assert shown.boxes.tolist() == [
        [20, 30, 40, 50],
        [0, 10, 10, 20],
        [0, 10, 10, 20],
        [40, 40, 50, 50],
    ]
    assert shown.mostly_inside.tolist() == [True, True, False, False]


def test_tile_without_boxes():
    shown = boxes_in_tile(np.empty((0, 4)), Tile(0, 0, 50))
    assert len(shown.box_index) == 0
    assert shown.boxes.shape == (0, 4)


def test_box_belongs_to_the_cell_of_its_centre():
    boxes = np.array([(0, 0, 10, 10), (90, 0, 110, 10), (95, 190, 125, 230)])
    assert cells_of(boxes, 100) == [(0, 0), (0, 1), (2, 1)]


def test_even_cover_shares_out_what_strides_leave():
    # 270 - 100 = 170 pixels beyond the first tile are three strides of at most 70.
    tiles = cover_evenly(270, 80, size=100, overlap=30)
    assert tiles == [Tile(0, 0, 100), Tile(56, 0, 100), Tile(113, 0, 100), Tile(170, 0, 100)]


@pytest.mark.parametrize(("width", "number"), [(40, 1), (100, 1), (101, 2), (170, 2), (171, 3)])
def test_even_cover_has_as_few_tiles_as_the_overlap_allows(width, number):
    assert len(cover_evenly(width, 100, size=100, overlap=30)) == number


@given(
    size=st.integers(10, 200),
    extent=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    data=st.data(),
)
def test_every_box_no_longer_than_the_overlap_is_whole_in_a_tile(size, extent, data):
    overlap = data.draw(st.integers(1, size - 1))
    edges = [data.draw(st.integers(1, min(overlap, length))) for length in extent]
    start = [data.draw(st.integers(0, n - edge)) for n, edge in zip(extent, edges, strict=True)]
    box = np.array([*start, *np.add(start, edges)])
    tiles = cover_evenly(*extent, size, overlap)
    corners = np.array([(x.x, x.y) for x in tiles])
    assert ((corners <= box[:2]) & (box[2:] <= corners + size)).all(1).any()
    assert all(0 <= x.x <= max(0, extent[0] - size) for x in tiles)
    assert all(0 <= x.y <= max(0, extent[1] - size) for x in tiles)
