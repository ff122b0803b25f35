"""Co-mining as published."""

from __future__ import annotations

from detectron2.config import CfgNode
from torch import Tensor

from comining.modeling.labels import Labels, overlap_any
from comining.modeling.ranges import check_range

from .method import KNOWN_IOU, METHOD_REGISTRY, Method, Step, Supervision


@METHOD_REGISTRY.register()
class Published(Method):
    """What either branch detects above a fixed score labels the other one, as good as annotated
    (Co-mining, Wang et al., AAAI 2021)."""

    def __init__(
        self, score_thresh: float = 0.6, iou_thresh: float = KNOWN_IOU, crosswise: bool = True
    ) -> None:
        """
        Args:
            score_thresh: a prediction whose class score is above becomes a label; in [0, 1].
            iou_thresh: a mined box whose IoU with an annotated one of its class is above is no
                news and dropped; in [0, 1].
            crosswise: whether each branch labels the other one; else itself.

        Raises:
            InputError: a value is outside its range.
        """
        check_range("MODEL.COMINING", score_thresh=score_thresh, iou_thresh=iou_thresh)
        self.floor = score_thresh
        self.iou_thresh = iou_thresh
        self.crosswise = crosswise

    @classmethod
    def from_config(cls, cfg: CfgNode) -> Published:
        settings = cfg.MODEL.COMINING
        return cls(settings.SCORE_THRESH, settings.IOU_THRESH, settings.CROSSWISE)

    def supervise(self, step: Step) -> Supervision:
        found = step.detections
        if self.crosswise:
            found = step.images.to_other_view(found)
        return Supervision(found.select(~self.is_known(found, step.annotated)))

    def is_known(self, mined: Labels, annotated: Labels) -> Tensor:
        return overlap_any(mined, annotated, self.iou_thresh)

    def why_nothing_is_mined(self) -> str:
        return f"no score is above a MODEL.COMINING.SCORE_THRESH of {self.floor:g}"
