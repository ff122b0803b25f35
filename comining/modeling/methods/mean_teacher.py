"""A teacher's confident detections as labels."""

from __future__ import annotations

from torch import Tensor

from comining.modeling.labels import Labels, overlap_any
from comining.modeling.ranges import check_range

from .method import KNOWN_IOU, METHOD_REGISTRY, Method, Step, Supervision


@METHOD_REGISTRY.register()
class MeanTeacher(Method):
    """What a teacher detects in the original above a fixed score labels both views, as good as
    annotated: the plainest method with a teacher (Tarvainen and Valpola, NeurIPS 2017; Unbiased
    Teacher, Liu et al., ICLR 2021, for detectors).

    Deviations from Unbiased Teacher: the annotated and the mined boxes are of the same images,
    mined boxes near annotated ones are dropped as in Co-mining, boxes are learnt as well as
    classes, the detector learns from both views, and nothing is burnt in but by the teacher's own
    lag.
    """

    asks_teacher = True

    def __init__(self, score_thresh: float = 0.6, iou_thresh: float = KNOWN_IOU) -> None:
        """
        Args:
            score_thresh: a detection whose class score is above becomes a label; in [0, 1].
            iou_thresh: a mined box whose IoU with an annotated one of its class is above is no
                news and dropped; in [0, 1].

        Raises:
            InputError: a value is outside its range.
        """
        check_range("MODEL.COMINING.MEANTEACHER", score_thresh=score_thresh, iou_thresh=iou_thresh)
        self.floor = self.teacher_floor = score_thresh
        self.iou_thresh = iou_thresh

    def supervise(self, step: Step) -> Supervision:
        assert step.teacher is not None
        found = step.teacher.detections
        return Supervision(found.select(~self.is_known(found, step.annotated)))

    def is_known(self, mined: Labels, annotated: Labels) -> Tensor:
        return overlap_any(mined, annotated, self.iou_thresh)

    def why_nothing_is_mined(self) -> str:
        return f"no score is above a MODEL.COMINING.MEANTEACHER.SCORE_THRESH of {self.floor:g}"
