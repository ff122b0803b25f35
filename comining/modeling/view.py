"""The second view: a colour-jittered and, where configured, flipped copy of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from comining.counted import counted
from comining.errors import InputError

from .ranges import check_range


@dataclass(frozen=True)
class ViewDraw:
    """What was drawn for one image.

    Attributes:
        jitter: the operations to apply, in order, as (name, factor).
        flip: whether the view is mirrored left to right.
    """

    jitter: tuple[tuple[str, float], ...]
    flip: bool


_OPERATIONS = {
    "brightness": TF.adjust_brightness,
    "contrast": TF.adjust_contrast,
    "saturation": TF.adjust_saturation,
    "hue": TF.adjust_hue,
}


class SecondView:
    """Draws and makes second views (Co-mining, section "Data augmentation").

    The colour jitter is torchvision's ``ColorJitter``: the four operations in random order. It
    works on RGB, whatever order the channels of the model's input have, and on the device where
    the image is.
    """

    @configurable
    def __init__(
        self,
        *,
        jitter_prob: float = 0.8,
        brightness: float = 0.8,
        contrast: float = 0.8,
        saturation: float = 0.8,
        hue: float = 0.2,
        flip_prob: float = 0.0,
        input_format: str = "BGR",
    ):
        """
        Args:
            jitter_prob: probability that an image's colours are jittered at all.
            brightness, contrast, saturation: a factor is drawn uniformly from
                ``[max(0, 1 - x), 1 + x]``; at least 0.
            hue: a shift is drawn uniformly from ``[-hue, hue]``, in turns; in [0, 0.5].
            flip_prob: probability that the view is mirrored left to right.
            input_format: channel order of the images, "RGB" or "BGR".

        Raises:
            InputError: a value is outside its range.
        """
        node = "MODEL.COMINING.VIEW"
        check_range(node, jitter_prob=jitter_prob, flip_prob=flip_prob)
        factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        check_range(node, most=np.inf, **factors)
        check_range(node, most=0.5, hue=hue)
        if input_format not in ("RGB", "BGR"):
            raise InputError(
                f"INPUT.FORMAT is {input_format!r}; colour jitter needs images in 'RGB' or 'BGR'"
            )
        self.jitter_prob = jitter_prob
        self.flip_prob = flip_prob
        self.ranges = {
            "brightness": (max(0.0, 1 - brightness), 1 + brightness),
            "contrast": (max(0.0, 1 - contrast), 1 + contrast),
            "saturation": (max(0.0, 1 - saturation), 1 + saturation),
            "hue": (-hue, hue),
        }
        self.is_bgr = input_format == "BGR"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, object]:
        view = cfg.MODEL.COMINING.VIEW
        return {
            "jitter_prob": view.JITTER_PROB,
            "brightness": view.BRIGHTNESS,
            "contrast": view.CONTRAST,
            "saturation": view.SATURATION,
            "hue": view.HUE,
            "flip_prob": view.FLIP_PROB,
            "input_format": cfg.INPUT.FORMAT,
        }

    def draw(self, rng: np.random.Generator) -> ViewDraw:
        """Draw one image's operations; always takes the same number of draws from ``rng``."""
        jitters, flips = rng.random(2) < (self.jitter_prob, self.flip_prob)
        factors = {name: rng.uniform(*limits) for name, limits in self.ranges.items()}
        order = rng.permutation(list(factors))
        jitter = tuple((str(name), factors[name]) for name in order) if jitters else ()
        return ViewDraw(jitter, bool(flips))

    def make(self, image: Tensor, draw: ViewDraw) -> Tensor:
        """Apply ``draw`` to ``image``.

        Args:
            image: (3, H, W) in [0, 255], in the model's channel order, uint8 or floating point.

        Returns:
            (3, H, W) in [0, 255], floating point, on the same device.
        """
        if draw.jitter:
            rgb = (image.flip(0) if self.is_bgr else image) / 255
            # Mixed precision is the network's; colours would be rounded visibly.
            with torch.autocast(image.device.type, enabled=False):
                for name, factor in draw.jitter:
                    rgb = _OPERATIONS[name](rgb, factor)
            view = (rgb.flip(0) if self.is_bgr else rgb).mul_(255)
        else:
            view = image if image.is_floating_point() else image.float()
        return view.flip(2) if draw.flip else view

    def of_batch(
        self, items: Sequence[dict[str, Any]], rngs: Sequence[np.random.Generator]
    ) -> tuple[list[dict[str, Any]], list[bool]]:
        """The second view of every image of a batch.

        Args:
            items: N of a mapper, with ``image`` (3, H, W) and perhaps ``image_aug``, which then is
                its second view.
            rngs: of the N views.

        Returns:
            N items with the view as ``image``, and whether it is mirrored left to right.

        Raises:
            InputError: an image does not have three channels, or its ``image_aug`` another shape.
        """
        views, flipped = [], []
        for index, (item, rng) in enumerate(zip(items, rngs, strict=True)):
            image = item["image"]
            name = item.get("file_name", f"image {index} of the batch")
            if len(image) != 3:
                raise InputError(
                    f"{name} has {counted(len(image), 'channels')}; Co-mining needs three: "
                    "convert it to RGB"
                )
            if "image_aug" in item:
                view, flip = item["image_aug"], False
                if view.shape != image.shape:
                    raise InputError(
                        f"'image_aug' of {name} has shape "
                        f"{tuple(view.shape)}, its 'image' {tuple(image.shape)}: a mapper's second "
                        "view must keep the frame of the first"
                    )
            else:
                draw = self.draw(rng)
                view, flip = self.make(image, draw), draw.flip
            views.append({"image": view})
            flipped.append(flip)
        return views, flipped


def view_rng(
    seed: int, iteration: int, rank: int, index: int, batch: int = 0
) -> np.random.Generator:
    """The random generator of one image's view.

    It is derived from counters alone, so a resumed run draws what the uninterrupted one would.

    Args:
        seed: of the training, at least 0.
        iteration: of the training.
        rank: of the process.
        index: of the image in the process's batch.
        batch: of the iteration, which has several where gradients are accumulated.
    """
    counters = [seed, iteration, rank, index]
    # A 0 more would draw others than trainings without accumulation always have.
    return np.random.default_rng([*counters, batch] if batch else counters)


def random_seed() -> int:
    """A seed for a training that was given none."""
    return int(torch.randint(2**31, ()).item())
