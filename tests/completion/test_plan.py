"""Settings that follow from a data set."""

import numpy as np
import pytest
import torch
import torchvision

from comining.completion import machine as machines
from comining.completion.machine import (
    COCO_WEIGHTS,
    TRUNK_WEIGHTS,
    Machine,
    checked_trunk,
    this_machine,
    with_weights,
)
from comining.completion.plan import choose_scale, make_plan
from comining.errors import InputError

CPU, GPUS = Machine("cpu", 1), Machine("cuda", 4, COCO_WEIGHTS)


def dataset(width, height, box, number=20, categories=1):
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": width, "height": height} for i in range(4)
        ],
        "annotations": [
            {"id": i, "image_id": i % 4, "category_id": 1 + i % categories, "bbox": [0, 0, *box]}
            for i in range(number)
        ],
        "categories": [{"id": 1 + i, "name": f"c{i}"} for i in range(categories)],
    }


def settings(data, machine=CPU):
    return {choice.key: choice.value for choice in make_plan(data, machine)}


@pytest.mark.parametrize(
    ("size", "edge", "short"),
    [
        ((640, 480), 100, 192),  # objects get 40 network pixels, sides are multiples of 8
        ((50, 50), 10, 96),  # enlarged by 2 at most
        ((2000, 2000), 20, 480),  # as large as a CPU can afford
        ((60, 60), 60, 64),  # never below 64
    ],
)
def test_input_size(size, edge, short):
    scale = choose_scale(np.array([size], dtype=float), np.full((5, 2), float(edge)), CPU)
    assert scale.short_edge == short
    assert scale.object_edge == pytest.approx(edge * short / min(size))


def test_classes_and_what_is_known_of_them():
    plan = make_plan(dataset(640, 480, (90, 90), categories=3), CPU)
    (classes,) = [x for x in plan if x.key == "MODEL.RETINANET.NUM_CLASSES"]
    assert classes.value == 3
    assert "c0 7, c1 7, c2 6" in classes.why


def test_anchors_are_in_network_pixels():
    chosen = settings(dataset(640, 480, (96, 96)))
    factor = chosen["INPUT.MIN_SIZE_TEST"] / 480
    smallest = chosen["MODEL.ANCHOR_GENERATOR.SIZES"][0][0]
    assert smallest == pytest.approx(96 * factor * 2**0.25, rel=0.01)


def test_trainings_see_crops_if_objects_fit_into_them():
    chosen = settings(dataset(640, 480, (96, 96)))
    assert chosen["INPUT.MIN_SIZE_TEST"] == 200  # objects of 40 pixels
    assert chosen["INPUT.CROP.SIZE"] == [0.7, 0.7]
    assert chosen["INPUT.MIN_SIZE_TRAIN"] == [128, 144, 168]  # 0.7 * 200 times 0.9, 1 and 1.2
    large_images = settings(dataset(2000, 2000, (160, 160)))
    assert large_images["INPUT.MIN_SIZE_TEST"] == 480
    assert large_images["INPUT.CROP.SIZE"] == [0.5, 0.5]  # of 240 x 240 pixels
    assert large_images["SOLVER.IMS_PER_BATCH"] == 4
    large = settings(dataset(640, 480, (210, 210)))
    assert "INPUT.CROP.ENABLED" not in large
    assert large["INPUT.MIN_SIZE_TRAIN"] == [large["INPUT.MIN_SIZE_TEST"]]
    assert "INPUT.CROP.ENABLED" not in settings(dataset(640, 480, (96, 96)), GPUS)


def test_many_images_are_seen_as_small_as_there_is_time_for():
    def edge(number, minutes):
        data = dataset(2000, 2000, (20, 20))
        data["images"] = [{**data["images"][0], "id": i} for i in range(number)]
        chosen = {x.key: x.value for x in make_plan(data, CPU, minutes=minutes)}
        return chosen["INPUT.MIN_SIZE_TEST"]

    assert edge(1000, 10) == 320  # of 100,000 pixels
    assert edge(1000, 60) == 480  # of 230,000, as large as it gets
    assert edge(100_000, 10) == 240  # of 56,000, as small as it gets


def test_crowds_do_not_count():
    data = dataset(640, 480, (96, 96))
    data["annotations"].append(
        {"id": 99, "image_id": 0, "category_id": 1, "bbox": [0, 0, 600, 400], "iscrowd": 1}
    )
    assert settings(data) == settings(dataset(640, 480, (96, 96)))


def test_gpus_start_from_weights_with_their_own_anchors():
    chosen = settings(dataset(4000, 3000, (300, 300)), GPUS)
    assert chosen["MODEL.WEIGHTS"].startswith("detectron2://COCO-Detection/retinanet_R_50")
    assert "MODEL.ANCHOR_GENERATOR.SIZES" not in chosen
    assert chosen["SOLVER.IMS_PER_BATCH"] == 16
    assert chosen["SOLVER.BASE_LR"] == 0.01
    assert chosen["INPUT.MIN_SIZE_TEST"] == 800
    assert chosen["SOLVER.AMP.ENABLED"] is True


def test_gpus_without_weights_learn_from_scratch_with_anchors_that_fit():
    chosen = settings(dataset(640, 480, (96, 96)), Machine("cuda", 2))
    assert chosen["MODEL.WEIGHTS"] == ""
    assert "MODEL.ANCHOR_GENERATOR.SIZES" in chosen
    assert chosen["SOLVER.IMS_PER_BATCH"] == 16
    assert "SOLVER.BASE_LR" not in chosen
    assert Machine("cuda", 2).base == "Base-SmallData"


def test_trunk_with_weights_gets_anchors_that_fit_and_its_own_base():
    machine = Machine("cpu", 1, trunk="mobilenet.pth")
    chosen = settings(dataset(640, 480, (96, 96)), machine)
    from_scratch = settings(dataset(640, 480, (96, 96)))
    assert chosen == {**from_scratch, "MODEL.WEIGHTS": "mobilenet.pth"}
    assert machine.base == "Base-SmallTrunk"


def test_weights_are_taken_where_they_can_be_had(monkeypatch):
    asked = []
    monkeypatch.setattr(machines, "weights_file", asked.append)
    assert with_weights(Machine("cuda", 2)) == Machine("cuda", 2, COCO_WEIGHTS)
    assert with_weights(CPU) == Machine("cpu", 1, trunk=TRUNK_WEIGHTS)
    assert asked == [COCO_WEIGHTS, TRUNK_WEIGHTS]

    def unreachable(address):
        if address in away:
            raise OSError("no route to host")

    monkeypatch.setattr(machines, "weights_file", unreachable)
    away = [COCO_WEIGHTS]
    assert with_weights(Machine("cuda", 2)) == Machine("cuda", 2, trunk=TRUNK_WEIGHTS)
    away.append(TRUNK_WEIGHTS)
    assert with_weights(Machine("cuda", 2)) == Machine("cuda", 2)


def test_weights_that_are_given_are_taken_unasked(monkeypatch):
    monkeypatch.setattr(machines, "weights_file", None)
    assert with_weights(CPU, "mobilenet.pth") == Machine("cpu", 1, trunk="mobilenet.pth")
    assert with_weights(Machine("cuda", 2), "") == Machine("cuda", 2)


def test_weights_that_are_given_are_a_mobilenet_wherever_they_are_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trunk = torchvision.models.mobilenet_v2().state_dict()
    trunk = {name: value for name, value in trunk.items() if name.startswith("features.")}
    forms = {
        "trunk.pth": trunk,
        "wrapped.pth": {"state_dict": {f"module.{name}": x for name, x in trunk.items()}},
        "detector.pth": {
            "model": {f"backbone.bottom_up.body.{name}": x for name, x in trunk.items()}
        },
    }
    for name, content in forms.items():
        torch.save(content, name)
        assert checked_trunk(name) == str(tmp_path / name)
    name = "features.1.conv.0.0.weight"
    torch.save({**trunk, name: torch.zeros(3)}, "other.pth")
    with pytest.raises(InputError, match=rf"other.pth is not of a .*: {name} has another shape"):
        checked_trunk("other.pth")
    torch.save({"conv1.weight": torch.zeros(3)}, "resnet.pth")
    with pytest.raises(InputError, match=r"resnet.pth .*: features\.0\.0\.weight is missing"):
        checked_trunk("resnet.pth")


def test_all_gpus_or_the_one_that_is_asked_for(monkeypatch):
    assert this_machine() == CPU
    with pytest.raises(InputError, match="--device cuda:1: torch finds no GPU here"):
        this_machine("cuda:1")
    monkeypatch.setattr(machines.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machines.torch.cuda, "device_count", lambda: 8)
    assert this_machine() == Machine("cuda", 8)
    assert this_machine("cuda:3") == Machine("cuda:3", 1)
    assert this_machine("cpu") == CPU


def test_every_choice_but_the_obvious_has_a_reason():
    reasons = {x.key: x.why for x in make_plan(dataset(640, 480, (96, 96)), CPU)}
    for key in ("INPUT.MIN_SIZE_TRAIN", "MODEL.ANCHOR_GENERATOR.SIZES", "MODEL.WEIGHTS"):
        assert reasons[key]
