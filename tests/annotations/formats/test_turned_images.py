"""Annotations of images that are stored turned, by tools that know of it and by others."""

import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from comining.annotations.formats import read_annotations, write_annotations
from comining.annotations.formats.geometry import turned, turned_back


def coco(width, height, bbox):
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": width, "height": height}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": bbox}],
    }


@pytest.fixture
def marked(tmp_path):
    """Writes an image of 30 x 20 whose pixels are white from (4, 2) to (10, 7)."""

    def write(orientation):
        pixels = np.zeros((20, 30), np.uint8)
        pixels[2:7, 4:10] = 255
        image = Image.fromarray(pixels)
        exif = image.getexif()
        exif[0x0112] = orientation
        (tmp_path / "images").mkdir()
        image.save(tmp_path / "images" / "a.png", exif=exif)
        return tmp_path / "images"

    return write


def white(image):
    rows, columns = np.nonzero(np.asarray(image))
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return [float(x) for x in (left, top, right - left, bottom - top)]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_in_the_picture_as_it_is_stored_are_turned_and_turned_back(
    orientation, marked, tmp_path, helpers
):
    images = marked(orientation)
    (tmp_path / "coco.json").write_text(json.dumps(coco(30, 20, [4, 2, 6, 5])))
    source = read_annotations(tmp_path / "coco.json", images)
    image = source.dataset["images"][0]
    assert (image["width"], image["height"]) == (20, 30)
    with Image.open(images / "a.png") as opened:
        expected = white(ImageOps.exif_transpose(opened))
    assert source.dataset["annotations"][0]["bbox"] == expected
    assert source.notes == [
        "1 image is described as stored, not as the camera was held: boxes turned"
    ]
    dataset = helpers.changed(source, add=[("a.png", "cat", expected, 0.5)])
    content = json.loads(write_annotations(source, dataset, tmp_path / "out").read_text())
    assert [x["bbox"] for x in content["annotations"]] == [[4, 2, 6, 5], [4, 2, 6, 5]]
    assert content["images"] == coco(30, 20, [])["images"]


def test_boxes_in_the_upright_picture_stay(marked, tmp_path):
    images = marked(6)
    (tmp_path / "coco.json").write_text(json.dumps(coco(20, 30, [4, 2, 6, 5])))
    source = read_annotations(tmp_path / "coco.json", images)
    assert source.dataset["annotations"][0]["bbox"] == [4, 2, 6, 5]
    assert source.notes == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_back_undoes_turning(orientation):
    box = (1.0, 2.0, 5.0, 9.0)
    assert turned_back(turned(box, orientation, (20, 30)), orientation, (20, 30)) == box
