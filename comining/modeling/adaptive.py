"""Score thresholds that follow from the precision which annotated objects show."""

from __future__ import annotations

import torch
from detectron2.utils import comm
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from comining.errors import InputError

from .known import Known
from .labels import HIT_IOU, Labels, overlap_any

#: Detections with a lower class score are neither mined nor ignored.
FLOOR = 0.1
#: A detection is close to an annotated box if their IoU is above.
CLOSE_IOU = 0.2
NUM_BINS = 100
#: The share of what was counted that is left after a batch: about a hundred of them matter.
DECAY = 0.99
#: So many detections, in addition to those that were seen, speak for what was believed before: of
#: all classes together for nothing right, of one class for what holds for all.
DOUBT = 5.0
#: So many detections close to annotated boxes are needed to tell how many are to be far from them.
ENOUGH = 100.0
#: The ratio of far to close detections is taken above scores that so large a share of the right
#: ones reaches.
MOST = 0.8
#: How many standard errors above what was seen the ratio of far to close detections may be. Without
#: such a bound the least of many ratios would be what chance made of them.
STANDARD_ERRORS = 3.0
#: More than so many times as many far detections as expected are too many.
SLACK = 1.2

#: A box is not mined if, of those that score like it up to MARGIN bins more, it is more likely
#: wrong than right.
LIKELY = 0.5
MARGIN = 10
EPSILON = 1e-6

#: What is counted.
RIGHT, ON_OBJECT, CLOSE, FAR = range(4)


class AdaptiveThresholds(nn.Module):
    """Learns, while a detector is trained, how far its scores can be trusted.

    Where an object is annotated, it is known what should be detected. So among the detections
    *close* to an annotated box that score above t, the share that has its class and place tells the
    precision above t, and the share that has its place alone tells how many are on an object at
    all. Annotated objects are a sample of all objects. So the same shares hold for the detections
    *far* from annotated boxes, which are to be mined, but for those on plain background.

    These show by their number. Where detections are right, there are as many far ones per close one
    as there are missing objects per annotated one, which is the same from the first iteration to
    the last. It is taken above a score that most annotated objects reach, as people forget what is
    hard to see, which scores less. Where there are more than ``SLACK`` times as many as there may
    have been at least so far, the surplus is taken for background. So a detector that begins to
    believe its own mistakes is stopped. Nor is more ignored than may be missing: what is ignored is
    not pushed back, and background would score more and more.

    Nothing needs to be known of how many objects are missing, and no annotation is held out. The
    estimate is too high by as much as the detector has memorised annotated objects.

    If a class is known to be complete in some images, each far detection of it there is certainly a
    mistake. So many as these are per image, by score, are taken for mistakes in an image where the
    class isn't complete, too: what is left of the far detections may be objects. Of this and the
    estimate above the lower one holds. That an image stands for an image, however many detections
    it has, keeps images that were verified not to show a class from passing all of its detections
    off as mistakes; but the known images should be typical. Few of them say little: `DOUBT` more
    count as images without mistakes.
    """

    def __init__(
        self, num_classes: int, precision: float = 0.95, object_precision: float = 0.3
    ) -> None:
        """
        Args:
            num_classes: K.
            precision: the wanted share of mined boxes that have the right class and place, in
                (0, 1]. With 1 nothing is mined; what would be is ignored.
            object_precision: the wanted share of ignored or mined boxes that are on an object, of
                all classes together; in (0, 1).

        Raises:
            InputError: a value is outside its range.
        """
        super().__init__()
        if not 0 < precision <= 1:
            raise InputError(
                f"MODEL.COMINING.ADAPTIVE.PRECISION is {precision}; it must be above 0 and at most "
                "1, with which nothing is mined"
            )
        if not 0 < object_precision < 1:
            raise InputError(
                f"MODEL.COMINING.ADAPTIVE.OBJECT_PRECISION is {object_precision}; it must be "
                "between 0 and 1"
            )
        self.precision = precision
        self.object_precision = object_precision
        # Saved with the model, so that a resumed training goes on alike.
        self.counts: Tensor
        self.register_buffer("counts", torch.zeros(4, num_classes, NUM_BINS))
        # Of complete classes, far detections; and how many images are complete, or aren't.
        self.mistakes: Tensor
        self.register_buffer("mistakes", torch.zeros(num_classes, NUM_BINS))
        self.images: Tensor
        self.register_buffer("images", torch.zeros(2, num_classes))
        # Annotated boxes.
        self.annotated: Tensor
        self.register_buffer("annotated", torch.zeros(num_classes))
        # The ratio of far to close detections that was least so far, as high as it may be, of each
        # class and, at last, of all.
        self.least_far: Tensor
        self.register_buffer("least_far", torch.full((num_classes + 1,), torch.inf))

    def reset(self) -> None:
        """Forget what an earlier training has shown: another one may miss other objects."""
        for counts in (self.counts, self.mistakes, self.images, self.annotated):
            counts.zero_()
        self.least_far.fill_(torch.inf)

    def are_far(self, detections: Labels, annotated: Labels) -> Tensor:
        """Which detections are far from any annotated box, (M,) bool."""
        return ~overlap_any(detections, annotated, CLOSE_IOU, class_wise=False)

    @torch.no_grad()
    def observe(
        self, detections: Labels, annotated: Labels, num_images: int = 1, known: Known | None = None
    ) -> Tensor:
        """Count a batch's detections, of all processes.

        Args:
            detections: of a batch, one per place.
            annotated: the annotated boxes of the same images in the same frames.
            num_images: of the batch.
            known: what else is known of the images. What is far in a region to ignore is not
                counted.

        Returns:
            (M,) bool: which detections are far from any annotated box.
        """
        far = counted = self.are_far(detections, annotated)
        is_mistake = torch.zeros_like(far)
        # Images that are complete, that aren't, and annotated boxes, of each class.
        shown = self.images.new_zeros(3, len(self.annotated))
        shown[1] = num_images
        shown[2].index_add_(0, annotated.classes, torch.ones_like(annotated.scores))
        if known is not None:
            is_complete = known.is_complete(detections)
            counted = far & ~known.is_ignored(detections)
            counted, is_mistake = counted & ~is_complete, counted & is_complete
            shown[0] = known.complete.sum(0)
            shown[1] -= shown[0]
        of_kind = torch.stack(
            (
                overlap_any(detections, annotated, HIT_IOU),
                overlap_any(detections, annotated, HIT_IOU, class_wise=False),
                ~far,
                counted,
                is_mistake,
            )
        )
        bins = (detections.scores * NUM_BINS).long().clamp(0, NUM_BINS - 1)
        seen = self.counts.new_zeros(len(of_kind), *self.mistakes.shape)
        seen.flatten(1).index_add_(
            1, detections.classes * NUM_BINS + bins, of_kind.to(self.counts.dtype)
        )
        if comm.get_world_size() > 1:
            distributed.all_reduce(seen)
            distributed.all_reduce(shown)
        self.counts.mul_(DECAY).add_(seen[:-1])
        self.mistakes.mul_(DECAY).add_(seen[-1])
        self.images.mul_(DECAY).add_(shown[:2])
        self.annotated.mul_(DECAY).add_(shown[2])
        num_right, _, num_close, num_far, _ = self._above()
        are_most = num_right >= MOST * num_right[:, :1]
        ratio = torch.where(
            are_most & (num_close >= ENOUGH), _highest_ratio(num_far, num_close), torch.inf
        )
        torch.minimum(self.least_far, ratio.amin(1), out=self.least_far)
        return far

    def thresholds(self) -> tuple[Tensor, Tensor]:
        """The scores above which a detection is to be mined and, if it is not mined, ignored.

        Returns:
            (K,) and (K,), by class, in [0, 1], on the device; infinite while the wanted share is
            reached nowhere.
        """
        above = self._above()
        right, _, close, far, mistaken = above
        is_right_of_all = right[-1] / (close[-1] + DOUBT)
        is_right = self._share(right, close, far, mistaken, believed=is_right_of_all)
        # No number of detections proves that all are right: rounding alone would reach 1.
        mine = _first_score((is_right >= self.precision) & (self.precision < 1))
        here = above - F.pad(above, (0, MARGIN))[..., MARGIN:]
        right, _, close, far, mistaken = here
        is_right_here = self._share(right, close, far, mistaken, believed=is_right)
        # Empty ranges of scores say nothing, and where all that scores more is no better there is
        # nothing that the range could hide behind: the few highest scores are left to chance.
        hides = (is_right_here < LIKELY) & (close >= DOUBT) & (is_right >= LIKELY)
        first_likely = _last_score(hides) + 1 / NUM_BINS
        mine = torch.maximum(mine, first_likely)

        return mine[:-1], self._ignore_above(above).expand(len(mine) - 1)

    def _ignore_above(self, above: Tensor) -> Tensor:
        """(1,), of what was counted from each score on. It is the same for all classes: while they
        are confused, one of them may have many more far detections than objects are missing."""
        _, on_object, close, far, _ = above[:, -1:]
        nothing = torch.zeros_like(far)  # a mistake may be on an object of another class
        of_all = self._share(on_object, close, far, nothing, believed=nothing)
        may_be_missing = SLACK * self.least_far[-1] * (self.annotated.sum() + DOUBT)
        return _first_score((of_all >= self.object_precision) & (far <= may_be_missing))

    def _share(
        self, hits: Tensor, close: Tensor, far: Tensor, mistaken: Tensor, believed: Tensor
    ) -> Tensor:
        """The estimated share of hits among the far detections of each class and of all."""
        expected = torch.where(self.least_far.isfinite(), self.least_far, self.least_far[-1])
        expected = expected[-len(close) :, None]
        ratio = (far + DOUBT * expected) / (close + DOUBT)
        # As long as nothing is expected, nothing is too much.
        foreground = (SLACK * expected / ratio).nan_to_num(1.0).clamp(max=1)
        not_mistaken = (1 - mistaken / far.clamp(min=EPSILON)).clamp(min=0)
        foreground = torch.minimum(foreground, not_mistaken)
        return (hits + DOUBT * believed) / (close + DOUBT) * foreground

    def _above(self) -> Tensor:
        """What was counted, and how many far detections are expected to be mistakes, from each
        score on: (5, K + 1, NUM_BINS), at last of all classes."""
        num_complete, num_others = self.images[..., None]
        mistaken = self.mistakes * num_others / (num_complete + DOUBT)
        every = torch.cat((self.counts, mistaken[None]))
        above = every.flip(2).cumsum(2).flip(2)
        return torch.cat((above, above.sum(1, keepdim=True)), dim=1)


def _highest_ratio(counts: Tensor, others: Tensor) -> Tensor:
    """What the ratio of two kinds of events may be at most, by how many of each were seen.

    The logarithm of a ratio of two Poisson counts has a variance of about 1 / count + 1 / other.
    """
    counts = counts + 1  # nothing seen is no proof that there is nothing
    return counts / others * (STANDARD_ERRORS * (1 / counts + 1 / others).sqrt()).exp()


def _first_score(reached: Tensor) -> Tensor:
    """The lowest score of those (..., NUM_BINS) that are ``reached``; infinite if none is."""
    scores = torch.arange(NUM_BINS, device=reached.device) / NUM_BINS
    return torch.where(reached, scores, torch.inf).amin(-1)


def _last_score(reached: Tensor) -> Tensor:
    """The highest score of those (..., NUM_BINS) that are ``reached``; below 0 if none is."""
    scores = torch.arange(NUM_BINS, device=reached.device) / NUM_BINS
    return torch.where(reached, scores, -1.0).amax(-1)
