"""What the tests of a review share."""

import pytest


@pytest.fixture
def completed():
    """Two images: the first has an annotated box, one mined of either category."""
    return {
        "info": {"mined": {"weights": "model.pth"}},
        "images": [
            {"id": 4, "file_name": "a/cat 1.jpg", "width": 200, "height": 100},
            {"id": 2, "file_name": "b.jpg", "width": 30, "height": 30},
        ],
        "annotations": [
            {"id": 9, "image_id": 4, "category_id": 3, "bbox": [20, 10, 30, 40], "area": 900,
             "segmentation": [[20, 10, 50, 10, 20, 50]], "iscrowd": 0, "note": "kept"},
            {"id": 10, "image_id": 4, "category_id": 3, "bbox": [100.5, 0, 50, 25.25],
             "area": 1262.5, "iscrowd": 0, "score": 0.9, "origin": "mined"},
            {"id": 11, "image_id": 4, "category_id": 1, "bbox": [0, 0, 10, 10], "area": 100,
             "iscrowd": 0, "score": 0.6, "origin": "mined"},
            {"id": 12, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"id": 13, "image_id": 2, "category_id": 1, "bbox": [9, 9, 3, 4], "area": 12,
             "iscrowd": 0, "score": 0.7, "origin": "mined"},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": 'a "dog"'}],
    }  # fmt: skip
