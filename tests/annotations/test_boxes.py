"""Boxes that a whole file has in another form than COCO's."""

import json

import numpy as np
import pytest

from comining.annotations.coco_file import read_coco

# XYWH in an image of 64 x 48 pixels, most of them in its right or lower half.
BOXES = [[29, 25, 20, 20], [29, 5, 20, 20], [14, 21, 20, 20], [18, 3, 20, 20], [39, 4, 20, 20]]


@pytest.fixture
def errors(tmp_path):
    """The errors in a file of one image with the given boxes."""

    def read(boxes):
        dataset = {
            "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [
                {"id": id_, "image_id": 1, "category_id": 1, "bbox": box}
                for id_, box in enumerate(boxes, start=1)
            ],
        }
        (tmp_path / "a.json").write_text(json.dumps(dataset))
        findings = read_coco(tmp_path / "a.json")[1].findings
        return [str(x) for x in findings if x.severity == "error"]

    return read


def corners(box):
    x, y, width, height = box
    return [x, y, x + width, y + height]


def test_corners_given_as_sizes(errors):
    (error,) = errors([corners(box) for box in BOXES])
    assert error.startswith("error: 4 of 5 boxes would reach far beyond their image")
    assert "Write x1 - x0 and y1 - y0" in error


def test_fractions_of_the_image(errors):
    (error,) = errors([(np.array(box) / [64, 48, 64, 48]).tolist() for box in BOXES])
    assert error.startswith("error: all boxes lie between 0 and 1")
    assert "Multiply x and width by its width" in error
    (error,) = errors([[0, 0, 1, 1]])
    assert error.startswith("error: all boxes lie between 0 and 1")


@pytest.mark.parametrize(
    "boxes",
    [
        [],
        BOXES,
        [[0, 0, 64, 48]],
        # Counted from 1, and so a pixel beyond the edge.
        [[1, 1, 64, 48], [2, 1, 63, 48]],
        # Large objects in the middle.
        [[5, 5, 50, 40], [4, 4, 58, 42]],
        # One small box among others, and one that is off.
        [[0, 0, 1, 1], *BOXES],
        [[30, 20, 60, 40], *BOXES],
        # No boxes at all.
        [[0, 0, 0, 0]],
    ],
    ids=str,
)
def test_boxes_in_pixels(boxes, errors):
    assert errors(boxes) == []
