"""Co-mining Faster R-CNN beside detectron2's own, and what labels teach its two stages."""

import pytest
import torch
from detectron2.engine import DefaultTrainer
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from comining import register_coco
from comining.data.scenes import write_scenes
from comining.errors import InputError
from comining.modeling import ExportableDetector
from comining.modeling.comining import BRANCHES
from comining.modeling.known import Known
from comining.modeling.modes import evaluating
from comining.modeling.precision import keep_losses_in_single_precision
from comining.modeling.targets import Targets
from tests.modeling.helpers import (
    NUM_CLASSES,
    RCNN,
    make_labels,
    plain,
    tiny_config,
    tiny_rcnn,
    two_items,
)

LOSSES = ("loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg")
STOCK = plain("GeneralizedRCNN")
NOTHING_MINED = ("MODEL.COMINING.METHOD", "TwoViewsOnly")
#: Then no draw decides anything but the order.
ALL_DRAWN = (
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE", 10000,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 10000,
)  # fmt: skip
each_kind = pytest.mark.parametrize("kind", RCNN)


@each_kind
def test_parameters_and_inference_are_the_plain_detectors(kind):
    ours, stock = tiny_rcnn(kind=kind).eval(), tiny_rcnn(*STOCK, kind=kind, seed=1).eval()
    assert list(ours.state_dict()) == list(stock.state_dict())
    stock.load_state_dict(ours.state_dict(), strict=True)
    with torch.no_grad():
        found, expected = ours(two_items()), stock(two_items())
    for output, wanted in zip(found, expected, strict=True):
        output, wanted = output["instances"], wanted["instances"]
        assert len(output) > 5
        assert torch.equal(output.pred_boxes.tensor, wanted.pred_boxes.tensor)
        assert torch.equal(output.scores, wanted.scores)
        assert torch.equal(output.pred_classes, wanted.pred_classes)


@each_kind
@pytest.mark.parametrize("agnostic", [False, True])
def test_mining_is_inference_at_another_threshold(kind, agnostic):
    model = tiny_rcnn(
        "MODEL.COMINING.SCORE_THRESH", 0.28,
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.28,
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", agnostic,
        kind=kind,
    ).eval()  # fmt: skip
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
        model.roi_heads.box_predictor.bbox_pred.weight.mul_(50)
        outputs = model(two_items())
    for mined, output in zip(model.mine_images(two_items()), outputs, strict=True):
        found = output["instances"]
        assert len(found) > 2
        torch.testing.assert_close(mined.boxes, found.pred_boxes.tensor)
        assert torch.equal(mined.scores, found.scores)
        assert torch.equal(mined.classes, found.pred_classes)


@each_kind
def test_nothing_mined_is_plain_training_on_both_views(kind):
    ours, stock = (tiny_rcnn(*x, *ALL_DRAWN, kind=kind) for x in (NOTHING_MINED, STOCK))
    stock.load_state_dict(ours.state_dict())
    batch, annotated = two_items(), [item["instances"] for item in two_items()]
    annotated[1] = batch[1]["instances"] = annotated[1][:0]
    views = []
    ours.backbone.register_forward_pre_hook(lambda _, args: views.append(args[0]))
    with EventStorage():
        losses = ours(batch)
    assert losses.keys() == {name + suffix for name in LOSSES for suffix in BRANCHES}
    for suffix, view in zip(BRANCHES, views[0].split(2), strict=True):
        images = stock.preprocess_image(batch)
        images.tensor = view
        with EventStorage():
            features = stock.backbone(view)
            proposals, expected = stock.proposal_generator(images, features, annotated)
            expected.update(stock.roi_heads(images, features, proposals, annotated)[1])
        for name, value in expected.items():
            assert value > 0
            assert losses[name + suffix].item() == pytest.approx(value.item(), rel=1e-5), name


def test_draws_are_detectron2s():
    """By the sum of both branches, whose images detectron2 takes for one batch of four."""
    ours, stock = tiny_rcnn(*NOTHING_MINED), tiny_rcnn(*STOCK)
    stock.load_state_dict(ours.state_dict())
    with EventStorage():
        images = ours.preprocess_image(two_items())
        annotated = [item["instances"] for item in two_items()]
        torch.manual_seed(7)
        losses = ours.train_branches(images, ours.predict_views(images), annotated)
        torch.manual_seed(7)
        features = stock.backbone(images.tensor)
        proposals, expected = stock.proposal_generator(images, features, annotated * 2)
        expected.update(stock.roi_heads(images, features, proposals, annotated * 2)[1])
    for name, value in expected.items():
        mean = (losses[name] + losses[f"{name}_aug"]) / 2
        assert mean.item() == pytest.approx(value.item(), rel=1e-5)


class TestLabels:
    """What an annotated box and another one teach, on four proposals for each image."""

    proposals = ([8, 10, 40, 44], [8, 10, 40, 40], [50, 20, 90, 60], [0, 50, 20, 62])
    annotated = Targets.learnt(make_labels([[8, 10, 40, 44]]))
    other = make_labels([[50, 20, 90, 60]], classes=[1])

    @pytest.fixture(params=RCNN)
    def losses(self, request):
        model = tiny_rcnn(*ALL_DRAWN, kind=request.param)
        model.roi_heads.proposal_append_gt = False
        with EventStorage(), torch.no_grad():
            outputs = model.predict_views(model.preprocess_image(two_items()[:1]))
        proposals = Instances((64, 96))
        proposals.proposal_boxes = Boxes(torch.tensor(self.proposals, dtype=torch.float32))
        outputs = outputs._replace(proposals=[proposals] * 2)

        def run(*parts, known=None):
            targets = Targets.cat(list(parts))
            with EventStorage() as storage:
                of_both = model.branch_losses(outputs, [targets, targets], known=known)
            numbers = {name: value for name, (value, _) in storage.latest().items()}
            return of_both, numbers

        return run

    def test_mined_boxes_teach_both_stages(self, losses):
        alone, numbers = losses(self.annotated)
        both, more = losses(self.annotated, Targets.learnt(self.other))
        assert numbers["roi_head/num_fg_samples"] == 2
        assert numbers["roi_head/num_bg_samples"] == 2
        assert more["roi_head/num_fg_samples"] == 3
        assert more["rpn/num_pos_anchors"] > numbers["rpn/num_pos_anchors"]
        for name in LOSSES[:3]:  # the proposal lies where the mined box does
            assert (both[name] != alone[name]).all()

    def test_without_box_weight_only_the_class_is_learnt(self, losses):
        (alone, _), (both, _) = (
            losses(self.annotated),
            losses(self.annotated, Targets.learnt(self.other)),
        )
        mixed, _ = losses(self.annotated, Targets.learnt(self.other, box_weight=0.0))
        for name in LOSSES:
            torch.testing.assert_close(mixed[name], (both if "cls" in name else alone)[name])

    def test_each_weight_scales_its_losses(self, losses):
        one, half, double = (
            losses(self.annotated, Targets.learnt(self.other, class_weight=x, box_weight=x))[0]
            for x in (1.0, 0.5, 2.0)
        )
        for name in LOSSES:
            torch.testing.assert_close(double[name] - one[name], 2 * (one[name] - half[name]))
        assert (one["loss_rpn_loc"] > half["loss_rpn_loc"]).all()

    def test_ignored_boxes_leave_both_samples(self, losses):
        _, before = losses(self.annotated)
        _, numbers = losses(self.annotated, Targets.ignoring(self.other))
        assert numbers["roi_head/num_fg_samples"] == 2
        assert numbers["roi_head/num_bg_samples"] == 1
        assert numbers["rpn/num_pos_anchors"] == before["rpn/num_pos_anchors"]
        assert numbers["rpn/num_neg_anchors"] < before["rpn/num_neg_anchors"]

    def test_nothing_is_drawn_in_regions_to_ignore(self, losses):
        """But annotated objects; a region of one class hides the others' absence as well."""
        _, before = losses(self.annotated)
        nobody_knows = torch.zeros(2, NUM_CLASSES, dtype=torch.bool)
        regions = make_labels([[0, 0, 96, 64], [0, 40, 96, 64]], classes=[1, 2], images=[0, 1])
        _, numbers = losses(self.annotated, known=Known(nobody_knows, regions))
        assert numbers["roi_head/num_fg_samples"] == 2
        assert numbers["roi_head/num_bg_samples"] == 0.5  # half of the third, of the second view
        assert numbers["rpn/num_pos_anchors"] == before["rpn/num_pos_anchors"]
        assert numbers["rpn/num_neg_anchors"] < before["rpn/num_neg_anchors"]

    def test_ignored_boxes_are_no_proposals(self, losses):
        model = tiny_rcnn(*ALL_DRAWN)
        empty = Instances((64, 96))
        empty.proposal_boxes = Boxes(torch.zeros(0, 4))
        with EventStorage() as storage:
            outputs = model.predict_views(model.preprocess_image(two_items()[:1]))
            targets = Targets.cat([self.annotated, Targets.ignoring(self.other)])
            found = model.branch_losses(outputs._replace(proposals=[empty] * 2), [targets] * 2)
            assert storage.latest()["roi_head/num_fg_samples"][0] == 1
            assert storage.latest()["roi_head/num_bg_samples"][0] == 0
        assert all(x.isfinite().all() for x in found.values())


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_losses_are_finite_and_reach_every_parameter(threshold):
    """Also of an image in which nothing is annotated."""
    model, batch = tiny_rcnn("MODEL.COMINING.SCORE_THRESH", threshold), two_items()
    batch[1]["instances"] = batch[1]["instances"][:0]
    with EventStorage() as storage:
        losses = model(batch)
    assert (storage.latest()["comining/mined_per_image"][0] > 0) == (threshold == 0)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_mined_labels_go_to_the_other_view():
    model = tiny_rcnn()
    mined = make_labels([[10, 0, 20, 9], [50, 0, 60, 9]], classes=[0, 2], images=[0, 2])
    given = []

    def branch_losses(outputs, targets, background):
        given.extend(targets)
        return {"loss": torch.zeros(2)}

    model.mine, model.branch_losses = lambda *_: mined, branch_losses
    with EventStorage():
        model(two_items())
    numbers = [len(item["instances"]) for item in two_items() * 2]
    new = [x.boxes[number:].tolist() for x, number in zip(given, numbers, strict=True)]
    assert new == [[[50, 0, 60, 9]], [], [[10, 0, 20, 9]], []]


def test_mining_leaves_statistics_and_modes_alone():
    """Of a head that normalises by the batch, which the sample alone is to change."""
    model = tiny_rcnn("MODEL.ROI_BOX_HEAD.NUM_CONV", 1, "MODEL.ROI_BOX_HEAD.NORM", "BN")
    norm = model.roi_heads.box_head.conv1.norm
    with EventStorage():
        outputs = model.predict_views(model.preprocess_image(two_items()))
        model.mine(outputs, 0.1, 100)
        assert norm.num_batches_tracked == 0
        assert norm.training
        model(two_items())
        assert norm.num_batches_tracked == 1
    norm.eval()  # as one that is frozen
    with evaluating(model.roi_heads):
        assert not model.roi_heads.training
    assert model.roi_heads.training
    assert not norm.training


def test_mixed_precision():
    batch = two_items()[:1]
    batch[0]["image_aug"] = batch[0]["image"].flip(1)
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        model = tiny_rcnn(*NOTHING_MINED, *ALL_DRAWN)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32), EventStorage():
            losses.append(model(batch))
    for name, value in losses[0].items():
        assert losses[1][name].dtype == torch.float32
        assert losses[1][name].item() == pytest.approx(value.item(), rel=0.05), name


def test_mining_leaves_no_weights_in_autocasts_cache():
    """There they would be without a gradient."""
    model, seen = tiny_rcnn(), []
    model.roi_heads.box_head.register_forward_hook(
        lambda *_: seen.append((torch.is_grad_enabled(), torch.is_autocast_cache_enabled()))
    )
    with torch.autocast("cpu", torch.bfloat16), EventStorage():
        sum(model(two_items()).values()).backward()
        assert model.roi_heads.box_predictor.cls_score.weight.grad.any()
    assert seen == [(False, False), (True, True)]
    seen.clear()
    with EventStorage():
        model.roi_heads.box_head.register_forward_hook(lambda *x: seen.append(x[-1].dtype))
        model(two_items())
    assert seen[1::2] == [torch.float32] * 2


def test_regions_of_the_plain_detector_keep_their_corners():
    """In mixed precision, detectron2 alone would round them to the type of the features."""
    model, seen = tiny_rcnn(*STOCK), []
    keep_losses_in_single_precision(model)
    for part in model.roi_heads.box_pooler.level_poolers:
        part.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16), EventStorage():
        losses = model(two_items()[:1])
    assert set(seen) == {torch.float32}
    assert {x.dtype for x in losses.values()} == {torch.float32}


def test_trains_with_the_stock_trainer(tmp_path):
    """Of a plain detector's config, the architecture alone is changed; something is mined."""
    write_scenes(tmp_path / "scenes", train=4, val=1, size=96)
    name = f"scenes of {tmp_path}"
    register_coco(name, tmp_path / "scenes" / "train_hard.json", tmp_path / "scenes" / "train")
    cfg = tiny_config(
        *RCNN["FPN"], *STOCK,
        "MODEL.ROI_HEADS.NUM_CLASSES", 6,
        "MODEL.COMINING.SCORE_THRESH", 0.1,
        "DATASETS.TRAIN", (name,),
        "INPUT.MIN_SIZE_TRAIN", (64,),
        "DATALOADER.NUM_WORKERS", 0,
        "SOLVER.IMS_PER_BATCH", 2,
        "SOLVER.MAX_ITER", 2,
        "OUTPUT_DIR", str(tmp_path / "output"),
    )  # fmt: skip
    cfg.MODEL.META_ARCHITECTURE = "CoMiningGeneralizedRCNN"
    trainer = DefaultTrainer(cfg)
    before = trainer.model.roi_heads.box_predictor.cls_score.weight.detach().clone()
    trainer.train()
    latest = trainer.storage.latest()
    assert {x for x in latest if x.startswith("loss_")} == {
        name + suffix for name in LOSSES for suffix in BRANCHES
    }
    assert latest["comining/mined_per_image"][0] > 0
    assert not torch.equal(trainer.model.roi_heads.box_predictor.cls_score.weight, before)


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (("MODEL.MASK_ON", True), r"MODEL\.MASK_ON is True"),
            (("MODEL.KEYPOINT_ON", True), r"MODEL\.KEYPOINT_ON is True"),
            (("MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"), r"is Precomputed.*RPN"),
            (
                ("MODEL.ROI_HEADS.NAME", "CascadeROIHeads",
                 "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", True),
                r"ROI_HEADS\.NAME is CascadeROIHeads",
            ),
            (("MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES", True), r"TRAIN_ON_PRED_BOXES is True"),
            (("MODEL.RPN.BOUNDARY_THRESH", 0), r"RPN\.BOUNDARY_THRESH is 0; .* needs -1"),
            (("MODEL.RPN.BBOX_REG_LOSS_TYPE", "l3"), r"RPN\.BBOX_REG_LOSS_TYPE is 'l3'"),
            (("MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "l3"), r"HEAD\.BBOX_REG_LOSS_TYPE is 'l3'"),
        ],
    )  # fmt: skip
    def test_what_is_no_faster_rcnn(self, settings, message):
        with pytest.raises(InputError, match=message):
            build_model(tiny_config(*RCNN["FPN"], *settings, detector="GeneralizedRCNN"))

    def test_weights_of_absent_classes(self):
        """Which a method of one's own may answer."""
        model = tiny_rcnn()
        supervise = model.method.supervise
        model.method.supervise = lambda step: supervise(step)._replace(background=torch.ones_like)
        with (
            EventStorage(),
            pytest.raises(InputError, match="Published is for dense detectors"),
        ):
            model(two_items())

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                ("MODEL.COMINING.METHOD", "MeanTeacher"),
                "MeanTeacher is for dense detectors.*teacher",
            ),
            (("MODEL.COMINING.METHOD", "BRL"), "BRL is for dense detectors.*weighs the absence"),
            (("MODEL.COMINING.TEACHER.EVALUATE", True), r"TEACHER\.EVALUATE is True, but .* no"),
        ],
    )
    def test_methods_for_dense_detectors(self, settings, message):
        with pytest.raises(InputError, match=message):
            tiny_rcnn(*settings)

    def test_export(self):
        with pytest.raises(InputError, match="a CoMiningGeneralizedRCNN can't be exported, only"):
            ExportableDetector(tiny_rcnn(), "BGR")


def test_number_of_classes_reaches_the_method():
    model = tiny_rcnn("MODEL.COMINING.METHOD", "Adaptive").eval()
    assert model.adaptive.counts.shape[1] == NUM_CLASSES
    assert model.score_thresholds() == [1.0] * NUM_CLASSES
    assert len(model.mine_images(two_items(), 0.2)) == 2  # asked at another threshold
