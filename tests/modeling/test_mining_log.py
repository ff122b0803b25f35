"""What a training step logs of its mining."""

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import distributed

from comining.modeling import Step, Supervision
from comining.modeling.mining_log import MiningLog
from comining.modeling.picture import draw_views
from comining.modeling.two_views import TwoViews
from tests.modeling.helpers import annotations, each_detector, items, make_labels, tiny_model
from tests.processes import in_two_processes

LIME, BLUE, RED = (0, 255, 0), (0, 191, 255), (255, 0, 0)
BGR = (10, 100, 200)  # of every pixel of the image
# On the original view a box of class 1 and one on the annotated box, on the second view one.
FOUND = make_labels(
    [[50, 20, 90, 60], [8, 10, 40, 44], [51, 20, 90, 60]],
    classes=[1, 0, 1],
    images=[0, 0, 1],
    scores=[0.9, 0.8, 0.7],
)


def batch(withheld=None):
    (item,) = items(((64, 96), [[8, 10, 40, 44]], [0]))
    item["image"] = torch.tensor(BGR, dtype=torch.uint8).view(3, 1, 1).repeat(1, 64, 96)
    if withheld is not None:
        item["withheld"] = annotations((64, 96), withheld, [1] * len(withheld))
    return [item]


@pytest.fixture
def logged():
    """What is in the storage after steps that mine `FOUND`."""

    def run(*overrides, detector="RetinaNet", steps=1, **data):
        model = tiny_model(*overrides, detector=detector)
        model.mine = lambda outputs, score_thresh, max_per_image: FOUND
        with EventStorage() as storage:
            for _ in range(steps):
                model(batch(**data))
                storage.step()
        return storage

    return run


@each_detector
def test_scalars_of_both_branches(logged, detector):
    latest = {k: v for k, (v, _) in logged(detector=detector).latest().items() if "comining" in k}
    assert latest == pytest.approx(
        {
            # The original learns from what the second view found, and the other way round.
            "comining/mined_per_image": 1,
            "comining/mined_per_image_aug": 1,
            "comining/mined_score": 0.7,
            "comining/mined_score_aug": 0.9,
            "comining/rediscovered": 1,
            "comining/rediscovered_aug": 0,
            "comining/agreement": 0.5,
            "comining/agreement_aug": 1,
        }
    )


def test_precision_and_recall_where_withheld_objects_are_known(logged):
    latest = logged(withheld=[[50, 20, 90, 60], [0, 0, 9, 9]]).latest()
    for suffix in ("", "_aug"):
        assert latest[f"comining/mined_precision{suffix}"][0] == 1
        assert latest[f"comining/mined_recall{suffix}"][0] == 0.5


def test_now_and_then_the_number_mined_of_each_class(logged):
    latest = logged("VIS_PERIOD", 2, steps=3).latest()
    # Of iterations 1 and 2; iteration 0 was told at once.
    assert latest["comining/mined_of_class/1"] == (2, 2)
    assert latest["comining/mined_of_class/1_aug"] == (2, 2)
    assert latest["comining/mined_of_class/0"] == (0, 2)


def log_in_a_process_of_its_own(rank, folder):
    """Each process mines a box of another class."""
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    images = TwoViews(torch.zeros(2, 3, 8, 8), [(8, 8)] * 2, flipped=[False], withheld=[None])
    mined = make_labels([[0, 0, 4, 4]], classes=[rank])
    with EventStorage() as storage:
        step = Step(images, detections=mined, annotated=make_labels([]), iteration=0)
        log = MiningLog(("", "_aug"), num_classes=3, vis_period=1)
        log(step, Supervision(mined), torch.Tensor.byte)
    torch.save({name: value for name, (value, _) in storage.latest().items()}, folder / f"{rank}")


def test_the_number_mined_of_each_class_is_that_of_all_processes(tmp_path):
    in_two_processes(log_in_a_process_of_its_own, tmp_path)
    logged = torch.load(tmp_path / "0")
    assert [logged[f"comining/mined_of_class/{class_}"] for class_ in range(3)] == [1, 1, 0]


def test_now_and_then_a_picture_of_both_views(logged):
    jitter = ("MODEL.COMINING.VIEW.JITTER_PROB", 0.0)
    storage = logged("VIS_PERIOD", 2, *jitter, steps=3, withheld=[[0, 50, 9, 60]])
    pictures = {(name, iteration): picture for name, picture, iteration in storage._vis_data}
    assert list(pictures) == [("comining/views", 0), ("comining/views", 2)]
    picture = pictures["comining/views", 2]
    assert picture.dtype == np.uint8
    assert picture.shape == (3, 64, 192)
    for offset, mined_from in ((0, 51), (96, 50)):
        assert tuple(picture[:, 20, offset + 24]) == BGR[::-1]
        assert tuple(picture[:, 10, offset + 24]) == LIME
        assert tuple(picture[:, 40, offset + mined_from]) == BLUE
        assert tuple(picture[:, 50, offset + 4]) == RED


def test_no_picture_unless_wanted(logged):
    storage = logged(steps=2)
    assert storage._vis_data == []
    assert not any("mined_of_class" in name for name in storage.latest())


def test_boxes_of_a_diverging_detector_are_drawn_in_no_time():
    far_out = make_labels([[-1e9, -1e9, 1e9, 1e9], [10, 10, 1e9, 20]])
    nothing = make_labels([])
    views = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
    picture = draw_views(views, {"mined": (far_out, nothing)})
    assert tuple(picture[:, 10, 20].tolist()) == BLUE
    assert (picture[:, :, 32:] == 100).all()
