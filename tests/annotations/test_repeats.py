"""Images and categories that a file lists several times."""

import json

import pytest

from comining.annotations.coco_file import read_coco
from comining.annotations.sparse import make_sparse
from comining.errors import InputError


def image(id_, name="a.png", width=100, height=80):
    return {"id": id_, "file_name": name, "width": width, "height": height}


def make_dataset(images, boxes, categories=({"id": 5, "name": "cat"},)):
    """With (image id, box) pairs, of the first category; ids from 1."""
    annotations = [
        {"id": id_, "image_id": image_id, "category_id": 5, "bbox": box}
        for id_, (image_id, box) in enumerate(boxes, start=1)
    ]
    return {"images": images, "annotations": annotations, "categories": list(categories)}


@pytest.fixture
def read(tmp_path):
    def write_and_read(dataset):
        (tmp_path / "a.json").write_text(json.dumps(dataset))
        return read_coco(tmp_path / "a.json")

    return write_and_read


ONE_BOX_EACH = make_dataset(
    [image(1), image(2), image(3, "./a.png"), image(4, "b.png"), image(7, "c/../a.png")],
    [(1, [0, 0, 10, 10]), (2, [40, 0, 10, 10]), (3, [0, 40, 10, 10]), (4, [0, 0, 10, 10])],
)


def test_entries_of_one_file_become_one_image_with_all_annotations(read):
    dataset, report = read(ONE_BOX_EACH)
    assert dataset["images"] == [image(1), image(4, "b.png")]
    assert [(x["id"], x["image_id"]) for x in dataset["annotations"]] == [
        (1, 1), (2, 1), (3, 1), (4, 4)
    ]  # fmt: skip
    (finding,) = report.findings
    assert str(finding).startswith("repaired: 1 image file is listed several times")
    assert "(a.png: ids 1, 2, 3, 7)" in str(finding)


def test_an_entry_that_is_listed_twice_with_its_id_is_one_image(read):
    dataset, report = read(make_dataset([image(1), image(1)], [(1, [0, 0, 10, 10])]))
    assert dataset["images"] == [image(1)]
    assert not report.is_fatal


def test_annotations_that_the_entries_have_alike_are_kept_once(read):
    boxes = [(1, [0, 0, 10, 10]), (1, [40, 0, 9, 9]), (2, [0, 0, 10, 10]), (2, [40, 0, 9, 9])]
    dataset, report = read(make_dataset([image(1), image(2)], boxes))
    assert [x["id"] for x in dataset["annotations"]] == [1, 2]
    assert "2 annotations are in other entries of their file, too: dropped (3, 4)" in str(report)


def test_versions_of_several_annotators_are_an_error(read):
    boxes = [(1, [0, 0, 20, 20]), (1, [40, 0, 30, 30]), (2, [1, 0, 20, 20]), (2, [40, 1, 30, 29])]
    _, report = read(make_dataset([image(1), image(2)], boxes))
    assert report.is_fatal
    assert "with versions of the same boxes, as of several annotators" in str(report)
    assert "(a.png: ids 1, 2)" in str(report)


def test_entries_of_different_sizes_are_an_error(read):
    _, report = read(make_dataset([image(1), image(2, width=90)], []))
    assert report.is_fatal
    assert "with different sizes: keep one entry per file (a.png: ids 1, 2)" in str(report)


def test_an_id_of_two_files_is_an_error(read):
    _, report = read(make_dataset([image(1), image(2), image(2, "b.png")], []))
    assert report.is_fatal
    assert "1 image id occurs twice (2)" in str(report)


def test_files_of_one_name_in_different_folders_are_different(read):
    images = [image(1, "a/x.png"), image(2, "b/x.png"), image(3, "A/x.png")]
    dataset, report = read(make_dataset(images, []))
    assert dataset["images"] == images
    assert not report.findings


def test_categories_of_the_same_id_and_name_are_one(read):
    """As VIA writes them."""
    cat, dog = {"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}
    dataset, report = read(
        make_dataset([image(1)], [], [cat, dog, {**cat, "supercategory": "x"}, cat])
    )
    assert dataset["categories"] == [cat, dog]
    (finding,) = report.findings
    assert str(finding) == (
        "repaired: 1 category is listed several times with the same id and name: taken for one "
        "(5: 'cat')"
    )


def test_a_sparse_version_counts_the_boxes_of_all_entries_of_a_file():
    sparse = make_sparse(ONE_BOX_EACH, "extreme", seed=0, file_name="a.json")
    assert [x["id"] for x in sparse["images"]] == [1, 4]
    assert sorted(x["image_id"] for x in sparse["annotations"]) == [1, 4]
    contradicting = {**ONE_BOX_EACH, "images": [*ONE_BOX_EACH["images"], image(9, width=3)]}
    with pytest.raises(InputError, match=r"different sizes.*a\.png: ids 1, 2, 3, 7, 9"):
        make_sparse(contradicting, "extreme", seed=0, file_name="a.json")
