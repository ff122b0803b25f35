"""The numerical contract: what the paper's reference implementation computed in float64."""

import json
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from comining import add_comining_config
from tests.golden import case as golden

CASES = sorted(Path(golden.__file__).parent.glob("*.json"))


def retinanet_config(case):
    cfg = get_cfg()
    add_comining_config(cfg)
    cfg.merge_from_list(
        [
            "MODEL.META_ARCHITECTURE", "CoMiningRetinaNet",
            "MODEL.DEVICE", "cpu",
            "MODEL.BACKBONE.NAME", "build_retinanet_resnet_fpn_backbone",
            "MODEL.RESNETS.DEPTH", case["depth"],
            "MODEL.RESNETS.OUT_FEATURES", ["res3", "res4", "res5"],
            "MODEL.ANCHOR_GENERATOR.SIZES",
            [[x, x * 2 ** (1 / 3), x * 2 ** (2 / 3)] for x in (32, 64, 128, 256, 512)],
            "MODEL.FPN.IN_FEATURES", ["res3", "res4", "res5"],
            "MODEL.RETINANET.IOU_THRESHOLDS", [0.4, 0.5],
            "MODEL.RETINANET.IOU_LABELS", [0, -1, 1],
            "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA", 0.1,
            "MODEL.RETINANET.NUM_CLASSES", case["num_classes"],
            "MODEL.COMINING.SCORE_THRESH", case["score_thresh"],
            "MODEL.COMINING.IOU_THRESH", case["iou_thresh"],
        ]
    )  # fmt: skip
    return cfg


@pytest.fixture(scope="module", params=CASES, ids=lambda path: path.stem)
def case(request):
    return json.loads(request.param.read_text())


def build(case):
    model = build_model(retinanet_config(case))
    state = model.state_dict()
    golden.fill_weights(state, case["seed"])
    golden.calibrate_head(state, case)
    model.load_state_dict(state)
    return model


def batch(case):
    items = []
    for raw in golden.make_inputs(case):
        instances = Instances(raw["image"].shape[1:])
        instances.gt_boxes = Boxes(raw["boxes"].float())
        instances.gt_classes = raw["classes"]
        items.append(
            {
                "image": raw["image"].float(),
                "image_aug": raw["image_aug"].float(),
                "instances": instances,
            }
        )
    return items


def test_first_losses_and_gradients(case):
    model, expected = build(case), case["expected"]
    with EventStorage():
        losses = model(batch(case))
    assert losses.keys() == expected["steps"][0].keys()
    for name, value in expected["steps"][0].items():
        assert losses[name].item() == pytest.approx(value, rel=1e-5), name
    sum(losses.values()).backward()
    parameters = dict(model.named_parameters())
    for name, value in expected["gradients"].items():
        gradient = parameters[name].grad.double()
        assert gradient.sum().item() == pytest.approx(value["sum"], abs=1e-3 * value["abs_sum"]), (
            name
        )
        assert gradient.abs().sum().item() == pytest.approx(value["abs_sum"], rel=1e-3), name
        first = torch.tensor(value["first"], dtype=torch.float64)
        torch.testing.assert_close(
            gradient.flatten()[: len(first)],
            first,
            rtol=1e-3,
            atol=1e-3 * value["abs_sum"] / gradient.numel(),
        )


def test_losses_of_later_steps(case):
    model = build(case)
    inputs = batch(case)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=case["sgd_lr"], momentum=0.9)
    for expected in case["expected"]["steps"]:
        with EventStorage():
            losses = model(inputs)
        for name, value in expected.items():
            assert losses[name].item() == pytest.approx(value, rel=1e-4), name
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()


def test_mined_labels(case):
    model, expected = build(case), case["expected"]["mined"]
    inputs = batch(case)
    with EventStorage(), torch.no_grad():
        images = model.preprocess_image(inputs)
        features = [model.backbone(images.tensor)[f] for f in model.head_in_features]
        outputs = model.dense_outputs(features, model.head(features))
        mined = model.mine(outputs, model.method.floor, model.max_detections_per_image)
    per_image = mined.split(2 * len(inputs))
    for labels, want in zip(per_image, expected["original"] + expected["augmented"], strict=True):
        assert labels.classes.tolist() == want["classes"]
        torch.testing.assert_close(labels.scores, torch.tensor(want["scores"]), rtol=1e-4, atol=0)
        torch.testing.assert_close(
            labels.boxes, torch.tensor(want["boxes"]).reshape(-1, 4), rtol=1e-4, atol=1e-2
        )


def test_inference(case):
    model = build(case).eval()
    with torch.no_grad():
        outputs = model([{"image": item["image"]} for item in batch(case)])
    for output, want in zip(outputs, case["expected"]["inference"], strict=True):
        found = output["instances"]
        assert len(found) == want["n"]
        top = len(want["scores"])
        assert found.pred_classes[:top].tolist() == want["classes"]
        torch.testing.assert_close(
            found.scores[:top], torch.tensor(want["scores"]), rtol=1e-4, atol=0
        )
        torch.testing.assert_close(
            found.pred_boxes.tensor[:top], torch.tensor(want["boxes"]), rtol=1e-4, atol=1e-2
        )
