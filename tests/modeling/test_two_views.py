import pytest
import torch

from comining.modeling.two_views import TwoViews
from tests.modeling.helpers import annotations, make_labels

SIZE = (20, 40)
OBJECT = annotations(SIZE, [[0, 0, 10, 10]], [1])
# One box on each of two images, then on their second views.
MINED = make_labels([[0, 0, 9, 9]] * 4, images=[0, 1, 2, 3])


def two_images(withheld):
    tensor = torch.zeros(4, 3, *SIZE)
    return TwoViews(tensor, [SIZE] * 4, flipped=[False, True], withheld=withheld)


@pytest.mark.parametrize(
    ("withheld", "judged", "boxes", "images"),
    [
        ([None, None], [], [], []),
        ([None, OBJECT], [1, 3], [[0, 0, 10, 10], [30, 0, 40, 10]], [1, 3]),
        ([OBJECT, None], [0, 2], [[0, 0, 10, 10]] * 2, [0, 2]),
        ([OBJECT[:0], OBJECT], [0, 1, 2, 3], [[0, 0, 10, 10], [30, 0, 40, 10]], [1, 3]),
        ([OBJECT[:0], OBJECT[:0]], [0, 1, 2, 3], [], []),
    ],
)
def test_mined_boxes_are_judged_where_withheld_objects_are_known(withheld, judged, boxes, images):
    of_known, objects = two_images(withheld).judge(MINED)
    assert of_known.images.tolist() == judged
    assert objects.boxes.tolist() == boxes
    assert objects.images.tolist() == images
    assert objects.classes.tolist() == [1] * len(boxes)
