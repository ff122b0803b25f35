"""Moving a batch to the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from comining.counted import counted
from comining.errors import InputError


def move_batch(
    batched_inputs: Sequence[dict[str, Any]], device: torch.device
) -> list[dict[str, Any]]:
    """A training batch with images and annotations on ``device``.

    A large copy from ordinary memory waits for all work that the device was given before. So
    everything goes ahead of the forward pass, in as few copies as there are kinds of tensors and
    not in several per image.

    Args:
        batched_inputs: N items of a mapper, with ``image``, ``instances`` and perhaps
            ``image_aug``, ``withheld`` and ``ignored``; they are not changed.
        device: where to.

    Returns:
        N items with those tensors on the device, of the annotations boxes and classes alone.
    """
    items = [dict(item) for item in batched_inputs]
    for key in ("image", "image_aug"):
        holders = [item for item in items if key in item]
        for item, image in zip(holders, move([x[key] for x in holders], device), strict=True):
            item[key] = image
    places = [
        (item, key)
        for key in ("instances", "withheld", "ignored")
        for item in items
        if item.get(key) is not None
    ]
    instances = [item[key] for item, key in places]
    boxes = move([x.gt_boxes.tensor for x in instances], device)
    classes = move([x.gt_classes for x in instances], device)
    for (item, key), of_image, box, class_ in zip(places, instances, boxes, classes, strict=True):
        item[key] = Instances(of_image.image_size, gt_boxes=Boxes(box), gt_classes=class_)
    return items


def check_classes(batched_inputs: Sequence[dict[str, Any]], num_classes: int) -> None:
    """Check the classes of annotations that are on the host; a device would have to be waited for.

    Args:
        batched_inputs: N items of a mapper, with ``instances``.
        num_classes: of the model.

    Raises:
        InputError: there are more.
    """
    for item in batched_inputs:
        classes = item["instances"].gt_classes if "instances" in item else torch.empty(0)
        if classes.device.type == "cpu" and (classes >= num_classes).any():
            last = int(classes.max())
            raise InputError(
                f"{item.get('file_name', 'an image')} has an annotation of class {last}, counted "
                f"from 0, but the model has {counted(num_classes, 'classes')}: give the detector "
                "as many as the data set has categories, by its NUM_CLASSES below MODEL"
            )


def move(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Tensors of any shapes on ``device``, moved in one copy per type, by `send`."""
    moved = list(tensors)
    for dtype in {tensor.dtype for tensor in tensors}:
        rows = [i for i, x in enumerate(tensors) if x.dtype == dtype and x.device != device]
        if rows:
            packed = send(torch.cat([tensors[i].flatten() for i in rows]), device)
            for i, flat in zip(rows, packed.split([tensors[i].numel() for i in rows]), strict=True):
                moved[i] = flat.view(tensors[i].shape)
    return moved


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on ``device``; up to 64 KiB, CUDA lets the host go on meanwhile.

    Args:
        tensor: in ordinary memory, of which CUDA first makes a copy of its own: it may be changed
            or freed at once. Pinned memory may not, until the device has got there.
        device: where to.
    """
    return tensor.to(device, non_blocking=True)
