"""A training step on the pretended GPU."""

from copy import deepcopy

import pytest
import torch
from detectron2.utils.events import EventStorage

from comining.modeling.adaptive import CLOSE, ON_OBJECT, RIGHT
from tests.gpu.fake_device import DEVICE, STAGED_BYTES, FakeDevice
from tests.modeling.helpers import (
    annotations,
    each_detector,
    items,
    plain,
    tiny_model,
    two_items,
    with_frames,
)

SIZE = (128, 192)

#: By detector and kind of threshold, how often the host waits in a step, forward and backward.
WAITS = {
    ("RetinaNet", "fixed"): 10,
    ("FCOS", "fixed"): 9,
    ("RetinaNet", "adaptive"): 13,
    ("FCOS", "adaptive"): 12,
}
#: By the number of candidates that a level may have in an image, how often beside that.
MORE_WAITS = {10_000: 0, 10: 2}
each_threshold = pytest.mark.parametrize("threshold", ["fixed", "adaptive"])


def batch(num_images):
    """More than CUDA copies while the host goes on, as images are."""
    images = items(*[(SIZE, [[8, 10, 40, 44], [50, 20, 170, 110]], [0, 2])] * num_images)
    assert images[0]["image"].nbytes > STAGED_BYTES
    return images


@pytest.fixture(scope="module")
def built():
    """By detector and kind of threshold, a model on the CPU that mirrors every second view."""
    models = {}

    def build(detector, threshold):
        key = detector, threshold
        if key not in models:
            models[key] = model = tiny_model(
                "MODEL.COMINING.THRESHOLD", threshold, "MODEL.COMINING.VIEW.FLIP_PROB", 1.0,
                "VIS_PERIOD", 1, detector=detector,
            )  # fmt: skip
            if threshold == "adaptive":
                model.adaptive.counts[[RIGHT, ON_OBJECT, CLOSE]] = (
                    1000  # all that it found was right
                )
        return deepcopy(models[key])

    return build


def losses_and_gradients(model, images, iteration=1):
    # Not in iteration 0, in which thresholds begin anew.
    with EventStorage(iteration) as storage:
        losses = model(images)
    sum(losses.values()).backward()
    gradients = {name: x.grad.cpu() for name, x in model.named_parameters() if x.grad is not None}
    return {name: loss.item() for name, loss in losses.items()}, gradients, storage


def assert_close(found, expected):
    """But for the last digits of sums, which depend on where in memory their terms lie."""
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-3, atol=1e-6)


@each_threshold
@each_detector
def test_nothing_of_a_step_stays_on_the_host(detector, threshold, built):
    """With that, losses, gradients and logs are those of the CPU."""
    expected = losses_and_gradients(built(detector, threshold), two_items()[:1])
    with FakeDevice() as device:
        found = losses_and_gradients(built(detector, threshold).to(DEVICE), two_items()[:1])
    assert device.refused == []
    assert_close(found, expected)
    logged = found[2].latest()
    assert logged == expected[2].latest()
    assert logged["comining/mined_per_image"][0] > 0
    assert ("comining/mining_above" in logged) == (threshold == "adaptive")
    assert len(found[2]._vis_data) == 1


@pytest.mark.parametrize(("num_images", "topk"), [(1, 10_000), (2, 10_000), (1, 10)])
@each_threshold
@each_detector
def test_how_often_the_host_waits(detector, threshold, num_images, topk, built):
    with FakeDevice() as device:
        model = built(detector, threshold).to(DEVICE)
        model.mining_log.vis_period = 0
        model.test_topk_candidates = topk
        images = batch(num_images)
        device.waits.clear()
        with EventStorage(1) as storage:
            losses = model(images)
        sum(losses.values()).backward()
    assert storage.latest()["comining/mined_per_image"][0] > 0
    expected = WAITS[detector, threshold] + MORE_WAITS[topk]
    assert len(device.waits) == expected, device.counts()


@each_detector
def test_the_plain_detector_on_the_device(detector):
    model = tiny_model(*plain(detector), detector=detector)
    expected = losses_and_gradients(deepcopy(model), two_items()[:1])
    with FakeDevice():
        assert_close(losses_and_gradients(model.to(DEVICE), two_items()[:1]), expected)


@each_detector
def test_what_is_known_of_images_on_the_device(detector, built):
    """It adds five waits: for what may still be mined, for what is only doubtful, twice, for where
    anchors are partial, and on how many of each level."""
    known = {
        "exhaustive": [0],
        "ignored": annotations((64, 96), [[30, 10, 80, 50], [0, 0, 20, 20]], [1, -1]),
    }
    images = [{**two_items()[0], **known}]
    expected = losses_and_gradients(built(detector, "adaptive"), images)
    waits = []
    for batch in (images, two_items()[:1]):
        with FakeDevice() as device:
            model = built(detector, "adaptive").to(DEVICE)
            device.waits.clear()
            found = losses_and_gradients(model, batch)
        assert device.refused == []
        waits.append(len(device.waits))
        if batch is images:
            assert_close(found, expected)
    assert found[0] != expected[0]
    assert waits[0] - waits[1] == 5


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("CoStudent", {"SCORE_THRESH": 0.3, "TEACHER_THRESH": 0.3}),
        ("CalibratedTeacher", {"SCORE_THRESH": 0.3, "PRECISION": 0.3, "PERIOD": 1}),
        ("S2Teacher", {"SCORE_THRESH": 0.3}),
    ],
)
def test_methods_with_a_teacher_on_the_device(name, settings):
    """In an iteration in which they do all that they ever do."""
    node = f"MODEL.COMINING.{name.upper()}."
    words = [word for key, value in settings.items() for word in (node + key, value)]
    words += ["MODEL.COMINING.METHOD", name, "SOLVER.MAX_ITER", 2]
    model = tiny_model(*words, "MODEL.COMINING.VIEW.FLIP_PROB", 1.0)
    model.teacher.update(model, 0)
    model.teacher.head.cls_score.bias += 0.5
    if name == "S2Teacher":  # entropies of 5, give or take 5, are usual
        model.entropy.moments[:] = torch.tensor([[10.0], [50.0], [500.0]])
    batch = with_frames(two_items()[:1])
    if name == "S2Teacher":  # what it found before freezes part of what it finds
        losses_and_gradients(model, batch, iteration=1)
        model.zero_grad()
        for rows in model.memory.remembered.values():
            rows[::2, 5] = 2
    expected = losses_and_gradients(deepcopy(model), batch, iteration=2)
    with FakeDevice() as device:
        found = losses_and_gradients(model.to(DEVICE), batch, iteration=2)
    assert device.refused == []
    assert_close(found, expected)
    assert found[2].latest() == expected[2].latest()
    assert found[2].latest()["comining/mined_per_image"][0] > 0
    if name == "S2Teacher":
        assert found[2].latest()["comining/frozen_per_image"][0] > 0


@each_detector
def test_background_recalibration_on_the_device(detector):
    model = tiny_model("MODEL.COMINING.METHOD", "BRL", detector=detector)
    expected = losses_and_gradients(deepcopy(model), two_items()[:1])
    with FakeDevice() as device:
        found = losses_and_gradients(model.to(DEVICE), two_items()[:1])
    assert device.refused == []
    assert_close(found, expected)
