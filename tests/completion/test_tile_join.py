"""What is found on tiles, as if it were found on the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comining.completion.tile_join import join, of_images
from comining.completion.tiling import Tiling, tiles_of
from comining.engine.miner import Mined

#: Two tiles of 100 x 100 pixels: columns 0 to 99 and 60 to 159. What ends within a pixel of an
#: inner border may be cut off.
TILES = [
    {"id": 1, "source_image_id": 9, "x": 0, "y": 0, "width": 100, "height": 100},
    {"id": 2, "source_image_id": 9, "x": 60, "y": 0, "width": 100, "height": 100},
]


def found(*detections):
    """Of (box, class, score)."""
    boxes, classes, scores = zip(*detections, strict=True) if detections else ((), (), ())
    return Mined(list(map(list, boxes)), list(classes), list(scores), [True] * len(boxes))


def joined(*of_tiles):
    """(box, class, score) of the image, by what is found on each tile."""
    mined = {number: found(*x) for number, x in enumerate(of_tiles, 1)}
    (image_id, whole), *others = join(mined, TILES).items()
    assert image_id == 9
    assert not others
    assert len(whole.is_new) == len(whole.boxes)
    return list(zip(map(tuple, whole.boxes), whole.classes, whole.scores, strict=True))


def test_boxes_are_those_of_the_image():
    assert joined([((10, 20, 30, 40), 0, 0.5)], [((50, 20, 70, 40), 1, 0.9)]) == [
        ((110, 20, 130, 40), 1, 0.9),
        ((10, 20, 30, 40), 0, 0.5),
    ]


def test_of_an_object_in_two_tiles_the_higher_score_stays_whatever_its_class():
    first, second = ((62, 20, 92, 50), 0, 0.7), ((4, 20, 32, 50), 1, 0.8)
    assert joined([first], [second]) == [((64, 20, 92, 50), 1, 0.8)]


def test_detections_of_one_tile_are_left_as_they_are():
    both = [((10, 20, 40, 50), 0, 0.7), ((11, 20, 40, 50), 1, 0.6)]
    assert joined(both, []) == both


def test_neighbours_of_different_tiles_stay():
    # The second tile's is 30 x 30 at 77: an IoU of (15 * 30) / (1800 - 450) = 1/3.
    first, second = ((62, 20, 92, 50), 0, 0.7), ((17, 20, 47, 50), 0, 0.8)
    assert joined([first], [second]) == [((77, 20, 107, 50), 0, 0.8), first]


@pytest.mark.parametrize("end", [99.5, 100, 103])
def test_what_is_cut_off_goes_where_the_other_tile_sees_it_whole(end):
    cut_off = ((75, 20, end, 50), 0, 0.99)
    assert joined([cut_off], [((15, 20, 55, 50), 0, 0.4)]) == [((75, 20, 115, 50), 0, 0.4)]
    assert joined([cut_off], []) == []


def test_what_is_cut_off_stays_where_the_other_tile_could_not_be_read():
    cut_off = ((75, 20, 100, 50), 0, 0.99)
    whole = join({1: found(cut_off)}, TILES)[9]
    assert whole.boxes == [[75, 20, 100, 50]]


def test_what_ends_with_the_image_is_not_cut_off():
    first, second = ((-2, -1, 30, 40), 0, 0.9), ((70, 60, 102, 100), 0, 0.8)
    assert joined([first], [second]) == [((0, 0, 30, 40), 0, 0.9), ((130, 60, 160, 100), 0, 0.8)]


def test_parts_of_an_object_too_large_for_a_tile_become_one():
    # From 20 to 150: each tile sees columns 60 to 99 of it.
    first, second = ((20, 20, 100, 50), 3, 0.6), ((0, 22, 90, 52), 3, 0.7)
    assert joined([first], [second]) == [((20, 20, 150, 52), 3, 0.7)]


def test_parts_of_different_rows_do_not_become_one():
    first, second = ((20, 20, 100, 50), 3, 0.6), ((0, 40, 90, 70), 3, 0.7)
    assert joined([first], [second]) == [
        ((60, 40, 150, 70), 3, 0.7),
        ((20, 20, 100, 50), 3, 0.6),
    ]


def test_part_within_a_whole_object_of_another_tile_goes_though_its_score_is_higher():
    # It begins in columns that the second tile does not see, by a hair.
    part, whole = ((59, 20, 100, 50), 0, 0.9), ((1.5, 18, 80, 52), 0, 0.5)
    assert joined([part], [whole]) == [((61.5, 18, 140, 52), 0, 0.5)]


def test_whole_object_within_a_part_of_a_large_one_stays():
    part, whole = ((20, 20, 100, 90), 0, 0.9), ((5, 30, 25, 50), 0, 0.5)
    assert joined([part], [whole]) == [part, ((65, 30, 85, 50), 0, 0.5)]


def test_image_of_unreadable_tiles_alone_is_left_out():
    other = {"id": 3, "source_image_id": 4, "x": 0, "y": 0, "width": 30, "height": 30}
    assert join({3: found()}, [*TILES, other]) == {4: Mined([], [], [], [])}
    assert of_images({2: "damaged"}, [*TILES, other]) == {9: "damaged"}


@st.composite
def scenes(draw):
    """An image with objects apart from each other, none longer than the overlap allows."""
    edge = draw(st.integers(50, 120))
    overlap = draw(st.integers(10, edge // 2))
    width, height = draw(st.integers(20, 500)), draw(st.integers(20, 500))
    longest = overlap - int(np.ceil(2 * 0.01 * edge))
    boxes = []
    for row in range(0, height - 10, longest + 3):
        for column in range(0, width - 10, longest + 3):
            if draw(st.booleans()):
                wide = draw(st.integers(3, min(longest, width - column)))
                high = draw(st.integers(3, min(longest, height - row)))
                boxes.append([column, row, wide, high])
    return width, height, Tiling(edge, overlap, ""), boxes


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_perfect_detections_on_tiles_are_each_object_once(scene):
    width, height, tiling, boxes = scene
    dataset = {
        "images": [{"id": 5, "file_name": "a.png", "width": width, "height": height}],
        "annotations": [
            {"id": i, "image_id": 5, "category_id": 1, "bbox": box} for i, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "crown"}],
    }
    tiles = tiles_of(dataset, tiling)
    by_tile = {x["id"]: [] for x in tiles["images"]}
    for x in tiles["annotations"]:  # fragments are detected, too
        left, top, wide, high = x["bbox"]
        by_tile[x["image_id"]].append(((left, top, left + wide, top + high), 0, 0.8))
    whole = join({id_: found(*x) for id_, x in by_tile.items()}, tiles["images"])[5]
    expected = sorted([x, y, x + w, y + h] for x, y, w, h in boxes)
    assert sorted(whole.boxes) == expected
