"""Each Co-mining detector beside detectron2's own."""

import logging

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import DefaultTrainer
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from fvcore.nn import giou_loss, sigmoid_focal_loss, smooth_l1_loss
from torch.nn import functional as F

from comining import register_coco
from comining.data.scenes import write_scenes
from comining.modeling.background import Background
from comining.modeling.targets import Targets
from tests.modeling.helpers import (
    LOSSES,
    NUM_CLASSES,
    annotations,
    each_detector,
    items,
    make_labels,
    plain,
    tiny_config,
    tiny_model,
    two_items,
)


class TestParameters:
    @each_detector
    def test_are_those_of_the_plain_detector(self, detector):
        ours = tiny_model(detector=detector).state_dict()
        stock = tiny_model(*plain(detector)).state_dict()
        assert list(ours) == list(stock)
        for name, value in ours.items():
            assert value.shape == stock[name].shape, name

    @each_detector
    def test_load_both_ways(self, detector):
        ours, stock = tiny_model(detector=detector, seed=1), tiny_model(*plain(detector), seed=2)
        stock.load_state_dict(ours.state_dict(), strict=True)
        assert torch.equal(stock.head.cls_score.weight, ours.head.cls_score.weight)
        stock = tiny_model(*plain(detector), seed=3)
        ours.load_state_dict(stock.state_dict(), strict=True)
        assert torch.equal(stock.head.cls_score.weight, ours.head.cls_score.weight)

    def test_published_checkpoint(self, tmp_path, caplog, monkeypatch):
        """The form of the paper's authors: under "model", with the anchors among the parameters."""
        source = tiny_model(seed=1)
        state = source.state_dict()
        for level, anchors in enumerate(source.anchor_generator.cell_anchors):
            state[f"anchor_generator.cell_anchors.{level}"] = anchors
        path = tmp_path / "model_final.pth"
        torch.save({"model": state, "iteration": 89999}, path)

        for name in ("fvcore", "detectron2"):  # a training before may have silenced them
            monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        model = tiny_model(seed=2)
        with caplog.at_level(logging.INFO):
            DetectionCheckpointer(model).load(str(path))
        assert str(path) in caplog.text
        assert [x.getMessage() for x in caplog.records if x.levelno >= logging.WARNING] == []
        for name, value in model.state_dict().items():
            assert torch.equal(value, state[name]), name


@each_detector
def test_inference_is_the_plain_detectors(detector):
    ours, stock = tiny_model(detector=detector).eval(), tiny_model(*plain(detector), seed=1).eval()
    stock.load_state_dict(ours.state_dict())
    with torch.no_grad():
        found, expected = ours(two_items()), stock(two_items())
    for output, wanted in zip(found, expected, strict=True):
        output, wanted = output["instances"], wanted["instances"]
        assert len(output) > 5
        assert torch.equal(output.pred_boxes.tensor, wanted.pred_boxes.tensor)
        assert torch.equal(output.scores, wanted.scores)
        assert torch.equal(output.pred_classes, wanted.pred_classes)


@each_detector
def test_trains_with_the_stock_trainer(tmp_path, detector):
    """Of a plain detector's config, the architecture alone is changed."""
    write_scenes(tmp_path / "scenes", train=4, val=1, size=96)
    name = f"scenes of {tmp_path}"
    register_coco(name, tmp_path / "scenes" / "train_hard.json", tmp_path / "scenes" / "train")
    cfg = tiny_config(
        *plain(detector),
        f"MODEL.{detector.upper()}.NUM_CLASSES", 6,
        "DATASETS.TRAIN", (name,),
        "INPUT.MIN_SIZE_TRAIN", (64,),
        "DATALOADER.NUM_WORKERS", 0,
        "SOLVER.IMS_PER_BATCH", 2,
        "SOLVER.MAX_ITER", 2,
        "SOLVER.AMP.ENABLED", False,
        "OUTPUT_DIR", str(tmp_path / "output"),
    )  # fmt: skip
    cfg.MODEL.META_ARCHITECTURE = f"CoMining{detector}"
    trainer = DefaultTrainer(cfg)
    before = trainer.model.head.cls_score.weight.detach().clone()
    trainer.train()
    latest = trainer.storage.latest()
    losses = [key for key in latest if key.startswith("loss_")]
    assert len(losses) == {"RetinaNet": 4, "FCOS": 6}[detector]
    for key in losses:
        value, iteration = latest[key]
        assert value > 0
        assert iteration == 1
    assert latest["comining/mined_per_image"][0] >= 0
    assert not torch.equal(trainer.model.head.cls_score.weight, before)
    assert (tmp_path / "output" / "model_final.pth").is_file()


@each_detector
def test_outputs_have_single_precision_under_autocast(detector):
    model = tiny_model(detector=detector)
    with torch.autocast("cpu", torch.bfloat16), EventStorage():
        images = model.preprocess_image(two_items())
        features = [model.backbone(images.tensor)[name] for name in model.head_in_features]
        predictions = model.head(features)
        outputs = model.dense_outputs(features, predictions)
    assert predictions[0][0].dtype == torch.bfloat16
    for field in outputs:
        assert {x.dtype for x in field} == {torch.float32}


@each_detector
@pytest.mark.parametrize("num_images", [1, 4])
def test_the_number_of_waits_does_not_depend_on_the_batch(detector, num_images, monkeypatch):
    """Of those that PyTorch code can ask for by itself."""
    waits = []
    for name in ("nonzero", "item", "tolist", "unique", "__bool__"):
        original = getattr(torch.Tensor, name)

        def counted(*args, original=original, name=name, **kwargs):
            waits.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)
    for name in ("__getitem__", "__setitem__"):
        original = getattr(torch.Tensor, name)

        def masked(self, index, *args, original=original, name=name):
            if isinstance(index, torch.Tensor) and index.dtype == torch.bool:
                waits.append(name)
            return original(self, index, *args)

        monkeypatch.setattr(torch.Tensor, name, masked)
    model = tiny_model(detector=detector)
    with EventStorage():
        images = model.preprocess_image(two_items()[:1] * num_images)
        features = [model.backbone(images.tensor)[name] for name in model.head_in_features]
        given = model.dense_outputs(features, model.head(features))
        waits.clear()
        mined = model.mine(given, model.method.floor, model.max_detections_per_image)
        assert len(mined.boxes) > num_images
        model.branch_losses(given, Targets.learnt(mined).split(2 * num_images))
    assert 0 < len(waits) <= 8, waits


class TestWeights:
    """By the losses of one annotated box, another one, and both."""

    @pytest.fixture
    def losses(self, detector):
        model = tiny_model(detector=detector)
        features = model.backbone(torch.rand(2, 3, 64, 96))
        features = [features[name] for name in model.head_in_features]
        outputs = model.dense_outputs(features, model.head(features))

        def run(*parts, background=None):
            targets = Targets.cat(list(parts))
            with EventStorage() as storage:
                of_both = model.branch_losses(outputs, [targets, targets], background)
            of_both["number"] = storage.latest()["num_pos_anchors"][0]
            return of_both

        return run

    annotated = Targets.learnt(make_labels([[8, 10, 40, 44]]))
    other = make_labels([[50, 20, 90, 60]], classes=[1])

    @each_detector
    def test_without_box_weight_only_the_class_is_learnt(self, losses, detector):
        alone, both = losses(self.annotated), losses(self.annotated, Targets.learnt(self.other))
        mixed = losses(self.annotated, Targets.learnt(self.other, box_weight=0.0))
        for name in LOSSES[detector]:
            assert not torch.equal(alone[name], both[name])
            torch.testing.assert_close(mixed[name], (both if "cls" in name else alone)[name])

    @each_detector
    def test_each_weight_scales_its_losses(self, losses, detector):
        """Two boxes that share no anchor: what the second adds goes with its weight."""
        learnt = [
            losses(self.annotated, Targets.learnt(self.other, class_weight=x, box_weight=y))
            for x, y in ((1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 2.0))
        ]
        one, half_class, double_class, half_box, double_box = learnt
        for name in LOSSES[detector]:
            scaled, same = (half_class, double_class), (half_box, double_box)
            if "cls" not in name:
                scaled, same = same, scaled
            assert torch.equal(same[0][name], one[name])
            assert torch.equal(same[1][name], one[name])
            share = one[name] - scaled[0][name]  # half of what the second box adds
            assert (share > 0).all()
            torch.testing.assert_close(scaled[1][name], one[name] + 2 * share)

    @each_detector
    def test_background_weights_reach_the_classes_alone(self, losses, detector):
        def none(level):
            seen.append((tuple(level.logits.shape), level.logits.requires_grad))
            return Background(level.logits.new_zeros(1))

        seen = []
        plain, silent = losses(self.annotated), losses(self.annotated, background=none)
        shapes = {"RetinaNet": 2, "FCOS": 1}[detector]
        assert seen == [
            ((2, shapes, NUM_CLASSES, 64 // stride, 96 // stride), False) for stride in (8, 16, 32)
        ]
        for name in LOSSES[detector]:
            if "cls" in name:
                assert (silent[name] > 0).all()
                assert (silent[name] < plain[name]).all()
            else:
                assert torch.equal(silent[name], plain[name])


class TestStepAgainstStockParts:
    """A whole training step, and the same one put together slowly from detectron2's parts."""

    @pytest.mark.parametrize("norm", ["GN", "BN"])
    @pytest.mark.parametrize(
        ("detector", "kind"),
        [("RetinaNet", "smooth_l1"), ("RetinaNet", "giou"), ("FCOS", "giou")],
    )
    @pytest.mark.parametrize("flip", [0.0, 1.0])
    @pytest.mark.parametrize("seed", [0, 3])
    def test_losses_and_gradients(self, norm, detector, kind, flip, seed):
        settings = (
            "MODEL.RESNETS.NORM", norm,
            "MODEL.RETINANET.BBOX_REG_LOSS_TYPE", kind,
            "MODEL.COMINING.VIEW.FLIP_PROB", flip,
            # Few enough for every limit to matter.
            f"MODEL.{detector.upper()}.TOPK_CANDIDATES_TEST", 12,
            "TEST.DETECTIONS_PER_IMAGE", 14,
        )  # fmt: skip
        batch = items(
            ((64, 96), [[8, 10, 40, 44], [50, 20, 90, 60]], [0, 2]),
            ((96, 64), [[20, 30, 44, 58]], [1]),
            ((64, 64), [], []),
            seed=seed,
        )
        ours = tiny_model(*settings, detector=detector, seed=seed)
        stock = tiny_model(*settings, *plain(detector), seed=9)
        stock.load_state_dict(ours.state_dict())

        views = []
        make = ours.view.make
        ours.view.make = lambda *args: views.append(make(*args)) or views[-1]
        with EventStorage():
            losses = ours(batch)
            expected = slow_losses(stock, batch, views, [bool(flip)] * 3)

        assert losses.keys() == expected.keys()
        for name, value in expected.items():
            assert value.item() > 0.01
            assert losses[name].item() == pytest.approx(value.item(), rel=1e-5), name
        sum(losses.values()).backward()
        sum(expected.values()).backward()
        wanted = dict(stock.named_parameters())
        for name, parameter in ours.named_parameters():
            scale = wanted[name].grad.abs().max().item()
            torch.testing.assert_close(
                parameter.grad, wanted[name].grad, rtol=1e-3, atol=1e-4 * scale, msg=name
            )


def slow_losses(stock, batch, views, flipped, score_thresh=0.5, iou_thresh=0.4):
    """The losses of a batch and its second views, by a stock detector."""
    images = stock.preprocess_image([{"image": x["image"]} for x in batch + as_items(views)])
    features = stock.backbone(images.tensor)
    features = [features[name] for name in stock.head_in_features]
    predictions = stock.head(features)  # logits and deltas, and FCOS's centerness
    sizes = [stock.num_classes, 4, 1][: len(predictions)]
    predictions = stock._transpose_dense_predictions(predictions, sizes)
    anchors = stock.anchor_generator(features)

    mined = []
    for index in range(2 * len(batch)):
        of_image = [[x[index].detach() for x in levels] for levels in predictions]
        mined.append(slow_mine(stock, anchors, *of_image, score_thresh=score_thresh))
    assert all(len(boxes) > 3 for boxes in mined)

    losses = {}
    for branch, suffix in enumerate(("", "_aug")):
        truth = []
        for index, item in enumerate(batch):
            size = images.image_sizes[index]
            boxes = item["instances"].gt_boxes.tensor.tolist()
            classes = item["instances"].gt_classes.tolist()
            found = mined[index + (1 - branch) * len(batch)]
            if flipped[index]:
                found = [(mirror(box, size[1]), k) for box, k in found]
                if branch == 1:
                    boxes = [mirror(box, size[1]) for box in boxes]
            new = [
                (box, k)
                for box, k in found
                if not any(
                    k == other_k and iou(box, other) > iou_thresh
                    for other, other_k in zip(boxes, classes, strict=True)
                )
            ]
            truth.append(
                annotations(size, boxes + [box for box, _ in new], classes + [k for _, k in new])
            )
        rows = slice(branch * len(batch), (branch + 1) * len(batch))
        of_branch = [[x[rows] for x in levels] for levels in predictions]
        branch_losses = slow_fcos_losses if len(predictions) == 3 else slow_retinanet_losses
        values = branch_losses(stock, anchors, *of_branch, truth)
        losses.update({name + suffix: value for name, value in values.items()})
    return losses


def as_items(views):
    return [{"image": view} for view in views]


def slow_mine(stock, anchors, logits, deltas, centerness=None, *, score_thresh):
    """(box, class) pairs of one image, best first."""
    candidates = []
    for level, of_level in enumerate(anchors):
        boxes = stock.box2box_transform.apply_deltas(deltas[level], of_level.tensor).tolist()
        scores = logits[level].sigmoid()
        rank = scores if centerness is None else (scores * centerness[level].sigmoid()).sqrt()
        confident = [
            (rank[anchor, k].item(), k, boxes[anchor])
            for anchor, k in (scores > score_thresh).nonzero().tolist()
        ]
        confident.sort(key=lambda row: -row[0])
        candidates += confident[: stock.test_topk_candidates]
    candidates.sort(key=lambda row: -row[0])
    kept = []
    for _, k, box in candidates:
        if not any(
            k == other_k and iou(box, other) > stock.test_nms_thresh for other, other_k in kept
        ):
            kept.append((box, k))
    return kept[: stock.max_detections_per_image]


def slow_fcos_losses(stock, anchors, logits, deltas, centerness, truth: list[Instances]):
    stock._ema_update = lambda name, value, *_: value  # normalise by this branch alone
    classes, boxes = stock.label_anchors(anchors, truth)
    return stock.losses(anchors, logits, classes, deltas, boxes, centerness)


def slow_retinanet_losses(stock, anchors, logits, deltas, truth: list[Instances]):
    classes, boxes = stock.label_anchors(anchors, truth)
    classes, boxes = torch.stack(classes), torch.stack(boxes)
    logits, deltas = torch.cat(logits, dim=1), torch.cat(deltas, dim=1)
    valid = classes >= 0
    foreground = valid & (classes < stock.num_classes)
    one_hot = F.one_hot(classes[valid], stock.num_classes + 1)[:, :-1].to(logits.dtype)
    loss_cls = sigmoid_focal_loss(
        logits[valid],
        one_hot,
        alpha=stock.focal_loss_alpha,
        gamma=stock.focal_loss_gamma,
        reduction="sum",
    )
    at = Boxes.cat(anchors).tensor.expand_as(boxes)[foreground]
    transform = stock.box2box_transform
    if stock.box_reg_loss_type == "giou":
        predicted = transform.apply_deltas(deltas[foreground], at)
        loss_box_reg = giou_loss(predicted, boxes[foreground], reduction="sum")
    else:
        wanted = transform.get_deltas(at, boxes[foreground])
        loss_box_reg = smooth_l1_loss(
            deltas[foreground], wanted, beta=stock.smooth_l1_beta, reduction="sum"
        )
    normalizer = max(1, int(foreground.sum()))
    return {"loss_cls": loss_cls / normalizer, "loss_box_reg": loss_box_reg / normalizer}


def mirror(box, width):
    x0, y0, x1, y1 = box
    return [width - x1, y0, width - x0, y1]


def iou(box, other):
    width = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
    height = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (box, other)]
    return width * height / (sum(areas) - width * height)
