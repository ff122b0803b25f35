"""Choosing a training's settings from a data set, with the reason for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .anchors import Anchors, choose_anchors
from .config_text import Choice
from .machine import Machine

#: The median object is to have an edge of this many network pixels, if the budget allows: on a CPU
#: and on a GPU. In a short training, features of stride 8 don't tell how large smaller ones are.
WANTED_EDGE = {"cpu": 40.0, "cuda": 24.0}
#: Network pixels of an image, at most: on a CPU and on a GPU.
MAX_PIXELS = {"cpu": 230_000, "cuda": 1_066_400}
#: Of all images, a CPU has time for so many network pixels a minute that a completion takes, which
#: leaves most of it for training; but an image has at least the second number.
PIXELS_A_MINUTE, MIN_PIXELS = 1e7, 56_000
#: Network pixels of a crop on a CPU, about.
CROP_PIXELS = 57_000
#: Training sees crops of at most and at least these shares of both edges of an image, in these
#: scales.
CROPS, CROP_SCALES = (0.7, 0.4), (0.9, 1.0, 1.2)
#: Images are enlarged at most by this factor.
MAX_ENLARGED = 2.0


class Scale(NamedTuple):
    """The size at which a network sees the images.

    Attributes:
        short_edge, long_edge: in network pixels; the longer edge is limited by the second.
        factor: network pixels per pixel of the median image.
        object_edge: of the median object, in network pixels.
        pixels: of the median image, as the network sees it.
    """

    short_edge: int
    long_edge: int
    factor: float
    object_edge: float
    pixels: float


def make_plan(
    dataset: Mapping[str, Any],
    machine: Machine,
    tiles: Mapping[str, Any] | None = None,
    minutes: float = 10.0,
) -> list[Choice]:
    """The settings that follow from a data set and a machine, beside those of the base config.

    Args:
        dataset: in COCO format and sound, with at least one annotation.
        machine: what is trained on.
        tiles: what `comining.completion.tiling` makes of the data set, if its images are cut: to a
            number of tiles that there is time for.
        minutes: how long the completion may take.
    """
    seen = dataset if tiles is None else tiles
    sizes = {x["id"]: (x["width"], x["height"]) for x in seen["images"]}
    objects = [x for x in seen["annotations"] if not x.get("iscrowd")]
    boxes = np.array([x["bbox"][2:] for x in objects], dtype=float)
    in_time = PIXELS_A_MINUTE * minutes / len(sizes)
    pixels = math.inf if machine.is_gpu else max(MIN_PIXELS, in_time)
    edges = np.array(list(sizes.values()), dtype=float)
    if tiles is None:
        scale = choose_scale(edges, boxes, machine, pixels)
    else:  # what is narrower, at the border of a narrow image, is to be no larger for it
        scale = choose_scale(np.full((1, 2), edges.max()), boxes, machine)
        scale = scale._replace(long_edge=scale.short_edge)
    factors = np.array([_factor(sizes[x["image_id"]], scale) for x in objects])
    network_boxes = boxes * factors[:, None]
    anchors = choose_anchors(network_boxes, np.array([x["category_id"] for x in objects]))
    crop = _choose_crop(scale, network_boxes, machine)
    return [
        *_class_choices(dataset),
        *_size_choices(scale, machine),
        *_crop_choices(scale, crop),
        *_anchor_choices(anchors, machine),
        *_machine_choices(machine),
        *_batch_choices(machine),
    ]


def choose_scale(
    images: np.ndarray, boxes: np.ndarray, machine: Machine, pixels: float = math.inf
) -> Scale:
    """The input size: objects large enough to be found, images small enough for the machine.

    Args:
        images: (N, 2) width and height in pixels.
        boxes: (M, 2) width and height in pixels.
        machine: sets how many network pixels an image may have.
        pixels: that an image may have at most, beside.
    """
    width, height = np.median(images, axis=0)
    edge = float(np.median(np.sqrt(boxes.prod(1))))
    wanted = min(WANTED_EDGE[machine.kind] / edge, MAX_ENLARGED)
    if machine.weights:  # they know objects at the size that COCO's images were seen at
        wanted = max(wanted, 800 / min(width, height))
    affordable = (min(pixels, MAX_PIXELS[machine.kind]) / (width * height)) ** 0.5
    factor = min(wanted, affordable, MAX_ENLARGED)
    short = max(64, round(min(width, height) * factor / 8) * 8)
    factor = short / min(width, height)
    long = round(short * 5 / 3)
    pixels = short * min(max(width, height) * factor, long)
    return Scale(short, long, factor, edge * factor, float(pixels))


def _factor(size: tuple[int, int], scale: Scale) -> float:
    return min(scale.short_edge / min(size), scale.long_edge / max(size))


def _class_choices(dataset: Mapping[str, Any]) -> list[Choice]:
    number = Counter(x["category_id"] for x in dataset["annotations"] if not x.get("iscrowd"))
    words = ", ".join(f"{x['name']} {number[x['id']]}" for x in dataset["categories"][:8])
    more = f" and {len(dataset['categories']) - 8} more" if len(dataset["categories"]) > 8 else ""
    why = f"the categories, with their annotated boxes: {words}{more}"
    return [Choice("MODEL.RETINANET.NUM_CLASSES", len(dataset["categories"]), why)]


def _size_choices(scale: Scale, machine: Machine) -> list[Choice]:
    seen = f"the median object is then {scale.object_edge:.0f} pixels wide"
    if scale.object_edge < WANTED_EDGE[machine.kind] / 2:
        seen += ", which is small: larger images find more and take longer"
    why = f"the shorter edge of the images, in pixels, as the network sees them: {seen}"
    return [
        Choice("INPUT.MIN_SIZE_TEST", scale.short_edge, why),
        Choice("INPUT.MIN_SIZE_TRAIN", [scale.short_edge], ""),
        Choice("INPUT.MAX_SIZE_TRAIN", scale.long_edge, "a limit for elongated images"),
        Choice("INPUT.MAX_SIZE_TEST", scale.long_edge, ""),
    ]


def _choose_crop(scale: Scale, boxes: np.ndarray, machine: Machine) -> float:
    """The share of both edges of an image that a crop has; 1 if objects are too large for crops.

    Args:
        scale: of the images.
        boxes: (M, 2) width and height in network pixels.
        machine: whether it has a detector's weights, which know whole images.
    """
    most, least = CROPS
    # That large objects are whole in most crops.
    needed = 2 * float(np.percentile(boxes.max(1), 98)) / scale.short_edge
    if machine.weights or needed > most:
        return 1.0
    pixels = scale.pixels if machine.is_gpu else CROP_PIXELS
    share = float(np.clip((pixels / scale.pixels) ** 0.5, max(needed, least), most))
    return round(share, 2)


def _crop_choices(scale: Scale, crop: float) -> list[Choice]:
    if crop == 1:
        return []
    edge = crop * scale.short_edge
    sizes = sorted({round(edge * x / 8) * 8 for x in CROP_SCALES})
    why = "crops in several scales: whole images of always the same look are learnt by heart"
    return [
        Choice(
            "INPUT.MIN_SIZE_TRAIN", sizes, "the shorter edge of a crop, in pixels: one of these"
        ),
        Choice("INPUT.MIN_SIZE_TRAIN_SAMPLING", "choice"),
        Choice("INPUT.MAX_SIZE_TRAIN", round(sizes[-1] * scale.long_edge / scale.short_edge), ""),
        Choice("INPUT.CROP.ENABLED", True, why),
        Choice("INPUT.CROP.TYPE", "relative"),
        Choice("INPUT.CROP.SIZE", [crop, crop], "of both edges"),
    ]


def _anchor_choices(anchors: Anchors, machine: Machine) -> list[Choice]:
    if machine.weights:
        return []  # they belong to the anchors of the base
    return [
        Choice(
            "MODEL.ANCHOR_GENERATOR.SIZES",
            anchors.sizes,
            "from the sizes of the annotated boxes, in network pixels, by feature level",
        ),
        Choice(
            "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
            [anchors.ratios],
            "height / width: the median box of each category matches an anchor",
        ),
    ]


def _machine_choices(machine: Machine) -> list[Choice]:
    choices = [Choice("MODEL.DEVICE", machine.device)]
    if machine.is_gpu:
        why = "mixed precision: half of the memory"
        choices.append(Choice("SOLVER.AMP.ENABLED", True, why))
    why = f"the training begins {machine.begins}"
    choices.append(Choice("MODEL.WEIGHTS", machine.weights or machine.trunk, why))
    if not machine.weights:
        return choices
    return [
        *choices,
        Choice("MODEL.COMINING.THRESHOLD", "adaptive", "found while training"),
        Choice("MODEL.COMINING.VIEW.FLIP_PROB", 0.5, "the second view is mirrored at times"),
        Choice("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR", "whatever the number of iterations"),
        Choice("SOLVER.WARMUP_ITERS", 200),
    ]


def _batch_choices(machine: Machine) -> list[Choice]:
    number = machine.num_processes
    if machine.weights:
        return [
            Choice("SOLVER.IMS_PER_BATCH", 4 * number, f"4 images on each of {number} GPUs"),
            Choice("SOLVER.BASE_LR", 0.0025 * number, "in proportion to the batch"),
        ]
    if machine.is_gpu:
        return [Choice("SOLVER.IMS_PER_BATCH", 8 * number, f"8 images on each of {number} GPUs")]
    return [Choice("SOLVER.IMS_PER_BATCH", 4, "images: twice as many iterations teach more")]
