"""Background recalibration."""

from __future__ import annotations

import math

import torch

from comining.errors import InputError
from comining.modeling.background import Background, Level
from comining.modeling.ranges import check_range

from .method import METHOD_REGISTRY, Method, Step, Supervision


@METHOD_REGISTRY.register()
class BRL(Method):
    """Nothing is mined. What lies far from all annotated objects may be one that is not annotated:
    there little is learnt, and the opposite where the detector is sure of an object (Solving
    Missing-Annotation Object Detection with Background Recalibration Loss, Zhang et al., ICASSP
    2020).

    The loss of *confusion* anchors, background whose IoU with all objects is below a bound, weighs
    a tenth. For each class of score p it is the focal loss of an absent class,
    (1 - alpha) p^gamma (-log(1 - p)), where 1 - p reaches a threshold, and elsewhere its mirror
    image, beta (1 - alpha) (1 - p)^gamma (-log p), which raises p. Without the latter it is the
    conservative form. All other anchors have the detector's own focal loss. The released code is
    followed, in the tenth and in the factors.

    Deviations: two views learn, as in all methods here. Of FCOS, for which the paper has no form,
    confusion locations are those outside all boxes. An annotated object that no anchor touches
    makes none positive. Both gammas are the detector's. All else of the assigner (positive from an
    IoU of 0.5, and the best anchors of each object; background below 0.4) is RetinaNet's as
    configured, and so is the loss on boxes, whose beta is 0.11 there.
    """

    floor = 1.0
    weighs_background = True

    def __init__(
        self,
        threshold: float = 0.5,
        mirrored: bool = True,
        weight: float = 0.1,
        beta: float = 1.0,
        confusion_iou: float = 0.1,
    ) -> None:
        """
        Args:
            threshold: the certainty of background, 1 - p, from which an anchor is learnt as that;
                in [0, 1].
            mirrored: whether what is less certain is learnt as an object; else it is left out.
            weight: of the losses of confusion anchors, at least 0.
            beta: of the mirrored ones beside that, at least 0.
            confusion_iou: background whose highest IoU with an object is below is confusion; in
                [0, 1].

        Raises:
            InputError: a value is outside its range.
        """
        node = "MODEL.COMINING.BRL"
        check_range(node, threshold=threshold, confusion_iou=confusion_iou)
        check_range(node, most=math.inf, weight=weight, beta=beta)
        self.threshold = threshold
        self.mirrored = mirrored
        self.weight = weight
        self.beta = beta
        self.confusion_iou = confusion_iou

    def supervise(self, step: Step) -> Supervision:
        return Supervision(step.detections.none(), background=self.recalibrate)

    def recalibrate(self, level: Level) -> Background:
        """Weights of the absent classes of a level, and which of them are taken for present.

        Raises:
            InputError: the detector does not tell overlaps.
        """
        if level.overlaps is None:
            raise InputError(
                "MODEL.COMINING.METHOD BRL needs a detector that hands the overlaps of its anchors "
                "to dense_focal_loss"
            )
        is_background = level.classes == level.logits.shape[2]
        is_confusion = level.part(is_background & (level.overlaps < self.confusion_iou))
        is_doubted = is_confusion & (1 - level.logits.sigmoid() < self.threshold)
        weights = torch.where(is_confusion, self.weight, 1.0)
        if not self.mirrored:
            return Background(weights.masked_fill(is_doubted, 0))
        return Background(torch.where(is_doubted, self.weight * self.beta, weights), is_doubted)

    def why_nothing_is_mined(self) -> str:
        return "MODEL.COMINING.METHOD BRL mines nothing"
