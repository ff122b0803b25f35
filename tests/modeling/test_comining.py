"""The mechanism: two views, labels exchanged between them."""

import copy

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.utils.events import EventStorage

from comining.errors import InputError
from comining.modeling import SecondView
from comining.modeling.comining import BRANCHES
from comining.modeling.targets import Targets
from tests.modeling.helpers import (
    LOSSES,
    NUM_CLASSES,
    each_detector,
    items,
    make_labels,
    plain,
    tiny_config,
    tiny_model,
    two_items,
)

NOTHING_MINED = ("MODEL.COMINING.SCORE_THRESH", 1.0)
EVERYTHING_MINED = ("MODEL.COMINING.SCORE_THRESH", 0.0)
ALWAYS_FLIPPED = ("MODEL.COMINING.VIEW.FLIP_PROB", 1.0)
NO_JITTER = ("MODEL.COMINING.VIEW.JITTER_PROB", 0.0)


def step(model, batch, iteration=0):
    with EventStorage(iteration):
        return model(batch)


@pytest.mark.parametrize("threshold", ["fixed", "adaptive"])
@each_detector
def test_class_that_the_model_does_not_have(detector, threshold):
    model = tiny_model("MODEL.COMINING.THRESHOLD", threshold, detector=detector)
    last, beyond = (
        [*items(((32, 32), [], [])), *items(((32, 32), [[1, 2, 30, 30]], [x]))]
        for x in (NUM_CLASSES - 1, NUM_CLASSES)
    )
    beyond[1]["file_name"] = "b.jpg"
    step(model, last)
    message = (
        rf"^b\.jpg has an annotation of class {NUM_CLASSES}, counted from 0, but the model has "
        rf"{NUM_CLASSES} classes: .* NUM_CLASSES"
    )
    with pytest.raises(InputError, match=message):
        step(model, beyond)


def seen_by_backbone(model, batch):
    """The images (B, 3, H, W) that reach the backbone, normalised and padded."""
    model, seen = copy.deepcopy(model), []  # the next batch of an iteration gets other views
    hook = model.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad(), EventStorage():
        model(batch)
    hook.remove()
    (images,) = seen
    return images


def labels_of(model, batch, mined):
    """The labels of 2N images that the losses get, and the storage, if mining finds `mined`."""
    given = []

    def branch_losses(outputs, labels, background):
        given.append(labels)
        return {"loss": torch.zeros(2)}

    model.mine = lambda outputs, score_thresh, max_per_image: mined
    model.branch_losses = branch_losses
    with EventStorage() as storage:
        model(batch)
    (labels,) = given
    return labels, storage.latest()


class TestLosses:
    @each_detector
    @pytest.mark.parametrize("overrides", [(), NOTHING_MINED, EVERYTHING_MINED])
    @pytest.mark.parametrize(
        "per_image",
        [
            [
                ((64, 64), [[5, 5, 30, 30]], [0]),
                ((64, 96), [[5, 5, 30, 30], [8, 2, 60, 55]], [1, 2]),
            ],
            [((64, 64), [[5, 5, 30, 30]], [0]), ((64, 96), [], [])],
            [((64, 64), [], []), ((64, 96), [], [])],
            [((64, 64), [], [])],
        ],
        ids=["all annotated", "one empty", "none annotated", "a single empty image"],
    )
    def test_finite_and_reach_every_parameter(self, per_image, overrides, detector):
        model = tiny_model(*overrides, detector=detector)
        losses = step(model, items(*per_image))
        assert losses.keys() == {name + suffix for name in LOSSES[detector] for suffix in BRANCHES}
        for name, loss in losses.items():
            assert loss.shape == (), name
            assert loss.isfinite(), name
        sum(losses.values()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name

    @each_detector
    @pytest.mark.parametrize("suffix", BRANCHES)
    def test_each_branch_teaches_backbone_and_head(self, suffix, detector):
        model = tiny_model(detector=detector)
        losses = step(model, two_items())
        sum(losses[name + suffix] for name in LOSSES[detector]).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad.abs().sum() > 0, name

    @each_detector
    @pytest.mark.parametrize("branch", [0, 1])
    def test_nothing_flows_back_through_mining(self, branch, detector):
        """A branch's losses depend on the other view by its mined labels, without a gradient."""
        model, suffix = tiny_model(detector=detector), BRANCHES[branch]
        seen = []

        def watch(_, args):
            seen.append(args[0].detach().requires_grad_())
            return seen[0]

        model.backbone.register_forward_pre_hook(watch)
        with EventStorage() as storage:
            losses = model(two_items())
            assert storage.latest()[f"comining/mined_per_image{suffix}"][0] > 1
        sum(losses[name + suffix] for name in LOSSES[detector]).backward()
        views = seen[0].grad.split(2)
        assert views[branch].any()
        assert not views[1 - branch].any()

    @each_detector
    @pytest.mark.parametrize("empty", [False, True])
    def test_nothing_mined_is_plain_training_on_both_views(self, empty, detector):
        batch = two_items()
        if empty:
            batch[0]["instances"] = batch[0]["instances"][:0]
        model = tiny_model(*NOTHING_MINED, detector=detector)
        originals, views = seen_by_backbone(model, batch).split(2)
        with EventStorage() as storage:
            losses = model(batch)
        assert (originals - views).abs().max() > 0.1

        stock = tiny_model(*plain(detector))
        stock.load_state_dict(model.state_dict())
        stock._ema_update = lambda name, value, *_: value  # normalise by this batch alone
        for suffix, view in (("", originals), ("_aug", views)):
            features = stock.backbone(view)
            features = [features[name] for name in stock.head_in_features]
            with EventStorage() as stock_storage:
                expected = stock.forward_training(
                    None, features, stock.head(features), [item["instances"] for item in batch]
                )
            for name, value in expected.items():
                assert losses[name + suffix].item() == pytest.approx(value.item(), rel=1e-5)
            number = stock_storage.latest()["num_pos_anchors"][0]
            assert storage.latest()["num_pos_anchors"][0] == number > 0

    @each_detector
    @pytest.mark.parametrize("value", [float("inf"), float("nan")])
    def test_a_mined_box_that_is_not_finite_does_no_harm(self, value, detector):
        """As a regression output that overflowed in half precision would be."""
        model = tiny_model(detector=detector)
        dense_outputs = model.dense_outputs

        def overflowing(features, predictions):
            outputs = dense_outputs(features, predictions)
            scores = torch.cat([permute_to_N_HWA_K(x, NUM_CLASSES) for x in outputs.logits], dim=1)
            best = scores[3].amax(dim=1).argmax()  # of the second image's second view
            deltas = outputs.deltas.clone()
            deltas[3, best] = value
            return outputs._replace(deltas=deltas)

        model.dense_outputs = overflowing
        losses = step(model, two_items())
        # Only the second view's own regression loss may contain the broken prediction.
        for name in losses.keys() - {f"{LOSSES[detector][1]}_aug"}:
            assert losses[name].isfinite(), name

    @each_detector
    def test_seed_and_iteration_decide(self, detector):
        batch = two_items()
        losses = [
            step(tiny_model("SEED", seed, detector=detector), batch, iteration)
            for seed, iteration in ((1, 5), (1, 5), (2, 5), (1, 6))
        ]
        of_classes, of_boxes, *_ = LOSSES[detector]
        same, again, other_seed, other_iteration = (x[f"{of_classes}_aug"].item() for x in losses)
        assert same == again
        assert len({same, other_seed, other_iteration}) == 3
        assert losses[0][of_boxes] == losses[1][of_boxes]

    def test_images_of_a_batch_draw_different_views(self):
        batch = items(((64, 64), [], []))
        images = seen_by_backbone(tiny_model(), batch * 2)
        assert torch.equal(images[0], images[1])
        assert (images[2] - images[3]).abs().max() > 0.1

    @each_detector
    def test_mixed_precision(self, detector):
        batch = two_items()
        for item in batch:
            item["image_aug"] = item["image"].flip(1)
        for overrides in (NOTHING_MINED, ()):
            exact = step(tiny_model(*overrides, detector=detector), batch)
            with torch.autocast("cpu", torch.bfloat16):
                model = tiny_model(*overrides, detector=detector)
                rounded = step(model, batch)
            for name, value in exact.items():
                assert rounded[name].dtype == torch.float32
                # What is mined depends on the rounding.
                tolerance = 0.01 if overrides else 0.1
                assert rounded[name].item() == pytest.approx(value.item(), rel=tolerance), name
            sum(rounded.values()).backward()
            assert all(p.grad.isfinite().all() for p in model.parameters())


class TestExchange:
    def test_each_branch_gets_what_the_other_found(self):
        mined = make_labels(
            [[10, 0, 20, 9], [30, 0, 40, 9], [50, 0, 60, 9], [2, 0, 8, 9]],
            classes=[0, 1, 2, 1],
            images=[0, 1, 2, 3],
            scores=[0.7, 0.8, 0.9, 0.95],
        )
        labels, storage = labels_of(tiny_model(), two_items(), mined)
        assert [x.boxes.tolist() for x in labels] == [
            [[8, 10, 40, 44], [50, 20, 90, 60], [50, 0, 60, 9]],
            [[20, 30, 44, 58], [2, 0, 8, 9]],
            [[8, 10, 40, 44], [50, 20, 90, 60], [10, 0, 20, 9]],
            [[20, 30, 44, 58], [30, 0, 40, 9]],
        ]
        assert [x.classes.tolist() for x in labels] == [[0, 2, 2], [1, 1], [0, 2, 0], [1, 1]]
        assert [x.images.tolist() for x in labels] == [[0] * 3, [1] * 2, [2] * 3, [3] * 2]
        assert storage["comining/mined_per_image"][0] == 1
        assert storage["comining/mined_per_image_aug"][0] == 1

    def test_known_boxes_are_dropped_and_not_counted(self):
        mined = make_labels(
            [[9, 10, 40, 44], [8, 10, 40, 43], [60, 0, 80, 10], [8, 10, 40, 44]],
            classes=[0, 0, 0, 1],
            images=[2, 2, 2, 0],
        )
        labels, storage = labels_of(tiny_model(), two_items(), mined)
        assert labels[0].boxes[2:].tolist() == [[60, 0, 80, 10]]
        assert labels[2].boxes[2:].tolist() == [[8, 10, 40, 44]]  # of another class
        assert storage["comining/mined_per_image"][0] == 0.5
        assert storage["comining/mined_per_image_aug"][0] == 0.5

    @pytest.mark.parametrize(("threshold", "kept"), [(0.5, 1), (0.49, 0)])
    def test_merge_threshold_of_the_config(self, threshold, kept):
        batch = items(((64, 64), [[10, 10, 30, 30]], [0]))
        mined = make_labels([[10, 10, 30, 20]], images=[1])  # IoU exactly 0.5
        model = tiny_model("MODEL.COMINING.IOU_THRESH", threshold)
        (original, _), _ = labels_of(model, batch, mined)
        assert len(original.boxes) == 1 + kept

    def test_flipped_views(self):
        """Images of 96 and 64 px width in one batch, boxes by hand in each view's frame."""
        mined = make_labels(
            [[10, 0, 20, 9], [1, 5, 11, 15], [60, 20, 66, 30], [40, 0, 70, 9]],
            classes=[0, 1, 2, 1],
            images=[0, 1, 2, 3],
        )
        labels, _ = labels_of(tiny_model(*ALWAYS_FLIPPED), two_items(), mined)
        assert [x.boxes.tolist() for x in labels] == [
            [[8, 10, 40, 44], [50, 20, 90, 60], [30, 20, 36, 30]],
            [[20, 30, 44, 58], [-6, 0, 24, 9]],
            [[56, 10, 88, 44], [6, 20, 46, 60], [76, 0, 86, 9]],
            [[20, 30, 44, 58], [53, 5, 63, 15]],
        ]

    def test_flipped_duplicates_are_recognised(self):
        batch = items(((64, 96), [[8, 10, 40, 44]], [0]))
        mined = make_labels([[8, 10, 40, 44], [56, 10, 88, 44]], images=[0, 1])
        labels, storage = labels_of(tiny_model(*ALWAYS_FLIPPED), batch, mined)
        assert [x.boxes.tolist() for x in labels] == [[[8, 10, 40, 44]], [[56, 10, 88, 44]]]
        assert storage["comining/mined_per_image"][0] == 0

    def test_only_the_flipped_images_are_mapped(self):
        model, batch = tiny_model("MODEL.COMINING.VIEW.FLIP_PROB", 0.5), two_items() * 4
        with EventStorage():
            flipped = copy.deepcopy(model).preprocess_image(batch).flipped
        assert 0 < sum(flipped) < 8
        mined = make_labels([[1, 0, 9, 9]] * 8, images=list(range(8)))
        labels, _ = labels_of(model, batch, mined)
        for index, flip in enumerate(flipped):
            width = batch[index]["image"].shape[2]
            of_view = labels[8 + index].boxes[-1].tolist()
            assert of_view == ([width - 9, 0, width - 1, 9] if flip else [1, 0, 9, 9])

    def test_pixels_are_flipped_with_the_boxes(self):
        batch = two_items()
        model = tiny_model(*ALWAYS_FLIPPED, *NO_JITTER)
        images = seen_by_backbone(model, batch)
        assert torch.equal(images[2, :, :64, :96], images[0, :, :64, :96].flip(2))
        assert torch.equal(images[3, :, :96, :64], images[1, :, :96, :64].flip(2))
        assert not images[2, :, 64:].any()
        assert not images[3, :, :, 64:].any()

    @each_detector
    def test_mining_sees_its_own_view(self, detector):
        """Without a flip both views are the same image, and find the same."""
        found = []
        model = tiny_model(*NO_JITTER, detector=detector)
        mine = model.mine
        model.mine = lambda *args: found.append(mine(*args)) or found[-1]
        step(model, two_items())
        per_image = found[0].split(4)
        assert len(per_image[0].boxes) > 1
        for original, view in zip(per_image[:2], per_image[2:], strict=True):
            torch.testing.assert_close(original.boxes, view.boxes)
            assert torch.equal(original.classes, view.classes)
        assert not found[0].boxes.requires_grad
        assert not found[0].scores.requires_grad


class TestGivenView:
    def test_is_used_as_it_is(self, monkeypatch):
        monkeypatch.setattr(SecondView, "make", refuse)
        batch = two_items()
        for item in batch:
            item["image_aug"] = 255 - item["image"]
        model = tiny_model(*ALWAYS_FLIPPED)
        images = seen_by_backbone(model, batch)
        for view, item in zip(images[2:], batch, strict=True):
            _, height, width = item["image"].shape
            expected = (item["image_aug"] - model.pixel_mean) / model.pixel_std
            assert torch.equal(view[:, :height, :width], expected)
            assert not view[:, height:].any()
            assert not view[:, :, width:].any()

    def test_is_in_the_frame_of_the_original(self):
        batch = two_items()
        batch[0]["image_aug"] = batch[0]["image"]
        mined = make_labels([[10, 0, 20, 9], [10, 0, 20, 9]], images=[0, 1])
        labels, _ = labels_of(tiny_model(*ALWAYS_FLIPPED), batch, mined)
        assert labels[2].boxes.tolist() == [[8, 10, 40, 44], [50, 20, 90, 60], [10, 0, 20, 9]]
        assert labels[3].boxes.tolist() == [[20, 30, 44, 58], [44, 0, 54, 9]]

    @pytest.mark.parametrize("shape", [(3, 64, 95), (3, 96, 64), (1, 64, 96)])
    def test_another_shape_is_refused(self, shape):
        batch = two_items()
        batch[0].update(image_aug=torch.zeros(shape), file_name="folder/a.jpg")
        with pytest.raises(InputError, match=r"'image_aug' of folder/a.jpg has shape"):
            step(tiny_model(), batch)


class TestInference:
    @each_detector
    def test_makes_no_second_view(self, detector, monkeypatch):
        monkeypatch.setattr(SecondView, "make", refuse)
        monkeypatch.setattr(SecondView, "draw", refuse)
        model = tiny_model(detector=detector).eval()
        assert len(seen_by_backbone(model, two_items())) == 2
        with torch.no_grad():
            assert len(model(two_items())) == 2  # nor an event storage

    @each_detector
    def test_training_sees_both_views(self, detector):
        assert len(seen_by_backbone(tiny_model(detector=detector), two_items())) == 4

    @each_detector
    def test_mine_images(self, detector):
        model, batch = tiny_model(detector=detector).eval(), two_items()
        mined = model.mine_images(batch)
        assert len(mined) == 2
        for labels in mined:
            assert len(labels.boxes) > 1
            # FCOS's threshold is of the class score alone, not of what ranks.
            assert detector == "FCOS" or (labels.scores > model.method.floor).all()
            assert labels.scores.tolist() == sorted(labels.scores.tolist(), reverse=True)
            assert (labels.boxes[:, 2:] > labels.boxes[:, :2]).all()

    # FCOS's thresholds are of different scores, and agree at 0 alone.
    @pytest.mark.parametrize(("detector", "threshold"), [("RetinaNet", 0.6), ("FCOS", 0.0)])
    def test_mine_images_agrees_with_inference(self, detector, threshold):
        """Up to clipping: mining is inference at another threshold."""
        model = tiny_model(
            "MODEL.COMINING.SCORE_THRESH", threshold,
            f"MODEL.{detector.upper()}.SCORE_THRESH_TEST", threshold,
            detector=detector,
        ).eval()  # fmt: skip
        batch = two_items()
        with torch.no_grad():
            outputs = model(batch)
        for item, labels, output in zip(batch, model.mine_images(batch), outputs, strict=True):
            found = output["instances"]
            height, width = item["image"].shape[1:]
            clipped = labels.boxes.clone()
            clipped[:, 0::2].clamp_(0, width)
            clipped[:, 1::2].clamp_(0, height)
            inside = (clipped[:, 2:] > clipped[:, :2]).all(1)
            torch.testing.assert_close(clipped[inside], found.pred_boxes.tensor)
            torch.testing.assert_close(labels.scores[inside], found.scores)
            assert torch.equal(labels.classes[inside], found.pred_classes)

    def test_mine_images_refuses_training_mode(self):
        with pytest.raises(RuntimeError, match=r"eval\(\)"):
            tiny_model().mine_images(two_items())


class TestSettings:
    @pytest.mark.parametrize("key", ["SCORE_THRESH", "IOU_THRESH"])
    @pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
    def test_threshold_outside_its_range(self, key, value):
        cfg = tiny_config(f"MODEL.COMINING.{key}", value)
        with pytest.raises(InputError, match=rf"MODEL\.COMINING\.{key} is {value}.* 0 and 1"):
            build_model(cfg)

    @pytest.mark.parametrize("key", ["SCORE_TRESH", "VIEW.BLUR"])
    def test_unknown_key(self, key, tmp_path):
        with pytest.raises((KeyError, AssertionError), match=key.rpartition(".")[2]):
            tiny_config(f"MODEL.COMINING.{key}", 0.5)
        path = tmp_path / "config.yaml"
        *parents, name = key.split(".")
        inner = f"VIEW: {{{name}: 0.5}}" if parents else f"{name}: 0.5"
        path.write_text(f"MODEL:\n  COMINING:\n    {inner}\n")
        with pytest.raises(KeyError, match=name):
            tiny_config().merge_from_file(str(path), allow_unsafe=False)

    @pytest.mark.parametrize(("number", "told"), [(1, "1 channel;"), (4, "4 channels;")])
    def test_input_of_other_than_three_channels(self, number, told):
        statistics = [100.0] * number
        cfg = tiny_config("MODEL.PIXEL_MEAN", statistics, "MODEL.PIXEL_STD", statistics)
        with pytest.raises(InputError, match=f"PIXEL_MEAN has {told}"):
            build_model(cfg)

    @pytest.mark.parametrize("own_view", [False, True])
    def test_image_of_other_than_three_channels(self, own_view):
        batch = two_items()
        batch[1]["image"] = batch[1]["image"][:1]
        batch[1]["file_name"] = "grey.png"
        if own_view:
            for item in batch:
                item["image_aug"] = item["image"]
        with pytest.raises(InputError, match=r"grey\.png has 1 channel"):
            step(tiny_model(), batch)

    def test_unknown_box_loss(self):
        with pytest.raises(InputError, match=r"BBOX_REG_LOSS_TYPE is 'l3'; .* giou, diou, ciou"):
            build_model(tiny_config("MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "l3"))

    @each_detector
    def test_config_without_the_projects_keys(self, detector):
        cfg = get_cfg()
        cfg.MODEL.META_ARCHITECTURE = f"CoMining{detector}"
        with pytest.raises(InputError, match=r"call comining\.add_comining_config"):
            build_model(cfg)

    @each_detector
    def test_config_reaches_the_model(self, detector):
        cfg = tiny_config(
            "MODEL.COMINING.SCORE_THRESH", 0.75,
            "MODEL.COMINING.IOU_THRESH", 0.25,
            "SEED", 7,
            detector=detector,
        )  # fmt: skip
        model = build_model(cfg)
        assert (model.method.floor, model.method.iou_thresh, model.seed) == (0.75, 0.25, 7)

    def test_without_a_seed_models_differ(self):
        first, second = (build_model(tiny_config("SEED", -1)).seed for _ in range(2))
        assert first != second
        assert min(first, second) >= 0


def refuse(*_):
    raise AssertionError("called")


def test_targets_have_single_precision_and_integer_classes():
    mined = make_labels([[10, 0, 20, 9]], images=[2])
    labels, _ = labels_of(tiny_model(), two_items(), mined)
    merged = Targets.cat(labels)
    assert (merged.boxes.dtype, merged.class_weights.dtype) == (torch.float32, torch.float32)
    assert (merged.classes.dtype, merged.images.dtype) == (torch.int64, torch.int64)


@each_detector
def test_a_head_that_is_confident_of_everything_is_survived(detector):
    """A broken checkpoint: every anchor is every class, on thousands of anchors."""
    model = tiny_model(detector=detector)
    torch.nn.init.constant_(model.head.cls_score.bias, 30.0)
    batch = items(((512, 512), [[8, 10, 40, 44]], [0]), ((512, 448), [], []))
    with EventStorage() as storage:
        losses = model(batch)
    assert all(loss.isfinite() for loss in losses.values())
    assert 0 < storage.latest()["comining/mined_per_image"][0] <= 100


def test_what_a_method_is_told_of_the_batch():
    """The pixels of the file, and which batch of an iteration it is, where there are several."""
    model, batch, given = tiny_model(*NO_JITTER), two_items(), []
    supervise = model.method.supervise
    model.method.supervise = lambda step: given.append(step) or supervise(step)
    with EventStorage(3):
        for _ in range(2):
            model(batch)
    step(model, batch, iteration=4)
    assert [(x.iteration, x.batch) for x in given] == [(3, 0), (3, 1), (4, 0)]
    pictures = given[0].pictures(given[0].images.tensor)
    assert pictures.dtype == torch.uint8
    for item, picture in zip(batch * 2, pictures, strict=True):
        height, width = item["image"].shape[1:]
        assert torch.equal(picture[:, :height, :width], item["image"].flip(0))  # BGR
