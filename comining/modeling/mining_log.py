"""What a training tells of its mining, in detectron2's event storage."""

from __future__ import annotations

from collections.abc import Callable

import torch
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, distributed

from .methods import Step, Supervision
from .picture import draw_views
from .statistics import MiningStatistics


class MiningLog:
    """Logs of each branch, with the suffix "_aug" of the second view:

    - ``comining/mined_per_image`` of an iteration, and what `MiningStatistics` tells; without a
      suffix, the scalars of the method;
    - every ``vis_period`` iterations ``comining/mined_of_class/<class>``, the number that all
      processes have mined of each class since then, and a picture of an image's both views with
      what each is labelled by.
    """

    def __init__(self, suffixes: tuple[str, str], num_classes: int, vis_period: int) -> None:
        """
        Args:
            suffixes: of the two branches' names.
            num_classes: K.
            vis_period: in iterations; 0 for never.
        """
        self.suffixes = suffixes
        self.vis_period = vis_period
        self._statistics = MiningStatistics()
        self._mined_of_class = torch.zeros(2, num_classes)

    def __call__(
        self, step: Step, supervision: Supervision, to_rgb: Callable[[Tensor], Tensor]
    ) -> None:
        """Log an iteration.

        Args:
            step: the batch, and what was found there.
            supervision: what the method makes of it.
            to_rgb: makes (2, 3, H, W) uint8 of the model's normalised input.
        """
        storage = get_event_storage()
        images, annotated, mined = step.images, step.annotated, supervision.mined
        num_images = len(images) // 2
        confident = step.detections if supervision.confident is None else supervision.confident
        judged, withheld = images.judge(mined)
        self._statistics.update(
            confident=confident,
            others=images.to_other_view(confident),
            annotated=annotated,
            mined=mined,
            judged=judged,
            withheld=withheld,
            num_images=num_images,
            scalars=supervision.scalars,
        )
        for name, value in self._statistics.last_scalars.items():
            storage.put_scalar(f"comining/{name}", value)
        for branch, suffix in enumerate(self.suffixes):
            per_image = self._statistics.last_mined[branch] / num_images
            storage.put_scalar(f"comining/mined_per_image{suffix}", per_image)
            for name, value in self._statistics.of_branch(branch).items():
                storage.put_scalar(f"comining/{name}{suffix}", value, smoothing_hint=False)

        if self.vis_period > 0:
            of_view = mined.images.div(num_images, rounding_mode="floor")
            self._mined_of_class = self._mined_of_class.to(of_view.device)
            one = torch.ones_like(mined.scores, dtype=self._mined_of_class.dtype)
            self._mined_of_class.index_put_((of_view, mined.classes), one, accumulate=True)
            if storage.iter % self.vis_period == 0:
                self._log_classes()
            # Only the main process has writers; elsewhere pictures would pile up.
            if storage.iter % self.vis_period == 0 and comm.is_main_process():
                kinds = {
                    "annotated": annotated,
                    "mined": mined,
                    "ignored": mined.none() if supervision.ignored is None else supervision.ignored,
                    "withheld": withheld,
                }
                first = {
                    name: (
                        labels.select(labels.images == 0),
                        labels.select(labels.images == num_images),
                    )
                    for name, labels in kinds.items()
                }
                height, width = images.image_sizes[0]
                views = to_rgb(images.tensor[[0, num_images], :, :height, :width])
                storage.put_image("comining/views", draw_views(views, first).numpy())

    def _log_classes(self) -> None:
        if comm.get_world_size() > 1:
            distributed.all_reduce(self._mined_of_class)
        numbers = self._mined_of_class.tolist()
        for suffix, of_branch in zip(self.suffixes, numbers, strict=True):
            for class_, number in enumerate(of_branch):
                get_event_storage().put_scalar(
                    f"comining/mined_of_class/{class_}{suffix}", number, smoothing_hint=False
                )
        self._mined_of_class.zero_()
