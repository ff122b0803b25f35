"""What a method is given, what it answers, and what else is asked of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from comining.modeling.background import BackgroundWeights
from comining.modeling.known import Known
from comining.modeling.labels import Labels, overlap_any
from comining.modeling.predictions import Predictions
from comining.modeling.targets import Targets
from comining.modeling.two_views import TwoViews

METHOD_REGISTRY = Registry("METHOD")
METHOD_REGISTRY.__doc__ = "Methods by the names that ``MODEL.COMINING.METHOD`` takes."

#: A mined box is no news if its IoU with an annotated one of its class is above (Co-mining,
#: section "Co-mining").
KNOWN_IOU = 0.4


def to_uint8(pixels: Tensor) -> Tensor:
    """Pictures of what was not normalised."""
    return pixels.clamp(0, 255).to(torch.uint8)


class Step(NamedTuple):
    """What a method knows in an iteration. The batch is N images, then their second views.

    Attributes:
        images: the 2N images; ``to_other_view`` moves labels between the views.
        detections: of each of the 2N images, in its own frame, as the method asks for them by
            `Method.floor` and `Method.one_per_place`.
        annotated: the annotated boxes of each of the 2N images, in its own frame.
        iteration: of the training, from 0 on.
        max_iter: how many there will be; None where nobody knows.
        is_learning: whether an optimizer's step follows. Without, as in detectron2's PreciseBN,
            the method must not change.
        pictures: makes pictures (..., 3, H, W) uint8 of such parts of ``images.tensor``.
        predictions: all that the detector predicts on the 2N images; None where a step is made by
            hand.
        teacher: the same of the teacher; None if the method does not ask for one.
        known: what else is known of each of the 2N images; None if nothing is. A method may look
            at it, but needs not: see `Supervision.within`.
        batch: of the iteration, from 0 on: it has several where gradients are accumulated.
    """

    images: TwoViews
    detections: Labels
    annotated: Labels
    iteration: int
    max_iter: int | None = None
    is_learning: bool = True
    pictures: Callable[[Tensor], Tensor] = to_uint8
    predictions: Predictions | None = None
    teacher: Predictions | None = None
    known: Known | None = None
    batch: int = 0

    def is_ruled_out(self, labels: Labels) -> Tensor:
        """Which labels (M,) are not learnt in any case, as they contradict what is known."""
        if self.known is None:
            return torch.zeros_like(labels.classes, dtype=torch.bool)
        return self.known.is_complete(labels) | self.known.is_ignored(labels)

    @property
    def begins_training(self) -> bool:
        """Whether what an earlier training has taught a method does not hold any more."""
        return self.is_learning and self.iteration == self.batch == 0


class Supervision(NamedTuple):
    """What each of the 2N images is to teach beside its annotations, in its own frame.

    Attributes:
        mined: learnt as objects, with the class that they have here.
        class_weight, box_weight: how much of their class and of their place is learnt, at least 0,
            for all of them or (M,) for each. Annotated boxes have 1.
        ignored: neither objects nor background, of whatever class.
        background: tells what is learnt where a class is absent, of every anchor and class; None
            for a weight of 1, without memory for it.
        confident: what each view's own detector is sure of, to be logged; None for its detections.
        scalars: whatever else is to be logged, as ``comining/<name>``.
    """

    mined: Labels
    class_weight: float | Tensor = 1.0
    box_weight: float | Tensor = 1.0
    ignored: Labels | None = None
    background: BackgroundWeights | None = None
    confident: Labels | None = None
    scalars: Mapping[str, Tensor] = MappingProxyType({})

    def within(self, known: Known) -> Supervision:
        """Without what contradicts that which is known of the 2N images.

        Where a class is complete, nothing of it is mined, and its absence has full weight. What
        would be mined is certainly of another class, if of any: so it is ignored, which the losses
        take to be of those classes alone that aren't complete. In regions to ignore of their class,
        boxes are dropped: they teach nothing there in any case.
        """
        is_wrong, is_hidden = known.is_complete(self.mined), known.is_ignored(self.mined)
        rows = (~is_wrong & ~is_hidden).nonzero().squeeze(1)
        doubtful = self.mined.select(is_wrong & ~is_hidden)
        if self.ignored is not None:
            doubtful = Labels.cat((self.ignored, doubtful))
        weights = (
            x[rows] if isinstance(x, Tensor) and x.dim() else x
            for x in (self.class_weight, self.box_weight)
        )
        return self._replace(
            mined=self.mined.select(rows),
            class_weight=next(weights),
            box_weight=next(weights),
            ignored=doubtful.select(~known.is_finished(doubtful.images)),
            background=self.background and known.with_full_weight(self.background),
        )

    def targets(self, annotated: Labels) -> Targets:
        """All that is learnt from; annotated boxes come first."""
        parts = [
            Targets.learnt(annotated),
            Targets.learnt(self.mined, self.class_weight, self.box_weight),
        ]
        if self.ignored is not None:
            parts.append(Targets.ignoring(self.ignored))
        return Targets.cat(parts)


class Method(ABC):
    """Decides what two branches learn from. A subclass defines `supervise`; all else has defaults.

    Registered in `METHOD_REGISTRY`, it is chosen by ``MODEL.COMINING.METHOD``, its class's name.
    Arguments of its constructor that have defaults are keys of a node of its own,
    ``MODEL.COMINING.<NAME IN CAPITALS>.<ARGUMENT IN CAPITALS>``; a ``num_classes`` without a
    default is given to it.
    """

    #: Detections are boxes whose class score is above, in [0, 1].
    floor: float = 0.5
    #: Whether a place is one detection, of its best-scored class. Else it may be one of each.
    one_per_place: bool = False
    #: Whether a training mines what both views show. Where second views may be mirrored, mining
    #: without a training then asks the mirror image, too.
    asks_both_views: bool = False
    #: Whether a teacher, the moving average of the detector, is kept and asked, too.
    asks_teacher: bool = False
    #: The teacher's detections are boxes whose class score is above, in [0, 1].
    teacher_floor: float = 0.5
    #: Whether the teacher sees both views; else the originals alone, for half the time.
    teacher_sees_both_views: bool = False
    #: Whether it weighs what is learnt where a class is absent, at times: `Supervision.background`.
    weighs_background: bool = False
    #: Whether it learns nothing of its own where it isn't known what was withheld.
    asks_withheld: bool = False

    @abstractmethod
    def supervise(self, step: Step) -> Supervision:
        """What to learn from in a step, without gradients. Boxes may differ in number by image."""

    def thresholds(self) -> Tensor | None:
        """By class (K,), the score above which a detection is sure enough to be mined, at present;
        infinite where none is. None if `floor` says it all.

        Unlike that one, they are on what the detector ranks by, which of FCOS is sqrt(class score x
        centerness).
        """
        return None

    def is_known(self, mined: Labels, annotated: Labels) -> Tensor:
        """Which mined boxes (M,) are no news, since something is annotated there."""
        return overlap_any(mined, annotated, KNOWN_IOU)

    def modules(self) -> dict[str, nn.Module]:
        """What is moved and saved with the detector, under these names."""
        return {}

    def why_nothing_is_mined(self) -> str:
        """To a user: why no score is above the thresholds, and what helps with trained weights, if
        anything does."""
        return f"{type(self).__name__} has no thresholds that a score is above"
