"""A teacher whose scores are calibrated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from comining.errors import InputError
from comining.modeling.background import Background, Level
from comining.modeling.labels import Labels, box_areas, overlap_any, overlaps, pairwise_iou
from comining.modeling.logistic import LogisticCalibration
from comining.modeling.ranges import check_range

from .method import METHOD_REGISTRY, Method, Step, Supervision

#: A teacher's box is on an annotated object of its class if their IoU is above ON_IOU, and right if
#: it is above RIGHT_IOU.
ON_IOU, RIGHT_IOU = 0.5, 0.75
#: A box is no news if its IoU with an annotated one of its class, or of any, is above, or if so
#: much of either is inside the other, of the same class.
SAME_CLASS_IOU, ANY_CLASS_IOU, INSIDE = 0.6, 0.75, 0.9
#: Of FIoU: b, k, a, gamma, and what keeps the logarithm finite.
BASE, RAISE, ALPHA, GAMMA, EPSILON = 0.5, 3.0, 0.25, 2.0, 1e-5


@METHOD_REGISTRY.register()
class CalibratedTeacher(Method):
    """A teacher's detections label both views where their score stands for a high precision, as
    annotated objects show it (Calibrated Teacher for Sparsely Annotated Object Detection, Wang et
    al., AAAI 2023; the released code is followed).

    In every period the teacher's boxes on annotated objects tell a logistic function from score to
    precision. Those that are accepted afterwards score above two thresholds, are no smaller than a
    few pixels, and no news is what is annotated or contains it. Late in the training background
    anchors are weighed by `fiou_weights`.

    Deviations: both views learn; the second one, which the paper's student sees alone, has this
    project's colour jitter and mirroring. The teacher sees the original at the detector's own size.
    The function follows from the boxes of the last period, counted by the thousandth of their
    score, with a weak prior (`LogisticCalibration`). FIoU's gradient stops at the predicted box,
    where the released code lets it flow. On FCOS, for which there is no form, scores are
    sqrt(class score x centerness). Mining with a trained detector goes by the teacher's thresholds,
    whichever of the two is asked (MODEL.COMINING.TEACHER.EVALUATE).
    """

    asks_teacher = True
    weighs_background = True

    def __init__(
        self,
        num_classes: int,
        score_thresh: float = 0.4,
        precision: float = 0.7,
        min_side: float = 10.0,
        period: int = 500,
        fiou_begin: float = 152 / 180,
    ) -> None:
        """
        Args:
            num_classes: K.
            score_thresh: accepted boxes score at least that; in [0, 1].
            precision: and stand for at least that; in (0, 1).
            min_side: both their sides are longer, in pixels of the network; at least 0.
            period: in iterations; in the first one nothing is accepted. At least 1.
            fiou_begin: the share of the training from which background is weighed; in [0, 1], 1 for
                never.

        Raises:
            InputError: a value is outside its range.
        """
        node = "MODEL.COMINING.CALIBRATEDTEACHER"
        check_range(node, score_thresh=score_thresh, fiou_begin=fiou_begin)
        check_range(node, most=math.inf, min_side=min_side)
        if not 0 < precision < 1:
            raise InputError(f"{node}.PRECISION is {precision}; it must be above 0 and below 1")
        if period < 1:
            raise InputError(f"{node}.PERIOD is {period}; it must be at least 1")
        self.num_classes = num_classes
        self.floor = score_thresh
        self.teacher_floor = 0.05  # what an evaluation looks at
        self.precision = precision
        self.min_side = min_side
        self.period = period
        self.fiou_begin = fiou_begin
        self.calibration = LogisticCalibration()

    def supervise(self, step: Step) -> Supervision:
        assert step.teacher is not None
        found = step.teacher.detections
        if step.is_learning:
            self._calibrate(step, found)
        threshold = self.thresholds()[0]
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        is_accepted = (found.scores >= threshold) & (sides > self.min_side).all(1)
        if step.iteration <= self.period:
            is_accepted = torch.zeros_like(is_accepted)
        mined = found.select(is_accepted & ~self.is_known(found, step.annotated))
        return Supervision(
            mined,
            background=self._background(step, mined),
            scalars={"mining_above": threshold.clamp(max=1)},
        )

    def _calibrate(self, step: Step, found: Labels) -> None:
        if step.begins_training:
            self.calibration.reset()
        elif step.iteration > 0 and step.iteration % self.period == step.batch == 0:
            self.calibration.fit()
        seen = found.select(
            (found.images < len(step.images) // 2) & overlap_any(found, step.annotated, ON_IOU)
        )
        self.calibration.observe(seen.scores, overlap_any(seen, step.annotated, RIGHT_IOU))

    def _background(self, step: Step, mined: Labels) -> BackgroundOfBoxes | None:
        if step.max_iter is None or step.iteration < self.fiou_begin * step.max_iter:
            return None
        assert step.predictions is not None
        mined = mined.select(~step.is_ruled_out(mined))
        objects = Labels.cat((step.annotated, mined)).split(len(step.images))
        return BackgroundOfBoxes(fiou_weights(step.predictions.boxes, [x.boxes for x in objects]))

    def thresholds(self) -> Tensor:
        threshold = self.calibration.score_of(self.precision).clamp(min=self.floor)
        return threshold.expand(self.num_classes)

    def is_known(self, mined: Labels, annotated: Labels) -> Tensor:
        return overlap_any(mined, annotated, ANY_CLASS_IOU, class_wise=False) | (
            overlaps(mined, annotated, SAME_CLASS_IOU) | _contain(mined, annotated)
        ).any(1)

    def modules(self) -> dict[str, nn.Module]:
        return {"calibration": self.calibration}

    def why_nothing_is_mined(self) -> str:
        return (
            f"no score is above a MODEL.COMINING.CALIBRATEDTEACHER.SCORE_THRESH of {self.floor:g} "
            f"and stands for a PRECISION of {self.precision:g}"
        )


class BackgroundOfBoxes:
    """Weighs background anchors, of all classes alike."""

    def __init__(self, weights: Tensor) -> None:
        """
        Args:
            weights: (B, R).
        """
        self.weights = weights

    def __call__(self, level: Level) -> Background:
        is_background = level.classes == level.logits.shape[2]
        return Background(level.part(torch.where(is_background, self.weights, 1.0)))


def fiou_weights(boxes: Tensor, objects: Sequence[Tensor]) -> Tensor:
    """What background anchors weigh by where their predicted box lies (Calibrated Teacher, FIoU).

    With u, the highest IoU of the box with an object, b + k (1 - b) (-a u^gamma log(1 - u)): half
    far from all objects, and more the nearer a box is to one.

    Args:
        boxes: (B, R, 4) XYXY, the predicted ones.
        objects: of each of B images (G, 4).

    Returns:
        (B, R).
    """
    nearest = torch.stack(
        [
            pairwise_iou(x, of_image).amax(1) if len(x) and len(of_image) else x.new_zeros(len(x))
            for x, of_image in zip(boxes, objects, strict=True)
        ]
    )
    focus = -ALPHA * nearest**GAMMA * (1 - nearest + EPSILON).log()
    return BASE + RAISE * (1 - BASE) * focus


def _contain(labels: Labels, others: Labels) -> Tensor:
    """Which labels and others of one class and image lie nearly one inside the other, (M, P)."""
    low = torch.maximum(labels.boxes[:, None, :2], others.boxes[:, :2])
    high = torch.minimum(labels.boxes[:, None, 2:], others.boxes[:, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    smaller = torch.minimum(box_areas(labels.boxes)[:, None], box_areas(others.boxes))
    same = labels.images[:, None] == others.images
    same &= labels.classes[:, None] == others.classes
    return (shared > INSIDE * smaller) & same
