"""How much the pixels of objects differ, by class."""

from __future__ import annotations

import torch
from detectron2.utils import comm
from torch import Tensor, distributed, nn

from .labels import Labels

#: So many objects of a class tell a spread.
ENOUGH = 2
#: Entropies count in 1024ths of a bit: their sums are exact, in whatever order they are made.
STEPS = 1024


class UsualEntropy(nn.Module):
    """Keeps the mean and the deviation, by class, of the entropy of objects' pixels.

    It counts all that it was shown since it was made or reset, of all processes.
    """

    def __init__(self, num_classes: int) -> None:
        """
        Args:
            num_classes: K.
        """
        super().__init__()
        #: The number, the sum and the sum of squares of entropies in bits, (3, K).
        self.moments: Tensor
        self.register_buffer("moments", torch.zeros(3, num_classes, dtype=torch.float64))

    def reset(self) -> None:
        """Forget all."""
        self.moments.zero_()

    def observe(self, pictures: Tensor, objects: Labels) -> None:
        """Count objects.

        Args:
            pictures: (N, 3, H, W) uint8.
            objects: on them.
        """
        entropy = (crop_entropy(pictures, objects) * STEPS).round() / STEPS
        powers = torch.stack((torch.ones_like(entropy), entropy, entropy**2))
        seen = torch.zeros_like(self.moments).index_add_(1, objects.classes, powers)
        if comm.get_world_size() > 1:
            distributed.all_reduce(seen)
        self.moments += seen

    def are_usual(self, pictures: Tensor, labels: Labels) -> Tensor:
        """Whether the entropy of each label is at most one deviation from its class's mean, (M,)
        bool; of a class of which fewer than two objects were seen, none is."""
        number, total, squares = self.moments
        mean = total / number
        deviation = (squares / number - mean**2).clamp(min=0).sqrt()
        difference = (crop_entropy(pictures, labels) - mean[labels.classes]).abs()
        return (number >= ENOUGH)[labels.classes] & (difference <= deviation[labels.classes])


def crop_entropy(pictures: Tensor, labels: Labels) -> Tensor:
    """Shannon's entropy of the grey values, means of the three colours, in each box.

    Args:
        pictures: (N, 3, H, W) uint8.
        labels: M boxes on them. A pixel belongs to a box that its upper left corner lies in; a box
            without any, like one outside the picture, has an entropy of 0.

    Returns:
        (M,) float64, in bits, in [0, 8].
    """
    grey = pictures.float().mean(1)
    height, width = grey.shape[1:]
    limits = labels.boxes.new_tensor([width, height] * 2)
    corners = torch.minimum(labels.boxes.nan_to_num().ceil().clamp(min=0), limits).long()
    entropies = [grey.new_zeros(0, dtype=torch.float64)]
    for image, (x0, y0, x1, y1) in zip(labels.images.tolist(), corners.tolist(), strict=True):
        counts = grey[image, y0:y1, x0:x1].histc(256, 0, 256).double()
        shares = counts / counts.sum().clamp(min=1)
        entropies.append(
            -torch.xlogy(shares, shares).sum(0, keepdim=True) / torch.log(shares.new_tensor(2.0))
        )
    return torch.cat(entropies)
