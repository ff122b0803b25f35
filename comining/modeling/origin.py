"""Where the images of a batch come from."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Origin(NamedTuple):
    """Which image of the data set an image of a batch is, and what part of it.

    Attributes:
        key: int64, the same in every epoch and run.
        frame: (2, 3) float64 on the host; moves a point (x, y, 1) of the data set's image, in
            pixels, to the batch's.
    """

    key: int
    frame: Tensor

    @staticmethod
    def of_item(item: Mapping[str, Any]) -> Origin | None:
        """What an item of `comining.data.FrameMapper` tells; None if it lacks its id or frame.

        Data sets that are joined may have the same ids, so the names of the file and of its folder
        count, too, but not where that lies.
        """
        if "image_id" not in item or "frame" not in item:
            return None
        file = Path(item.get("file_name", ""))
        name = f"{item['image_id']} {file.parent.name}/{file.name}"
        digest = blake2b(name.encode(), digest_size=8).digest()
        return Origin(int.from_bytes(digest, "big", signed=True), item["frame"].double())

    def to_batch(self, boxes: Tensor) -> Tensor:
        """Boxes (M, 4) XYXY of the data set's image, on the host, on the batch's; float64."""
        return _move(boxes, self.frame)

    def from_batch(self, boxes: Tensor) -> Tensor:
        """The reverse of `to_batch`."""
        back = torch.linalg.inv(self.frame[:, :2])
        shift = -(back * self.frame[:, 2]).sum(1, keepdim=True)
        return _move(boxes, torch.cat((back, shift), 1))


def _move(boxes: Tensor, frame: Tensor) -> Tensor:
    """The upright boxes around the moved corners."""
    x0, y0, x1, y1 = boxes.double().unbind(1)
    x, y = torch.stack((x0, x1, x0, x1), 1), torch.stack((y0, y0, y1, y1), 1)
    moved = [a * x + b * y + c for a, b, c in frame.tolist()]
    low, high = ([of_axis(v, 1) for v in moved] for of_axis in (torch.amin, torch.amax))
    return torch.stack((*low, *high), 1)
