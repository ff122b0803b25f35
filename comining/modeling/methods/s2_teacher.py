"""A teacher's clustered proposals as labels."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from comining.errors import InputError
from comining.modeling.background import Background, Level
from comining.modeling.clusters import cluster
from comining.modeling.entropy import UsualEntropy
from comining.modeling.freezing import LabelMemory
from comining.modeling.labels import HIT_IOU, Labels, overlap_any
from comining.modeling.ranges import check_range

from .method import METHOD_REGISTRY, Method, Step, Supervision

#: The teacher's best proposals of an image that count.
MOST = 30


@METHOD_REGISTRY.register()
class S2Teacher(Method):
    """Clusters of a teacher's proposals label both views, the more surely the more proposals agree;
    what the teacher sees is little learnt as background (S2Teacher: Step-by-step Teacher for
    Sparsely Annotated Oriented Object Detection, Lin et al., 2025; here for upright boxes).

    - The teacher's 30 best proposals of the original that score at least 0.6 and overlap no
      annotated or frozen box are clustered by `cluster`; a cluster's score is its confidence, which
      weighs what is learnt of it.
    - Clusters stay whose pixels have an entropy that is usual in annotated objects of their class,
      by `UsualEntropy`.
    - They are compared with those of the last time that the image was seen, by `LabelMemory`:
      confidence grows by a step where a label is found again and falls by one where it is lost.
      Above 1 it is frozen: learnt as if annotated ever after.
    - Focal-Ignore: the losses of hard background, near objects, are divided by its number, and
      those of other background, times 1 - the teacher's highest class score there, by its own.

    Deviations. What the paper leaves open: the step; a label is found again by a cluster of its
    class with an IoU above 0.5, whose box it takes; its confidence is no less than the score of
    that cluster before the step; one that is lost teaches nothing until it is found, and is
    forgotten at a confidence of 0; so far as an image is cropped, nothing is lost or found there;
    every time an image comes counts as an epoch. Proposals overlap an annotated box from an IoU
    of 0.5, whatever its class; clusters are made from the best score down; background is hard from
    an IoU of 0.2 with an object, which a label of the teacher's is, too (of FCOS: in a box); means
    and deviations are those of all that was annotated in the training so far. Positive anchors,
    those of labels included, divide the losses of objects. The teacher's momentum, 0.9996 in the
    paper, is MODEL.COMINING.TEACHER.MOMENTUM; two views learn.

    Freezing takes a mapper that tells how an image was augmented, as that of the project's trainer
    does: `comining.data.FrameMapper`.
    """

    asks_teacher = True
    weighs_background = True
    teacher_sees_both_views = True

    def __init__(
        self,
        num_classes: int,
        score_thresh: float = 0.6,
        hard_iou: float = 0.2,
        freeze_step: float = 0.1,
    ) -> None:
        """
        Args:
            num_classes: K.
            score_thresh: a proposal's class score is above; in [0, 1].
            hard_iou: background whose highest IoU with an object is at least that is hard; in
                [0, 1].
            freeze_step: what a label's confidence gains or loses each time; in [0, 1], 0 for
                labels that are not remembered.

        Raises:
            InputError: a value is outside its range.
        """
        check_range(
            "MODEL.COMINING.S2TEACHER",
            score_thresh=score_thresh,
            hard_iou=hard_iou,
            freeze_step=freeze_step,
        )
        self.floor = self.teacher_floor = score_thresh
        self.hard_iou = hard_iou
        self.entropy = UsualEntropy(num_classes)
        self.memory = LabelMemory(freeze_step) if freeze_step > 0 else None

    def supervise(self, step: Step) -> Supervision:
        assert step.teacher is not None
        num_images = len(step.images) // 2
        pictures = step.pictures(step.images.tensor[:num_images])
        annotated = step.annotated.select(step.annotated.images < num_images)
        if step.begins_training:
            self.entropy.reset()
            if self.memory is not None:
                self.memory.reset()
        if step.is_learning:
            self.entropy.observe(pictures, annotated)
        frozen = cut = annotated.none()
        if self.memory is not None:
            frozen, cut = self.memory.frozen(step.images)
        found = step.teacher.candidates(self.floor)
        is_known = self.is_known(found, Labels.cat((annotated, frozen)))
        labels = cluster(found.select((found.images < num_images) & ~is_known), MOST)
        # Boxes are not clipped, and what pads a picture depends on the batch.
        labels = labels.select(self.entropy.are_usual(pictures, step.images.clip(labels)))
        if self.memory is not None:
            labels = self._compare(step, labels, self.memory)
        mined = step.images.in_both_views(Labels.cat((frozen, labels)))
        mined = mined._replace(scores=mined.scores.clamp(max=1))
        return Supervision(
            mined,
            class_weight=mined.scores,
            box_weight=mined.scores,
            ignored=step.images.in_both_views(cut),  # as annotated boxes are
            background=partial(self.focal_ignore, step.teacher.foreground),
            scalars={"frozen_per_image": frozen.scores.sum() / num_images},
        )

    def _compare(self, step: Step, labels: Labels, memory: LabelMemory) -> Labels:
        """The labels, those that may be frozen one day with a confidence that knows the past."""
        is_wrong = step.is_ruled_out(labels)
        possible, compared = memory.compare(labels.select(~is_wrong), step.images)
        if step.is_learning:
            memory.remember(compared)
        return Labels.cat((possible, labels.select(is_wrong)))

    def focal_ignore(self, foreground: Tensor, level: Level) -> Background:
        """Weights of the background of a level, which are divided by the number of objects.

        Args:
            foreground: (2N, R), the teacher's highest class score of each anchor.
            level: of a detector that tells overlaps.

        Raises:
            InputError: it does not.
        """
        if level.overlaps is None:
            raise InputError(
                "MODEL.COMINING.METHOD S2Teacher needs a detector that hands the overlaps of its "
                "anchors to dense_focal_loss"
            )
        num_classes = level.logits.shape[2]
        is_background = level.classes == num_classes
        is_object = (level.classes >= 0) & ~is_background
        is_hard = is_background & (level.overlaps >= self.hard_iou)
        is_other = is_background & ~is_hard

        def count(anchors: Tensor) -> Tensor:
            """Of the branch of each image, (2N, 1)."""
            of_branches = anchors.unflatten(0, (2, -1)).sum((1, 2)).clamp(min=1)
            return of_branches.repeat_interleave(len(anchors) // 2)[:, None]

        objects = count(is_object)
        weights = torch.where(is_hard, objects / count(is_hard), 1.0)
        weights = torch.where(is_other, (1 - foreground) * objects / count(is_other), weights)
        return Background(level.part(weights))

    def is_known(self, mined: Labels, annotated: Labels) -> Tensor:
        return overlap_any(mined, annotated, HIT_IOU, class_wise=False)

    def modules(self) -> dict[str, nn.Module]:
        return {"entropy": self.entropy, **({} if self.memory is None else {"memory": self.memory})}

    def why_nothing_is_mined(self) -> str:
        return f"no score is above a MODEL.COMINING.S2TEACHER.SCORE_THRESH of {self.floor:g}"
