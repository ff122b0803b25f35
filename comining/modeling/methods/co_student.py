"""Two students and a teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from comining.modeling.background import Background, Level
from comining.modeling.labels import Labels, pairwise_iou
from comining.modeling.ranges import check_range

from .method import METHOD_REGISTRY, Method, Step, Supervision

#: A student's box is a teacher's, too, if their IoU is above.
SAME_IOU = 0.5


@METHOD_REGISTRY.register()
class CoStudent(Method):
    """Each view labels the other one, as in Co-mining, after a teacher has revised what it shows
    (Co-Student: Collaborating Strong and Weak Students for Sparsely Annotated Object Detection,
    ECCV 2024; the released code is followed).

    A teacher's box of at least the student's score takes the place of the student's box that it
    overlaps; one that overlaps none is added. An image without any object, annotated or mined,
    teaches no classes.

    Deviations: there are two views, not three. The original is the weak one and what the teacher
    sees; the second view, which has no translation, shear or erasing, is the strong one. Of several
    teacher's boxes the one that overlaps most is taken. Suppression is the detector's own, and so
    are its losses; FCOS's here does not weigh that on boxes by centerness. On RetinaNet, for which
    there is no form, boxes are ranked by class score. The teacher averages the statistics of batch
    normalisation, too, unless MODEL.COMINING.TEACHER.AVERAGE_BUFFERS is False, as it is there.
    """

    asks_teacher = True
    weighs_background = True

    def __init__(self, score_thresh: float = 0.5, teacher_thresh: float = 0.6) -> None:
        """
        Args:
            score_thresh, teacher_thresh: class scores of either view's and of the teacher's
                detections are above; in [0, 1].

        Raises:
            InputError: a value is outside its range.
        """
        shares = {"score_thresh": score_thresh, "teacher_thresh": teacher_thresh}
        check_range("MODEL.COMINING.COSTUDENT", **shares)
        self.floor = score_thresh
        self.teacher_floor = teacher_thresh

    def supervise(self, step: Step) -> Supervision:
        assert step.teacher is not None
        found = step.images.to_other_view(revise(step.detections, step.teacher.detections))
        is_box = (found.boxes[:, 2:] > found.boxes[:, :2]).all(1)
        mined = found.select(is_box & ~self.is_known(found, step.annotated))
        has_object = torch.zeros(len(step.images), device=mined.boxes.device)
        has_object[step.annotated.images] = 1
        has_object[mined.images[~step.is_ruled_out(mined)]] = 1

        def only_with_objects(level: Level) -> Background:
            return Background(has_object.view(-1, 1, 1, 1, 1))

        return Supervision(mined, background=only_with_objects)

    def why_nothing_is_mined(self) -> str:
        return f"no score is above a MODEL.COMINING.COSTUDENT.SCORE_THRESH of {self.floor:g}"


def revise(found: Labels, teachers: Labels) -> Labels:
    """What a student has found, made better by what a teacher has.

    Args:
        found: M rows.
        teachers: P rows, in the same frames.

    Returns:
        M rows, of which some are the teacher's, and those of the teacher that are near to none.
    """
    if len(found.boxes) == 0 or len(teachers.boxes) == 0:
        return Labels.cat((found, teachers))
    iou = pairwise_iou(found.boxes, teachers.boxes)
    iou = iou.masked_fill(found.images[:, None] != teachers.images, 0)
    is_as_sure = teachers.scores >= found.scores[:, None]
    best, which = iou.masked_fill(~is_as_sure, 0).max(1)
    better = teachers.select(which)
    revised = Labels(*(_where(best > SAME_IOU, x, y) for x, y in zip(better, found, strict=True)))
    return Labels.cat((revised, teachers.select(iou.amax(0) < SAME_IOU)))


def _where(rows: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *[1] * (one.dim() - 1)), one, other)
