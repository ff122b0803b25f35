"""What a file says to be known of its images, and what of that is refused."""

import json

import numpy as np
import pytest
from pycocotools import mask

from comining.annotations.coco_file import read_coco, read_repaired
from comining.annotations.known import Region, known_of
from comining.annotations.regions import box_around
from comining.annotations.sparse_input import repair_dataset
from comining.errors import InputError

CATEGORIES = [{"id": i, "name": name} for i, name in ((3, "car"), (5, "bus"), (8, "van"))]


def image(id_=1, **fields):
    return {"id": id_, "file_name": f"{id_}.jpg", "width": 100, "height": 50, **fields}


def annotation(id_=1, image_id=1, category_id=3, bbox=(10, 10, 20, 20), **fields):
    return {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": list(bbox),
            **fields}  # fmt: skip


def dataset(images=None, annotations=(), **fields):
    return {"images": images or [image()], "annotations": list(annotations),
            "categories": CATEGORIES, **fields}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    def read(data):
        (tmp_path / "a.json").write_text(json.dumps(data))
        return read_coco(tmp_path / "a.json")

    return read


@pytest.fixture
def known(read):
    def known(*arguments, **fields):
        data, report = read(dataset(*arguments, **fields))
        assert not report.is_fatal, report
        return known_of(data)

    return known


class TestMeaning:
    def test_without_fields_nothing_is_known(self, known):
        found = known(None, [annotation()])
        assert (found.exhaustive, found.absent, found.regions) == ({1: set()}, {1: set()}, {})
        assert not found.is_stated
        assert not found.is_complete(1, 3)

    def test_lists(self, known):
        found = known([image(exhaustive_category_ids=[3], neg_category_ids=[8]), image(2)])
        assert found.exhaustive == {1: {3}, 2: set()}
        assert found.absent == {1: {8}, 2: set()}
        assert [found.is_complete(1, x) for x in (3, 5, 8)] == [True, False, True]
        assert found.is_stated

    def test_all(self, known):
        assert known([image(exhaustive_category_ids="all")]).exhaustive == {1: {3, 5, 8}}

    def test_lvis(self, known):
        """Annotated categories are exhaustive unless listed; mined boxes annotate nothing."""
        images = [
            image(1, neg_category_ids=[8], not_exhaustive_category_ids=[5]),
            image(2, neg_category_ids=[], not_exhaustive_category_ids=[]),
        ]
        annotations = [
            annotation(1),
            annotation(2, category_id=5),
            annotation(3, image_id=2, category_id=8),
            annotation(4, image_id=2, category_id=5, origin="mined", score=0.9),
            annotation(5, image_id=2, iscrowd=1),
        ]
        found = known(images, annotations)
        assert found.exhaustive == {1: {3}, 2: {8}}
        assert found.absent == {1: {8}, 2: set()}

    def test_images_of_lvis_are_named_by_their_address(self, read):
        named = image(9, coco_url="http://images.cocodataset.org/val2017/000000000009.jpg")
        del named["file_name"]
        data, report = read(dataset([named, image(1, coco_url="http://x.org/a/b.jpg")]))
        assert [x["file_name"] for x in data["images"]] == ["val2017/000000000009.jpg", "1.jpg"]
        assert "repaired: 1 image has no 'file_name': that of its 'coco_url' taken (9)" in str(
            report
        )
        report = read(dataset([{**named, "coco_url": "http://x.org/../a.jpg"}]))[1]
        assert "error: 1 file is outside the image folder (../a.jpg)" in str(report)

    @pytest.mark.parametrize("default", ["all", [3, 5, 8]])
    def test_default_of_the_file(self, known, default):
        images = [
            image(1),
            image(2, exhaustive_category_ids=[5]),
            image(3, not_exhaustive_category_ids=[5]),
        ]
        found = known(images, info={"exhaustive_category_ids": default})
        assert found.exhaustive == {1: {3, 5, 8}, 2: {5}, 3: {3, 8}}

    def test_absent_alone_is_a_statement(self, known):
        assert known([image(neg_category_ids=[])]).is_stated

    def test_forms_with_one_meaning(self, known):
        found = known([image(exhaustive_category_ids=["3", 5.0], neg_category_ids=None)])
        assert (found.exhaustive, found.absent) == ({1: {3, 5}}, {1: set()})

    def test_entries_of_one_file_are_joined(self, known):
        images = [
            image(1, exhaustive_category_ids=[3]),
            {**image(1, exhaustive_category_ids=[5], neg_category_ids=[8]), "id": 2},
        ]
        images[1]["file_name"] = images[0]["file_name"]
        found = known(images, [annotation(), annotation(2, image_id=2, category_id=5)])
        assert (found.exhaustive, found.absent) == ({1: {3, 5}}, {1: {8}})


class TestRegions:
    @pytest.mark.parametrize(
        "flag", [{"iscrowd": 1}, {"ignore": 1}, {"iscrowd": 0, "ignore": True}, {"IsGroupOf": 1}]
    )
    def test_of_one_category(self, known, read, flag):
        found = known(None, [annotation(**flag), annotation(2, ignore=0)])
        assert found.regions == {1: [Region([10, 10, 20, 20], 3)]}
        assert not found.is_stated
        objects = read(dataset(None, [annotation(**flag)]))[0]["annotations"]
        assert [x["iscrowd"] for x in objects] == [1]

    def test_of_all_categories(self, known):
        found = known(None, [annotation(category_id=None, ignore=1), annotation(2)])
        assert found.regions == {1: [Region([10, 10, 20, 20], None)]}

    def test_clipped_or_dropped_like_boxes(self, read):
        annotations = [
            annotation(1, category_id=None, ignore=1, bbox=[90, 40, 30, 30]),
            annotation(2, ignore=1, bbox=[200, 0, 5, 5]),
        ]
        data, report = read(dataset(None, annotations))
        assert known_of(data).regions == {1: [Region([90, 40, 10, 10], None)]}
        assert "repaired: 1 box lies outside its image: dropped (2)" in str(report)
        assert "repaired: 1 box reaches beyond its image: clipped (1)" in str(report)

    def test_only_regions_may_lack_a_category(self, read):
        _, report = read(dataset(None, [annotation(category_id=None)]))
        assert report.is_fatal
        assert "has no usable 'category_id'" in str(report)

    @pytest.mark.parametrize("value", [2, "maybe", [1]])
    def test_no_flag(self, read, value):
        _, report = read(dataset(None, [annotation(ignore=value)]))
        assert "error: 1 annotation has no usable 'ignore': it must be 0 or 1 (1: " in str(report)

    def test_a_polygon_is_taken_by_its_box(self, known):
        region = annotation(
            ignore=1, segmentation=[[10, 5, 30, 5, 20, 25], [40, 10, 45, 10, 45, 12]]
        )
        del region["bbox"]
        assert known(None, [region]).regions == {1: [Region([10, 5, 35, 20], 3)]}

    def test_neither_box_nor_outline(self, read):
        region = annotation(ignore=1, segmentation=[[]])
        del region["bbox"]
        assert "has no usable 'bbox'" in str(read(dataset(None, [region]))[1])

    @pytest.mark.parametrize("seed", range(20))
    def test_rle_as_pycocotools_reads_it(self, seed):
        rng = np.random.default_rng(seed)
        height, width = rng.integers(5, 40, 2)
        pixels = np.zeros((height, width), dtype=np.uint8, order="F")
        pixels[rng.random((height, width)) < [0.005, 0.05, 0.9][seed % 3]] = 1
        pixels[height // 2, width // 2] = 1
        compressed = mask.encode(pixels)
        expected = mask.toBbox(compressed).tolist()
        text = {"size": [int(height), int(width)], "counts": compressed["counts"].decode()}
        assert box_around(text) == expected
        flat = pixels.ravel(order="F").astype(int)
        changes = np.flatnonzero(np.diff(np.r_[0, flat])).tolist()
        runs = np.diff([0, *changes, len(flat)]).tolist()
        assert box_around({**text, "counts": runs}) == expected

    @pytest.mark.parametrize(
        "outline",
        [None, 7, [], [["a", "b"]], {"size": [4, 4]}, {"size": [4, 4], "counts": [3]},
         {"size": [4, 4], "counts": [16]}, {"size": [0, 0], "counts": [0, 0]},
         {"size": [4, 4], "counts": "\u2603"}, {"size": [4, 4], "counts": [-1, 17]}],
    )  # fmt: skip
    def test_no_outline(self, outline):
        assert box_around(outline) is None


class TestRefusal:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"exhaustive_category_ids": [3, 5], "not_exhaustive_category_ids": [5]},
             "error: 1 category is in both exhaustive_category_ids and "
             "not_exhaustive_category_ids: remove it from one (image 7: category 5)"),
            ({"exhaustive_category_ids": "all", "not_exhaustive_category_ids": [5]},
             "(image 7: category 5)"),
            ({"exhaustive_category_ids": [3, 4], "neg_category_ids": [9]},
             "error: 2 categories are said to be known, but the file does not list them "
             "(image 7: 4, image 7: 9)"),
            ({"neg_category_ids": [3]},
             "error: 1 annotation is of a category that neg_category_ids says is not in the "
             "image: remove one or the other (11: category 3 in image 7)"),
            ({"exhaustive_category_ids": 3}, "exhaustive_category_ids of image 7: 3"),
            ({"neg_category_ids": "all"}, "neg_category_ids of image 7: 'all'"),
            ({"not_exhaustive_category_ids": [3, "car"]},
             "not_exhaustive_category_ids of image 7: [3, 'car']"),
            ({"exhaustive_category_ids": [[3]]}, "exhaustive_category_ids of image 7: [[3]]"),
        ],
    )  # fmt: skip
    def test_of_an_image(self, read, fields, message):
        data = dataset([image(7, **fields)], [annotation(11, 7)])
        report = read(data)[1]
        assert report.is_fatal
        assert message in str(report)
        with pytest.raises(InputError) as caught:
            repair_dataset(data, "a.json")
        assert message in str(caught.value)

    def test_of_the_default(self, read):
        report = read(dataset(info={"exhaustive_category_ids": [3, 12]}))[1]
        assert "does not list it ('info': 12)" in str(report)
        report = read(dataset(info={"exhaustive_category_ids": "some"}))[1]
        assert "exhaustive_category_ids of 'info': 'some'" in str(report)

    def test_guesses_and_regions_contradict_nobody(self, read):
        annotations = [annotation(1, origin="mined", score=0.5), annotation(2, ignore=1)]
        assert not read(dataset([image(neg_category_ids=[3])], annotations))[1].is_fatal

    def test_before_an_evaluation_and_a_mining(self, tmp_path):
        data = dataset([image(neg_category_ids=[3])], [annotation()])
        (tmp_path / "a.json").write_text(json.dumps(data))
        assert read_repaired(tmp_path / "a.json")[1].is_fatal


def test_check_counts_what_is_known(command_line, tmp_path):
    images = [image(1, exhaustive_category_ids=[3]), image(2, neg_category_ids=[5])]
    annotations = [annotation(), annotation(2, ignore=1), annotation(3, iscrowd=1)]
    (tmp_path / "a.json").write_text(json.dumps(dataset(images, annotations)))
    done = command_line("check", tmp_path / "a.json")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == (
        f"{tmp_path / 'a.json'}: 2 images, 3 annotations, 3 categories, "
        "1 image with exhaustive categories, 1 image with absent categories, 2 regions to ignore"
    )
    found = json.loads(command_line("check", tmp_path / "a.json", "--json").stdout)
    assert found["known"] == {
        "images with exhaustive categories": 1,
        "images with absent categories": 1,
        "regions to ignore": 2,
    }
