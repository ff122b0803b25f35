"""An exportable detector finds what the detector finds, whatever it is exported to."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import box_iou, nms

from comining.data.scene_drawing import render_scene
from comining.data.scenes import scene_rng
from comining.engine.export_formats import FORMATS
from comining.errors import InputError
from comining.modeling.export import ExportableDetector, move_apart
from tests.modeling.helpers import LOSSES, each_detector, plain, tiny_model

SIZES = [(96, 128), (128, 75), (41, 33)]
#: In a picture of this size the detectors find nothing.
TOO_SMALL = (16, 8)
MOST = 40
OVERRIDES = (
    "MODEL.RETINANET.SCORE_THRESH_TEST", 0.6,
    "MODEL.RETINANET.TOPK_CANDIDATES_TEST", 60,
    # Domain-specific normalisation counts the levels that it was called for.
    "MODEL.RETINANET.NORM", "BN",
    "MODEL.FCOS.SCORE_THRESH_TEST", 0.6,
    "MODEL.FCOS.TOPK_CANDIDATES_TEST", 60,
    "MODEL.FCOS.NORM", "BN",
    "TEST.DETECTIONS_PER_IMAGE", MOST,
)  # fmt: skip


def scene(height, width):
    """A part of a generated scene."""
    pixels = render_scene(scene_rng(0, "val", 0), 128)[0]
    return torch.from_numpy(np.ascontiguousarray(pixels[:height, :width]))


def detections(detector, image, image_format="BGR"):
    """What detectron2's own inference finds in an RGB picture (H, W, 3)."""
    channels = image.permute(2, 0, 1)
    if image_format == "BGR":
        channels = channels.flip(0)
    with torch.no_grad():
        found = detector([{"image": channels}])[0]["instances"]
    return found.pred_boxes.tensor, found.scores, found.pred_classes


def assert_same(found, expected):
    assert len(expected[0]) == len(found[0])
    torch.testing.assert_close(found[0], expected[0], atol=1e-3, rtol=0)
    torch.testing.assert_close(found[1], expected[1], atol=1e-4, rtol=0)
    assert found[2].dtype == torch.int64
    assert found[2].tolist() == expected[2].tolist()


@each_detector
@pytest.mark.parametrize("image_format", ["BGR", "RGB"])
@pytest.mark.parametrize("prefix", ["CoMining", ""])
def test_it_finds_what_the_detector_finds(detector, image_format, prefix):
    model = tiny_model(*plain(prefix + detector), *OVERRIDES, detector=detector).eval()
    exportable = ExportableDetector(model, image_format)
    numbers = set()
    for size in SIZES:
        expected = detections(model, scene(*size), image_format)
        with torch.no_grad():
            assert_same(exportable(scene(*size)), expected)
        numbers.add(len(expected[0]))
    assert max(numbers) == MOST > min(numbers) > 0


@pytest.fixture(scope="module", params=[(x, y) for x in LOSSES for y in FORMATS], ids="-".join)
def pair(request):
    """A detector, and itself, exported while it looked at a picture in which it finds nothing."""
    detector, file_format = request.param
    model = tiny_model(*OVERRIDES, detector=detector).eval()
    with torch.no_grad():
        content = FORMATS[file_format].write(
            ExportableDetector(model, "BGR"), scene(*TOO_SMALL), {}
        )
    return model, FORMATS[file_format].run(content)


@pytest.mark.parametrize("size", SIZES)
def test_exported_detector_finds_the_same_in_every_size(pair, size):
    detector, exported = pair
    expected = detections(detector, scene(*size))
    assert len(expected[0]) > 0
    assert_same(exported(scene(*size)), expected)


def test_exported_detector_may_find_nothing(pair):
    detector, exported = pair
    assert len(detections(detector, scene(*TOO_SMALL))[0]) == 0
    assert [tuple(x.shape) for x in exported(scene(*TOO_SMALL))] == [(0, 4), (0,), (0,)]


def test_suppression_is_within_classes():
    """Boxes that lie mostly outside of the picture are moved apart like all others."""
    boxes = torch.tensor([[-90.0, -90, 10, 10], [0, 0, 100, 100], [0, 0, 99, 99]])
    for classes in ([0, 1, 1], [8, 7, 7], [3, 2, 2], [6, 5, 5]):
        moved = move_apart(boxes, torch.tensor(classes), 9)
        overlap = box_iou(moved, moved)
        assert overlap[0, 1:].tolist() == [0, 0]
        assert overlap[1, 2] == pytest.approx(0.9801)
        assert nms(moved, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 1]


def test_other_detectors_and_formats_are_refused():
    with pytest.raises(InputError, match="a Linear can't be exported, only a RetinaNet or FCOS"):
        ExportableDetector(nn.Linear(1, 1), "BGR")
    with pytest.raises(InputError, match=r"INPUT\.FORMAT is YUV-BT\.601; only BGR and RGB"):
        ExportableDetector(tiny_model(), "YUV-BT.601")
