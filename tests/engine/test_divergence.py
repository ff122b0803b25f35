"""The record of a batch whose loss is not finite."""

import json
import math

import torch
from detectron2.structures import Boxes, Instances

from comining.engine.divergence import describe_divergence


def test_image_is_described_by_its_sizes_and_annotations(tmp_path):
    instances = Instances(
        (300, 400),  # height and width after augmentation
        gt_boxes=Boxes(torch.tensor([[1.0, 2.0, 30.0, 40.0]])),
        gt_classes=torch.tensor([5]),
    )
    size = {"height": 30, "width": 40}
    batch = [
        {"file_name": "a.jpg", "image_id": 7, **size, "instances": instances},
        {"file_name": "b.jpg", "image_id": 8, **size},  # of a mapper that gives no annotations
    ]
    path = tmp_path / "new" / "batch.json"
    message = describe_divergence(path, 12, {"loss_cls": math.inf, "loss_box_reg": 0.5}, batch)
    assert json.loads(path.read_text()) == {
        "iteration": 12,
        "losses": {"loss_cls": "inf", "loss_box_reg": 0.5},
        "images": [
            {
                "file_name": "a.jpg", "image_id": 7, **size, "augmented_size": [300, 400],
                "boxes": [[1, 2, 30, 40]], "classes": [5],
            },
            {"file_name": "b.jpg", "image_id": 8, **size},
        ],
    }  # fmt: skip
    assert "iteration 12: loss_cls is inf (" in message
    assert f"on the images 7, 8, described in {path}." in message
