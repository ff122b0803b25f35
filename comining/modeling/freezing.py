"""Labels that come back epoch after epoch, until they are as good as annotated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.utils import comm
from torch import Tensor, nn

from comining.errors import InputError

from .labels import HIT_IOU, Labels, box_areas, overlaps, pairwise_iou
from .origin import Origin
from .two_views import TwoViews

#: That many labels of an image are remembered, the most confident.
MOST_REMEMBERED = 100
#: A label is looked for where more than MOSTLY of it is in the picture. Unless WHOLLY all of it is,
#: it keeps its place when it is found.
MOSTLY, WHOLLY = 0.5, 0.99
#: With more confidence a label is frozen: 1, but for rounding.
FREEZING = 1 + 1e-4
#: What a row that is remembered holds: a box (XYXY in pixels of the data set's image), its class
#: and its confidence.
BOX, CLASS, CONFIDENCE = slice(4), 4, 5
#: Names in a checkpoint: a row's image, and the row.
KEYS, ROWS = "keys", "rows"

#: What is remembered of images, by `Origin.key`: (M, 6) float32 of each, on the host.
Memory = Mapping[int, Tensor]


class LabelMemory(nn.Module):
    """Remembers the labels of an image until it comes again, and how sure they are.

    A label that is found again, of its class and with an IoU above 0.5, gains confidence; one that
    is not found loses some. With a confidence above 1 it is *frozen*, and stays for good; at 0 it
    is forgotten. What augmentation has left out of the picture is neither found nor lost.

    All processes remember the same, on the host, at most 2.4 KB an image. In checkpoints it stands
    once there is something to remember.
    """

    def __init__(self, step: float) -> None:
        """
        Args:
            step: what is gained or lost; above 0.
        """
        super().__init__()
        self.step = step
        #: By `Origin.key`.
        self.remembered: dict[int, Tensor] = {}
        nn.Module.register_state_dict_post_hook(self, _save)
        nn.Module.register_load_state_dict_pre_hook(self, _load)

    def reset(self) -> None:
        """Forget all."""
        self.remembered.clear()

    def frozen(self, images: TwoViews) -> tuple[Labels, Labels]:
        """What is frozen of the N originals, with a score of 1.

        Returns:
            What is mostly in the picture, and the slivers of what is mostly cut off.

        Raises:
            InputError: it isn't known which images they are, or how they were augmented.
        """
        parts = []
        for image, origin in enumerate(_origins(images)):
            rows = self._recall(origin)
            parts.append(_placed(rows[rows[:, CONFIDENCE] > FREEZING], origin, image))
        whole = Labels.cat(parts)
        shown, share = _clipped(whole, images)
        shown = shown._replace(scores=torch.ones_like(whole.scores))
        there, cut = shown.select_each(share > MOSTLY, (share > 0) & (share <= MOSTLY))
        device = images.tensor.device
        return Labels(*(x.to(device) for x in there)), Labels(*(x.to(device) for x in cut))

    def compare(self, labels: Labels, images: TwoViews) -> tuple[Labels, Memory]:
        """Compare labels with what is remembered.

        Args:
            labels: on the N originals.
            images: tell where they come from.

        Returns:
            The labels with their confidence in place of their score: if one is found again, the
            higher of its score and its former confidence, and a step. And what to `remember`.

        Raises:
            InputError: it isn't known which images they are, or how they were augmented.
        """
        found = images.clip(Labels(*(x.cpu() for x in labels)))
        confidence, memory = found.scores.clone(), {}
        for image, origin in enumerate(_origins(images)):
            rows = (found.images == image).nonzero().squeeze(1)
            of_image = self._compare(found.select(rows), origin, image, images)
            confidence[rows], memory[origin.key] = of_image
        return labels._replace(scores=confidence.to(labels.scores.device)), memory

    def _compare(
        self, found: Labels, origin: Origin, image: int, images: TwoViews
    ) -> tuple[Tensor, Tensor]:
        """The confidence of an image's labels, clipped to it, and what to remember of it."""
        known = self._recall(origin).clone()
        shown, share = _clipped(_placed(known, origin, image), images)
        is_asked = (known[:, CONFIDENCE] <= FREEZING) & (share > MOSTLY)
        pairs = _best_pairs(found, shown) & is_asked

        new = torch.cat(
            (
                origin.from_batch(found.boxes).float(),
                found.classes[:, None].float(),
                found.scores[:, None],
            ),
            dim=1,
        )
        for row, former in pairs.nonzero().tolist():
            best = torch.maximum(new[row, CONFIDENCE], known[former, CONFIDENCE])
            new[row, CONFIDENCE] = best + self.step
            if share[former] < WHOLLY:
                new[row, BOX] = known[former, BOX]
        is_found = pairs.any(0)
        known[is_asked & ~is_found, CONFIDENCE] -= self.step
        is_kept = ~is_found & (known[:, CONFIDENCE] > 0)
        remembered = torch.cat((known[is_kept], new[box_areas(new[:, BOX]) > 0]))
        order = remembered[:, CONFIDENCE].argsort(descending=True, stable=True)
        return new[:, CONFIDENCE], remembered[order[:MOST_REMEMBERED]]

    def remember(self, memory: Memory) -> None:
        """Keep what `compare` has told in each process.

        All processes must call it together; of an image that several had, the last one's is kept.
        """
        for of_process in comm.all_gather(memory):
            for key, rows in of_process.items():
                self.remembered.pop(key, None)
                if len(rows):
                    self.remembered[key] = rows

    def _recall(self, origin: Origin) -> Tensor:
        return self.remembered.get(origin.key, torch.zeros(0, 6))


def _origins(images: TwoViews) -> list[Origin]:
    origins = [x for x in images.origins if x is not None]
    if len(origins) < len(images.origins):
        raise InputError(
            "labels can't be frozen, as items of the batch lack their 'image_id' or 'frame': take "
            "comining.data.FrameMapper for detectron2's DatasetMapper, or set "
            "MODEL.COMINING.S2TEACHER.FREEZE_STEP to 0.0"
        )
    return origins


def _placed(rows: Tensor, origin: Origin, image: int) -> Labels:
    """What is remembered of an image, on a batch's image of that number."""
    classes = rows[:, CLASS].long()
    boxes = origin.to_batch(rows[:, BOX]).float()
    return Labels(boxes, classes, torch.full_like(classes, image), rows[:, CONFIDENCE])


def _clipped(whole: Labels, images: TwoViews) -> tuple[Labels, Tensor]:
    """What of M labels is in the picture, and its share (M,) of them."""
    shown = images.clip(whole)
    return shown, box_areas(shown.boxes) / box_areas(whole.boxes)


def _best_pairs(found: Labels, known: Labels) -> Tensor:
    """Which are the same (M, P): they overlap, and none of either overlaps the other more."""
    is_pair = overlaps(found, known, HIT_IOU)
    if is_pair.numel() == 0:
        return is_pair
    iou = pairwise_iou(found.boxes, known.boxes).where(is_pair, 0)
    return is_pair & (iou == iou.amax(0)) & (iou == iou.amax(1, keepdim=True))


def _save(memory: LabelMemory, state: dict[str, Any], prefix: str, *_: Any) -> None:
    remembered = memory.remembered
    if remembered:
        numbers = torch.tensor([len(x) for x in remembered.values()])
        state[prefix + KEYS] = torch.tensor(list(remembered)).repeat_interleave(numbers)
        state[prefix + ROWS] = torch.cat(list(remembered.values()))


def _load(memory: LabelMemory, state: dict[str, Any], prefix: str, *_: Any) -> None:
    keys, rows = (state.pop(prefix + name, torch.zeros(0)) for name in (KEYS, ROWS))
    of_images, numbers = keys.cpu().unique_consecutive(return_counts=True)
    parts = rows.cpu().split(numbers.tolist())
    memory.remembered = dict(zip(of_images.tolist(), map(Tensor.clone, parts), strict=True))
