import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform, Box2BoxTransformLinear
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from fvcore.nn import sigmoid_focal_loss
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from comining.modeling.background import Background
from comining.modeling.losses import (
    BOX_LOSSES,
    box_loss,
    centerness,
    dense_focal_loss,
    focal_loss,
    giou_loss,
)
from comining.modeling.per_branch import sum_per_branch

TRANSFORM = Box2BoxTransform((1.0, 1.0, 1.0, 1.0))


def by_the_formula(logits, classes, alpha, gamma):
    """Per branch, -a (1 - p_t)^gamma log(p_t) against one-hot targets."""
    num_classes = logits.shape[3]
    one_hot = F.one_hot(classes.clamp(min=0), num_classes + 1)[..., :-1]  # (V, N, A, S, K)
    present = one_hot.movedim(-1, 3).bool()
    log_p_t = torch.where(present, F.logsigmoid(logits), F.logsigmoid(-logits))
    weight = torch.where(present, alpha, 1 - alpha)
    loss = -weight * (1 - log_p_t.exp()) ** gamma * log_p_t
    loss = loss * (classes >= 0)[:, :, :, None]
    return torch.stack([branch.sum() for branch in loss])


def random_case(num_classes, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(num_classes)
    shape = (2, 3, 2, num_classes, 20)
    logits = torch.randn(shape, generator=generator, dtype=dtype) * scale
    classes = torch.randint(-1, num_classes + 1, (2, 3, 2, 20), generator=generator)
    return logits.requires_grad_(), classes


class TestFocalLoss:
    @pytest.mark.parametrize("num_classes", [1, 4])
    @pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
    @pytest.mark.parametrize("alpha", [0.25, 1.0])
    def test_value_and_gradient(self, num_classes, gamma, alpha):
        logits, classes = random_case(num_classes)
        loss = focal_loss(logits, classes, alpha=alpha, gamma=gamma)
        expected = by_the_formula(logits, classes, alpha, gamma)
        torch.testing.assert_close(loss, expected)
        weights = torch.tensor([2.0, -3.0], dtype=torch.float64)  # the branches are separate
        (gradient,) = torch.autograd.grad((loss * weights).sum(), logits)
        (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), logits)
        torch.testing.assert_close(gradient, expected_gradient)

    def test_by_hand(self):
        # Score 0.5 everywhere: 0.5^2 * log 2, weighted 0.25 for a present class, else 0.75.
        logits = torch.zeros(1, 1, 1, 2, 3)
        classes = torch.tensor([1, 2, -1]).view(1, 1, 1, 3)
        loss = focal_loss(logits, classes, alpha=0.25, gamma=2.0)
        assert loss.item() == pytest.approx((0.25 + 3 * 0.75) * 0.25 * 0.69314718)

    def test_alpha_below_0_is_no_weight(self):
        """As detectron2 and fvcore have it."""
        logits, classes = random_case(3, dtype=torch.float32)
        wanted = F.one_hot(classes.clamp(0), 4)[..., :3].movedim(-1, 3).to(logits.dtype)
        reference = sigmoid_focal_loss(logits, wanted, alpha=-1, gamma=2, reduction="none")
        expected = (reference * (classes >= 0).unsqueeze(3)).flatten(1).sum(1)
        loss = focal_loss(logits, classes, alpha=-1, gamma=2)
        torch.testing.assert_close(loss, expected)
        gradients = (torch.autograd.grad(x.sum(), logits)[0] for x in (loss, expected))
        torch.testing.assert_close(*gradients)

    def test_gradcheck(self):
        logits, classes = random_case(3)
        torch.autograd.gradcheck(
            lambda x: focal_loss(x, classes[..., :5], alpha=0.25, gamma=2.0),
            logits[..., :5].detach().requires_grad_(),
        )

    @pytest.mark.parametrize("gamma", [0.0, 2.0])
    def test_extreme_logits(self, gamma):
        values = torch.tensor([-50.0, 50.0]).repeat(4)
        logits = values.view(1, 1, 1, 1, 8).requires_grad_()
        classes = torch.tensor([0, 0, 1, 1, -1, -1, 0, 1]).view(1, 1, 1, 8)
        loss = focal_loss(logits, classes, alpha=0.25, gamma=gamma)
        # A sure mistake costs 50 times its weight, a sure hit nothing: -50 present twice, 50
        # absent twice.
        assert loss.item() == pytest.approx(50 * (0.25 * 2 + 0.75 * 2))
        loss.backward()
        expected = [-0.25, 0, 0, 0.75, 0, 0, -0.25, 0.75]
        torch.testing.assert_close(logits.grad.flatten(), torch.tensor(expected), atol=1e-6, rtol=0)

    @pytest.mark.parametrize("classes", [[-1, -1], [2, 2]], ids=["ignored", "background"])
    def test_no_foreground(self, classes):
        logits = torch.tensor([[0.3, -1.0], [2.0, 0.5]]).view(1, 1, 1, 2, 2).requires_grad_()
        targets = torch.tensor(classes).view(1, 1, 1, 2)
        loss = focal_loss(logits, targets, alpha=0.25, gamma=2.0)
        torch.testing.assert_close(loss, by_the_formula(logits, targets, 0.25, 2.0))
        loss.backward()
        assert bool((logits.grad == 0).all()) == (classes[0] == -1)

    def test_single_precision(self):
        logits, classes = random_case(80, scale=2.0)
        expected = by_the_formula(logits, classes, 0.25, 2.0)
        loss = focal_loss(logits.float(), classes, alpha=0.25, gamma=2.0)
        torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)

    def test_weights(self):
        """Of foreground the given ones, of absent classes the others, by the formula."""
        logits, classes = random_case(3)
        generator = torch.Generator().manual_seed(1)
        weights = torch.rand(classes.shape, generator=generator, dtype=torch.float64)
        absent = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
        is_present = torch.rand(logits.shape, generator=generator) < 0.3
        score = logits.sigmoid()
        wanted = F.one_hot(classes.clamp(0), 4)[..., :3].movedim(-1, 3)
        of_each = torch.where(
            wanted == 1,
            -0.25 * (1 - score) ** 2 * score.log(),
            -0.75
            * absent
            * torch.where(is_present, (1 - score) ** 2 * score.log(), score**2 * (1 - score).log()),
        )
        of_position = torch.where(classes == 3, 1.0, weights) * (classes >= 0)
        expected = (of_each * of_position[:, :, :, None]).flatten(1).sum(1)
        background = Background(absent, is_present)
        loss = focal_loss(
            logits, classes, alpha=0.25, gamma=2.0, weights=weights, background=background
        )
        torch.testing.assert_close(loss, expected)
        gradients = (torch.autograd.grad(x.sum(), logits)[0] for x in (loss, expected))
        torch.testing.assert_close(*gradients)


class TestDenseFocalLoss:
    @pytest.mark.parametrize("num_shapes", [1, 2])
    def test_against_one_level_after_the_other(self, num_shapes):
        """Anchors by row, column and shape, as `permute_to_N_HWA_K` has them."""
        generator = torch.Generator().manual_seed(0)
        logits = [
            torch.randn(4, num_shapes * 3, *size, generator=generator) for size in [(2, 3), (1, 2)]
        ]
        classes = torch.randint(-1, 4, (4, 8 * num_shapes), generator=generator)
        flat = torch.cat([permute_to_N_HWA_K(x, 3) for x in logits], dim=1)
        expected = focal_loss(
            flat.mT.view(2, 2, 1, 3, -1), classes.view(2, 2, 1, -1), alpha=0.25, gamma=2.0
        )
        loss = dense_focal_loss(logits, classes, num_branches=2, alpha=0.25, gamma=2.0)
        torch.testing.assert_close(loss, expected)

    def test_background_by_anchor(self):
        """Weights of each anchor, of which a level is given its own, and what is present."""
        generator = torch.Generator().manual_seed(0)
        logits = [torch.randn(2, 6, *size, generator=generator) for size in [(2, 3), (1, 2)]]
        weights = torch.rand(2, 16, generator=generator)
        is_present = torch.rand(2, 16, generator=generator) < 0.5
        loss = dense_focal_loss(
            logits,
            torch.full((2, 16), 3),
            num_branches=2,
            alpha=0.25,
            gamma=2.0,
            background=lambda level: Background(level.part(weights), level.part(is_present)),
        )
        score = torch.cat([permute_to_N_HWA_K(x, 3) for x in logits], dim=1).sigmoid()
        score = torch.where(is_present[:, :, None], 1 - score, score)
        expected = -0.75 * score**2 * (1 - score).log() * weights[:, :, None]
        torch.testing.assert_close(loss, expected.sum((1, 2)))


class TestBoxLoss:
    def test_smooth_l1_by_hand(self):
        # From the 10 x 10 anchor to the target: dx = 0.1, dy = 0.2, dw = 0, dh = log 2.
        anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(2, 1)
        targets = torch.tensor([[1.0, -3.0, 11.0, 17.0]]).repeat(2, 1)
        deltas = torch.tensor([[0.1, 0.25, 0.0, 0.69314718], [0.0, 0.2, 1.0, 0.0]])
        loss = box_loss(deltas, anchors, targets, TRANSFORM, kind="smooth_l1", smooth_l1_beta=0.1)
        # Quadratic below beta (0.5 d^2 / beta), else d - beta / 2.
        expected = [0.5 * 0.05**2 / 0.1, (0.1 - 0.05) + (1 - 0.05) + (0.69314718 - 0.05)]
        assert loss.tolist() == pytest.approx(expected, rel=1e-5)

    def test_smooth_l1_with_beta_zero_is_l1(self):
        anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
        deltas = torch.tensor([[0.5, 0.0, -0.25, 0.0]])
        loss = box_loss(deltas, anchors, anchors, TRANSFORM, kind="smooth_l1", smooth_l1_beta=0.0)
        assert loss.tolist() == pytest.approx([0.75])

    def test_giou_by_hand(self):
        anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(3, 1)
        deltas = torch.zeros(3, 4)  # the anchor itself is predicted
        targets = torch.tensor([[0.0, 0.0, 10, 10], [5.0, 0, 15, 10], [20.0, 0, 30, 10]])
        loss = box_loss(deltas, anchors, targets, TRANSFORM, kind="giou", smooth_l1_beta=0.1)
        # 1 - IoU + empty share of the hull: half overlapping; apart, with a third empty.
        assert loss.tolist() == pytest.approx([0, 1 - 50 / 150, 1 + 100 / 300], abs=1e-5)

    def test_giou_is_torchvisions(self):
        """Value and gradient, also of boxes that touch, lie apart or are empty."""
        generator = torch.Generator().manual_seed(0)
        boxes = torch.randint(6, (200, 2, 2), generator=generator).float()
        boxes = torch.cat((boxes.amin(1), boxes.amax(1)), dim=1)
        ours, theirs = (boxes[:100].clone().requires_grad_() for _ in range(2))
        loss = giou_loss(ours, boxes[100:])
        expected = generalized_box_iou_loss(theirs, boxes[100:], reduction="none")
        torch.testing.assert_close(loss, expected)
        loss.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad)

    @pytest.mark.parametrize("kind", ["diou", "ciou"])
    def test_centre_distance_by_hand(self, kind):
        anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
        targets = torch.tensor([[5.0, 0.0, 15.0, 10.0]])
        loss = box_loss(
            torch.zeros(1, 4), anchors, targets, TRANSFORM, kind=kind, smooth_l1_beta=0.1
        )
        # 1 - IoU + (distance of the centres / diagonal of the hull)^2; the shapes agree.
        assert loss.tolist() == pytest.approx([1 - 50 / 150 + 25 / (225 + 100)], abs=1e-5)

    def test_distances_in_strides_by_hand(self):
        cells = torch.tensor([[0.0, 0.0, 8.0, 8.0]]).repeat(2, 1)
        deltas = torch.tensor([[0.5, 0.5, 1.0, 0.5], [-3.0, 0.5, 0.5, 0.5]])  # below 0 counts as 0
        targets = torch.tensor([[0.0, 0.0, 12.0, 8.0], [0.0, 0.0, 8.0, 8.0]])
        transform = Box2BoxTransformLinear(normalize_by_size=True)
        loss = box_loss(deltas, cells, targets, transform, kind="giou")
        assert loss.tolist() == pytest.approx([0, 1 - 32 / 64], abs=1e-5)

    @pytest.mark.parametrize("value", [float("inf"), float("nan")])
    def test_giou_of_a_prediction_that_is_not_finite(self, value):
        """It is the trainer's to notice."""
        anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
        transform = Box2BoxTransformLinear()
        loss = box_loss(torch.full((1, 4), value), anchors, anchors, transform, kind="giou")
        assert not loss.isfinite().any()

    @pytest.mark.parametrize("kind", BOX_LOSSES)
    def test_no_foreground(self, kind):
        deltas = torch.zeros(0, 4, requires_grad=True)
        loss = box_loss(
            deltas, torch.zeros(0, 4), torch.zeros(0, 4), TRANSFORM, kind=kind, smooth_l1_beta=0.1
        )
        assert loss.shape == (0,)
        loss.sum().backward()
        assert deltas.grad.shape == (0, 4)


class TestCenterness:
    def test_by_hand(self):
        distances = torch.tensor([[3.0, 2, 3, 2], [1, 2, 4, 2], [4, 9, 1, 1], [0.1, 1, 10, 100]])
        expected = [1, 0.5, (1 / 4 * 1 / 9) ** 0.5, 0.01]
        assert centerness(distances).tolist() == pytest.approx(expected)

    def test_nothing(self):
        assert centerness(torch.zeros(0, 4)).shape == (0,)


class TestSumPerBranch:
    def test_by_hand(self):
        values = torch.tensor([1.0, 2.0, 4.0, 8.0])
        sums = sum_per_branch(values, torch.tensor([1, 0, 1, 1]), 3)
        assert sums.tolist() == [2, 13, 0]

    def test_nothing(self):
        assert sum_per_branch(torch.zeros(0), torch.zeros(0, dtype=torch.int64), 2).tolist() == [
            0,
            0,
        ]
