"""Co-mining with thresholds that are found while training."""

from __future__ import annotations

from detectron2.config import CfgNode
from torch import Tensor, nn

from comining.modeling.adaptive import CLOSE_IOU, FLOOR, AdaptiveThresholds
from comining.modeling.labels import HIT_IOU, Labels, overlap_any

from .method import METHOD_REGISTRY, Method, Step, Supervision


@METHOD_REGISTRY.register()
class Adaptive(Method):
    """What both branches detect above thresholds that follow from the precision shown on annotated
    objects is mined, by its class alone; what only one does, and what is less sure, is ignored.
    Together, the mined boxes of a process's batch weigh no more than its annotated ones.

    The thresholds are `AdaptiveThresholds`.
    """

    floor = FLOOR
    one_per_place = True
    asks_both_views = True

    def __init__(
        self,
        num_classes: int,
        precision: float = 0.95,
        object_precision: float = 0.3,
        crosswise: bool = True,
    ) -> None:
        """
        Args:
            num_classes, precision, object_precision: as of `AdaptiveThresholds`.
            crosswise: whether what the other branch is unsure of, too, is ignored by a branch;
                else what it is itself.

        Raises:
            InputError: a value is outside its range.
        """
        self.adaptive = AdaptiveThresholds(num_classes, precision, object_precision)
        self.crosswise = crosswise

    @classmethod
    def from_config(cls, cfg: CfgNode, num_classes: int) -> Adaptive:
        settings = cfg.MODEL.COMINING
        shares = settings.ADAPTIVE.PRECISION, settings.ADAPTIVE.OBJECT_PRECISION
        return cls(num_classes, *shares, settings.CROSSWISE)

    def supervise(self, step: Step) -> Supervision:
        confident, unsure, scalars = self._sort(step)
        found = others = step.images.to_other_view(confident)
        witness = confident
        if self.crosswise:
            unsure = step.images.to_other_view(unsure)
        else:
            found, witness = confident, others
        is_news = ~self.is_known(found, step.annotated)
        is_agreed = overlap_any(found, witness, HIT_IOU)
        mined, of_one_view = found.select_each(is_news & is_agreed, is_news & ~is_agreed)
        # Where little is annotated, a detector would else learn from itself above all.
        class_weight = min(1.0, len(step.annotated.boxes) / max(len(mined.boxes), 1))
        return Supervision(
            mined,
            class_weight=class_weight,
            box_weight=0.0,
            ignored=Labels.cat((of_one_view, unsure)),
            confident=confident,
            scalars=scalars,
        )

    def _sort(self, step: Step) -> tuple[Labels, Labels, dict[str, Tensor]]:
        """What is sure enough to be mined, what of the rest is to be ignored, and the mean
        thresholds."""
        if step.begins_training:
            self.adaptive.reset()
        found = step.detections
        mine_above, ignore_above = self.adaptive.thresholds()
        if step.is_learning:
            far = self.adaptive.observe(found, step.annotated, len(step.images), step.known)
        else:
            far = self.adaptive.are_far(found, step.annotated)
        is_mined = found.scores > mine_above[found.classes]
        is_ignored = far & ~is_mined & (found.scores > ignore_above[found.classes])
        confident, unsure = found.select_each(is_mined, is_ignored)
        means = {
            name: score.clamp(max=1).mean()
            for name, score in (("mining_above", mine_above), ("ignoring_above", ignore_above))
        }
        return confident, unsure, means

    def thresholds(self) -> Tensor:
        return self.adaptive.thresholds()[0]

    def is_known(self, mined: Labels, annotated: Labels) -> Tensor:
        return overlap_any(mined, annotated, CLOSE_IOU, class_wise=False)

    def modules(self) -> dict[str, nn.Module]:
        return {"adaptive": self.adaptive}

    def why_nothing_is_mined(self) -> str:
        if self.adaptive.precision == 1:
            return (
                "with a MODEL.COMINING.ADAPTIVE.PRECISION of 1 nothing is mined; set it to 0.95, "
                "say"
            )
        return "the weights hold no thresholds that were learnt in training"


@METHOD_REGISTRY.register()
class Ignoring(Adaptive):
    """`Adaptive` with a wanted precision of 1: nothing is mined, what would be is ignored."""

    def __init__(
        self, num_classes: int, object_precision: float = 0.3, crosswise: bool = True
    ) -> None:
        """Takes the arguments of `Adaptive`, but for the precision."""
        super().__init__(num_classes, 1.0, object_precision, crosswise)

    @classmethod
    def from_config(cls, cfg: CfgNode, num_classes: int) -> Ignoring:
        settings = cfg.MODEL.COMINING
        return cls(num_classes, settings.ADAPTIVE.OBJECT_PRECISION, settings.CROSSWISE)

    def why_nothing_is_mined(self) -> str:
        return "MODEL.COMINING.METHOD Ignoring mines nothing: set it to Adaptive, say"
