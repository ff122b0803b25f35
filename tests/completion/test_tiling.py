"""Large images: when they are cut, and the files of the tiles."""

import json

import numpy as np
import pytest
from PIL import Image

from comining.completion.folder import Folder
from comining.completion.machine import Machine
from comining.completion.plan import choose_scale, make_plan
from comining.completion.tile_plan import Tiling, plan_tiles
from comining.completion.tiling import cut, tiles_of, write_tiles
from comining.errors import InputError

CPU, GPU = Machine("cpu", 1), Machine("cuda", 1)


def planned(image, edges, machine=CPU, number=1, minutes=10):
    """How ``number`` images of a size with square objects of some edges are cut."""
    boxes = np.array(edges, dtype=float)[:, None].repeat(2, 1)
    return plan_tiles(np.array([image] * number, dtype=float), boxes, machine, minutes)


@pytest.mark.parametrize(
    ("image", "edges"),
    [
        ((640, 480), [60]),  # wanted: a scale of 28 / 60; a CPU affords 0.427
        ((640, 480), [33]),  # wanted: twice that, not quite
        ((50, 50), [10]),  # enlarged twice
        ((8000, 6000), [1500]),  # large itself
        ((8000, 6000), [60] * 9 + [4000]),  # more than one in twenty is too large for a tile
    ],
)
def test_images_stay_whole_where_tiles_gain_little(image, edges):
    assert planned(image, edges) is None


def test_large_images_are_cut_so_that_objects_have_their_wanted_size():
    tiling = planned((8000, 6000), [60] * 100)
    # The root of 230,000 network pixels is 479.6; 40 of them for 60 pixels of the image.
    assert tiling.edge == 719
    # 60, and a hundredth of the edge on either side.
    assert tiling.overlap == 75
    assert "8000 x 6000" in tiling.why
    # Beyond the first 719 pixels, strides of 644: 12 for the other 7281 and 9 for 5281.
    assert "cut into 130 tiles of 719 pixels" in tiling.why


def test_gpu_takes_larger_tiles():
    assert planned((8000, 6000), [60], GPU).edge == 2582  # the root of 1,066,400 is 1032.7
    assert planned((1333, 800), [20], GPU) is None


def test_overlap_is_as_wide_as_objects():
    # The longest takes less than a quarter of a tile ...
    assert planned((8000, 6000), [60] * 99 + [100]).overlap == 115
    # ... or more, and is one in a hundred: a quarter of 719, and 14.38.
    assert planned((8000, 6000), [60] * 99 + [400]).overlap == 195
    # One in ten has 200 pixels.
    assert planned((8000, 6000), [60] * 9 + [200]).overlap == 215


def test_tiles_grow_where_objects_would_be_more_than_half_of_one():
    tiling = planned((8000, 6000), [60] * 9 + [400])
    assert tiling.edge == 833  # 400 and two margins of 8.33 pixels are half of it
    assert tiling.edge / 2 - 1 <= tiling.overlap <= tiling.edge / 2 + 1


def test_tiles_grow_with_the_number_of_images_up_to_twice():
    # Of 719 pixels, 20 images would have 2,600 tiles. Steps of a twentieth lead to 1084, whose
    # stride is 1002: 8 times 6 in an image. One step less, of 1030: 9 times 7, 1,260 in all.
    tiling = planned((8000, 6000), [60], number=20)
    assert (tiling.edge, tiling.overlap) == (1084, 82)
    assert "cut into 960 tiles" in tiling.why
    assert planned((8000, 6000), [60], number=20, minutes=30).edge == 719
    assert 1439 <= planned((8000, 6000), [60], number=1000).edge <= 1439 / 0.95


def test_narrow_images_are_parts_of_tiles():
    """A hundred strips of 3 tiles that are a third as high as wide take the time of 96."""
    assert planned((1800, 230), [60], number=100, minutes=1).edge == 719
    assert planned((1800, 230), [60], number=110, minutes=1).edge > 719


def test_elongated_images_are_cut_where_their_long_edge_makes_them_small():
    tiling = planned((4000, 200), [20] * 10)
    assert tiling.edge == 240  # 479.6 / (40 / 20)


def test_small_images_are_enlarged():
    scale = choose_scale(np.array([[50, 50]]), np.array([[10, 10]]), CPU)
    assert scale.factor == pytest.approx(2, abs=0.1)
    assert scale.object_edge == pytest.approx(20, abs=1)


DATASET = {
    "images": [
        {"id": 7, "file_name": "b.png", "width": 60, "height": 40},
        {"id": 3, "file_name": "a.jpg", "width": 160, "height": 90},
    ],
    "annotations": [
        {"id": 10, "image_id": 3, "category_id": 2, "bbox": [80, 10, 20, 20], "iscrowd": 0},
        {"id": 11, "image_id": 3, "category_id": 5, "bbox": [20, 30, 50, 60], "iscrowd": 0},
        {"id": 12, "image_id": 7, "category_id": 5, "bbox": [10, 10, 5, 5], "iscrowd": 1},
    ],
    "categories": [{"id": 2, "name": "cat"}, {"id": 5, "name": "dog"}],
}
#: Of the image 3: columns 0 to 99 and 60 to 159.
TILING = Tiling(100, 30, "")


def test_tiles_have_clipped_boxes_and_know_their_image():
    tiles = tiles_of(DATASET, TILING)
    places = [
        (x["id"], x["source_image_id"], x["x"], x["y"], x["width"], x["height"])
        for x in tiles["images"]
    ]
    assert places == [(1, 3, 0, 0, 100, 90), (2, 3, 60, 0, 100, 90), (3, 7, 0, 0, 60, 40)]
    boxes = [
        (x["image_id"], x["source_annotation_id"], x["category_id"], x["bbox"], x["iscrowd"])
        for x in tiles["annotations"]
    ]
    assert boxes == [
        (1, 10, 2, [80, 10, 20, 20], 0),
        (1, 11, 5, [20, 30, 50, 60], 0),
        (2, 10, 2, [20, 10, 20, 20], 0),
        (2, 11, 5, [0, 30, 10, 60], 1),  # a fifth of it
        (3, 12, 5, [10, 10, 5, 5], 1),
    ]
    assert [x["id"] for x in tiles["annotations"]] == [1, 2, 3, 4, 5]
    assert [x["area"] for x in tiles["annotations"]] == [400, 3000, 400, 600, 25]


def test_ids_do_not_depend_on_the_order_of_images():
    turned = {**DATASET, "images": DATASET["images"][::-1]}
    assert tiles_of(turned, TILING) == tiles_of(DATASET, TILING)


@pytest.fixture
def images(tmp_path):
    """A smooth JPEG file that a camera has turned, and a PNG file in grey with transparency."""
    folder = tmp_path / "source"
    folder.mkdir()
    rows, columns = np.mgrid[:90, :160]
    shown = np.stack([columns, rows, np.full_like(rows, 80)], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(shown)))
    stored.save(folder / "a.jpg", quality=100, subsampling=0, exif=exif)
    grey = np.arange(2400, dtype=np.uint8).reshape(40, 60)
    Image.fromarray(np.stack([grey, np.full_like(grey, 9)], -1), "LA").save(folder / "b.png")
    return folder, shown, grey


def test_tiles_show_their_part_of_the_turned_image(images, tmp_path):
    folder, shown, grey = images
    tiles, unreadable = cut(DATASET, folder, tmp_path / "tiles", TILING)
    assert not unreadable
    assert tiles == tiles_of(DATASET, TILING)
    pictures = [Image.open(tmp_path / "tiles" / x["file_name"]) for x in tiles["images"]]
    assert [x.format for x in pictures] == ["JPEG", "JPEG", "PNG"]
    assert [x.mode for x in pictures] == ["RGB"] * 3
    assert not pictures[0].getexif()
    for picture, part in zip(pictures[:2], (shown[:, :100], shown[:, 60:]), strict=True):
        assert np.abs(np.asarray(picture).astype(int) - part).max() <= 6
    np.testing.assert_array_equal(np.asarray(pictures[2])[..., 0], grey)


def test_missing_tiles_alone_are_written(images, tmp_path):
    folder, output = images[0], tmp_path / "tiles"
    tiles, _ = cut(DATASET, folder, output, TILING)
    first, second, third = (output / x["file_name"] for x in tiles["images"])
    content = second.read_bytes()
    first.write_bytes(b"as it was")
    second.unlink()
    (folder / "b.png").unlink()  # has all of its tiles
    assert cut(DATASET, folder, output, TILING) == (tiles, {})
    assert first.read_bytes() == b"as it was"
    assert second.read_bytes() == content
    assert {x.name for x in output.iterdir()} == {first.name, second.name, third.name}


def test_images_that_cannot_be_read_have_no_tiles_and_others_keep_their_ids(images, tmp_path):
    folder = images[0]
    path = folder / "a.jpg"
    path.write_bytes(path.read_bytes()[:500])
    tiles, unreadable = cut(DATASET, folder, tmp_path / "tiles", TILING)
    assert list(unreadable) == [3]
    assert str(path) in unreadable[3]
    assert [x["id"] for x in tiles["images"]] == [3]
    assert [x["id"] for x in tiles["annotations"]] == [5]


def test_images_of_another_size_than_stated_have_no_tiles(images, tmp_path):
    folder = images[0]
    Image.new("RGB", (61, 40)).save(folder / "b.png")
    _, unreadable = cut(DATASET, folder, tmp_path / "tiles", TILING)
    assert list(unreadable) == [7]
    assert "61 x 40 pixels, not 60 x 40" in unreadable[7]
    assert "b.png" in unreadable[7]


def test_withheld_boxes_are_withheld_from_the_tiles(images, tmp_path):
    folder = Folder(tmp_path)
    folder.annotations.write_text(json.dumps(DATASET))
    kept = [DATASET["annotations"][1]]
    folder.training_annotations.write_text(json.dumps({**DATASET, "annotations": kept}))
    assert write_tiles(folder, images[0], TILING) == {}
    training = json.loads(folder.training_tiles.read_text())
    full = json.loads(folder.tile_annotations.read_text())
    assert training["images"] == full["images"]
    assert [x["id"] for x in full["annotations"]] == [1, 2, 3, 4, 5]
    assert [x["id"] for x in training["annotations"]] == [2, 4]
    assert (folder.tiles / training["info"]["sparse"]["input"]) == folder.tile_annotations


def test_tiles_tell_what_is_known_of_their_image(images, tmp_path):
    """Of the data to train on, less: a dog is withheld."""
    folder = Folder(tmp_path)
    first, second = DATASET["images"]
    lists = {"exhaustive_category_ids": [5], "neg_category_ids": []}
    dataset = {**DATASET, "images": [{**first, "neg_category_ids": [2]}, {**second, **lists}]}
    folder.annotations.write_text(json.dumps(dataset))
    thinned = {**second, "exhaustive_category_ids": []}
    thinned = {**dataset, "images": [dataset["images"][0], thinned]}
    folder.training_annotations.write_text(json.dumps(thinned))
    write_tiles(folder, images[0], TILING)
    for path, exhaustive in ((folder.tile_annotations, [5]), (folder.training_tiles, [])):
        tiles = json.loads(path.read_text())["images"]
        known = [(x["source_image_id"], x["exhaustive_category_ids"], x["neg_category_ids"])
                 for x in tiles]  # fmt: skip
        assert known == [(3, exhaustive, []), (3, exhaustive, []), (7, [], [2])]


def test_data_without_a_readable_image_is_refused(images, tmp_path):
    folder = Folder(tmp_path)
    for path in (folder.annotations, folder.training_annotations):
        path.write_text(json.dumps(DATASET))
    for name in ("a.jpg", "b.png"):
        (images[0] / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"no image can be read, to begin with: .*b\.png"):
        write_tiles(folder, images[0], TILING)


def test_settings_follow_from_the_tiles_and_counts_from_the_images():
    dataset = {
        "images": [{"id": 1, "file_name": "a.png", "width": 8000, "height": 6000}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": [70 * i, 60 * i, 60, 60]}
            for i in range(1, 99)
        ],
        "categories": [{"id": 1, "name": "crown"}],
    }
    tiles = tiles_of(dataset, planned((8000, 6000), [60]))
    choices = {x.key: x for x in make_plan(dataset, CPU, tiles)}
    assert choices["INPUT.MIN_SIZE_TEST"].value == 480  # 719 * 2 / 3, to eights
    assert "40 pixels wide" in choices["INPUT.MIN_SIZE_TEST"].why
    # So large is the longer edge, too, of what an image narrower than a tile gives.
    assert choices["INPUT.MAX_SIZE_TEST"].value == 480
    assert choices["INPUT.MAX_SIZE_TRAIN"].value == max(choices["INPUT.MIN_SIZE_TRAIN"].value)
    assert "crown 98" in choices["MODEL.RETINANET.NUM_CLASSES"].why
