"""What is peculiar to Co-mining FCOS."""

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone, build_model
from detectron2.modeling.meta_arch import fcos
from detectron2.utils.events import EventStorage

from comining.errors import InputError
from comining.modeling.fcos import FCOSOutputs
from tests.modeling.helpers import (
    NUM_CLASSES,
    items,
    logit,
    make_targets,
    plain,
    tiny_config,
    tiny_model,
)


@pytest.fixture(scope="module")
def model():
    return tiny_model("MODEL.COMINING.SCORE_THRESH", 0.5, detector="FCOS")


def outputs(scores, centerness, num_images=2):
    """Two locations of stride 8 at (4, 4) and (12, 4), each predicting its own cell.

    `scores` are of class 0 at each location of each image; the other classes score nothing.
    """
    scores = torch.tensor(scores).view(num_images, 1, 1, 2)
    logits = torch.full((num_images, NUM_CLASSES, 1, 2), -9.0)
    logits[:, :1] = scores.logit()
    return FCOSOutputs(
        cells=[torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8]])],
        logits=[logits.requires_grad_()],
        deltas=torch.full((num_images, 2, 4), 0.5, requires_grad=True),
        centerness=[torch.tensor(centerness).view(num_images, 1, 1, 2).logit().requires_grad_()],
    )


class TestMine:
    def test_the_class_score_decides_and_centerness_ranks(self, model):
        # In image 0 a sure class at the rim comes after a less sure one near the centre; in image
        # 1 the best product of all is not confident enough.
        given = outputs([0.9, 0.6, 0.51, 0.49], [0.01, 0.9, 0.04, 0.99])
        found = model.mine(given, model.method.floor, 100)
        assert found.images.tolist() == [0, 1, 0]
        assert found.boxes.tolist() == [[8, 0, 16, 8], [0, 0, 8, 8], [0, 0, 8, 8]]
        expected = [(0.6 * 0.9) ** 0.5, (0.51 * 0.04) ** 0.5, (0.9 * 0.01) ** 0.5]
        assert found.scores.tolist() == pytest.approx(expected)

    def test_centerness_decides_what_suppresses(self, model):
        given = outputs([0.9, 0.6, 0.1, 0.1], [0.1, 0.9, 0.5, 0.5])
        deltas = given.deltas.detach().clone()
        deltas[0, 1] = torch.tensor([1.5, 0.5, 0.0, 0.5])  # IoU 8 / 12 with the first one's box
        found = model.mine(given._replace(deltas=deltas), model.method.floor, 100)
        assert found.boxes.tolist() == [[0, 0, 12, 8]]

    def test_the_best_of_a_level_by_the_same_rank(self, model, monkeypatch):
        monkeypatch.setattr(model, "test_topk_candidates", 1)
        given = outputs([0.9, 0.6, 0.6, 0.9], [0.1, 0.9, 0.1, 0.9])
        found = model.mine(given, model.method.floor, 100)
        assert found.boxes.tolist() == [[8, 0, 16, 8], [8, 0, 16, 8]]


class TestBranchLosses:
    def losses(self, model, given, targets):
        with EventStorage() as storage:
            values = model.branch_losses(given, targets.split(2))
        return values, storage.latest()

    def test_by_hand(self, model):
        """One level: a location answers for what it lies in. Image 1 is the second view."""
        given = outputs([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5])
        given = given._replace(logits=[torch.zeros_like(given.logits[0]).requires_grad_()])
        wanted = make_targets([[2, 2, 8, 6], [0, 0, 16, 8]], classes=[0, 2], images=[0, 1])
        losses, storage = self.losses(model, given, wanted)
        # One location of image 0 is foreground and both of image 1. Score 0.5: a present class
        # costs 0.25 and an absent one 0.75 times 0.5^2 log 2.
        unit = 0.25 * 0.69314718
        per_branch = [(0.25 + 5 * 0.75) * unit, (2 * 0.25 + 4 * 0.75) * unit / 2]
        assert losses["loss_fcos_cls"].tolist() == pytest.approx(per_branch)
        # The cell holds the box, 24 of 64; then each cell is half of the box.
        assert losses["loss_fcos_loc"].tolist() == pytest.approx([1 - 24 / 64, 1 - 64 / 128])
        # Whatever the target, a logit of 0 costs log 2.
        assert losses["loss_fcos_ctr"].tolist() == pytest.approx([0.69314718] * 2)
        assert storage["num_pos_anchors"][0] == 1.5
        # The gradient shows the targets: (4 - 2) / (8 - 4) in x; (4, 12) in x of both locations.
        losses["loss_fcos_ctr"].sum().backward()
        targets = [[0.5**0.5, None], [(4 / 12) ** 0.5] * 2]
        expected = [
            [0.0 if t is None else (0.5 - t) / n for t in row]
            for row, n in zip(targets, (1, 2), strict=True)
        ]
        torch.testing.assert_close(given.centerness[0].grad.flatten(1), torch.tensor(expected))

    def test_nothing_to_find(self, model):
        given = outputs([0.5] * 4, [0.5] * 4)
        losses, _ = self.losses(model, given, make_targets([]))
        assert losses["loss_fcos_loc"].tolist() == losses["loss_fcos_ctr"].tolist() == [0, 0]
        sum(x.sum() for x in losses.values()).backward()
        assert given.logits[0].grad.all()
        assert not given.deltas.grad.any()
        assert not given.centerness[0].grad.any()


class TestPlainFCOS:
    def test_is_detectron2s(self):
        built = build_model(tiny_config(*plain("FCOS")))
        assert isinstance(built, fcos.FCOS)
        assert "FCOS" in META_ARCH_REGISTRY
        assert isinstance(built.head, fcos.FCOSHead)

    def test_trains_on_an_image_without_objects(self):
        """detectron2's release 0.6 fails there."""
        stock = tiny_model(*plain("FCOS"))
        with EventStorage():
            losses = stock(items(((64, 64), [], [])))
        assert losses["loss_fcos_cls"] > 0
        assert losses["loss_fcos_loc"] == losses["loss_fcos_ctr"] == 0

    def test_config_reaches_the_model(self):
        prefix = "MODEL.FCOS."
        cfg = tiny_config(
            *plain("FCOS"),
            prefix + "NUM_CLASSES", 5,
            prefix + "IN_FEATURES", ["p4", "p5"],
            prefix + "NUM_CONVS", 1,
            prefix + "NORM", "GN",
            prefix + "PRIOR_PROB", 0.125,
            prefix + "CENTER_SAMPLING_RADIUS", 2.5,
            prefix + "FOCAL_LOSS_ALPHA", 0.5,
            prefix + "FOCAL_LOSS_GAMMA", 1.0,
            prefix + "SCORE_THRESH_TEST", 0.25,
            prefix + "TOPK_CANDIDATES_TEST", 7,
            prefix + "NMS_THRESH_TEST", 0.75,
            "TEST.DETECTIONS_PER_IMAGE", 9,
        )  # fmt: skip
        built = build_model(cfg)
        assert (built.num_classes, built.head_in_features) == (5, ["p4", "p5"])
        assert built.head.cls_score.out_channels == 5
        assert [type(x).__name__ for x in built.head.bbox_subnet] == ["Conv2d", "GroupNorm", "ReLU"]
        assert built.head.cls_score.bias.tolist() == pytest.approx([logit(0.125)] * 5)
        assert built.center_sampling_radius == 2.5
        assert (built.focal_loss_alpha, built.focal_loss_gamma) == (0.5, 1.0)
        assert (built.test_score_thresh, built.test_nms_thresh) == (0.25, 0.75)
        assert (built.test_topk_candidates, built.max_detections_per_image) == (7, 9)

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("IN_FEATURES", ["p3", "p7"], "IN_FEATURES has p7, but what the backbone gives is p3"),
            ("NORM", "GNN", "NORM is 'GNN'"),
        ],
    )
    def test_unknown_name(self, key, value, message):
        with pytest.raises(InputError, match=message):
            build_model(tiny_config(*plain("FCOS"), f"MODEL.FCOS.{key}", value))

    def test_p6_comes_from_p5(self):
        cfg = tiny_config("MODEL.BACKBONE.NAME", "build_fcos_resnet_fpn_p5_backbone")
        backbone = build_backbone(cfg)
        features = backbone(torch.zeros(1, 3, 128, 128))
        assert [x.shape[2] for x in features.values()] == [16, 8, 4, 2, 1]
        torch.testing.assert_close(features["p6"], backbone.top_block.p6(features["p5"]))
