"""Scenes of textured shapes on a cloudy background.

Six classes, each with its own shape and texture; colours are random and tell nothing. A scene of
128 px holds 6 to 10 objects, whose longer side is 18 to 50 px, slightly tilted. The boxes of two
objects share at most 30 % of the smaller one's area. Later objects cover earlier ones; a box is
tight around its object's whole shape, the covered part included. 4 to 8 strokes of random colour
distract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from comining.errors import InputError

NUM_OBJECTS = (6, 10)
OBJECT_SIZE = (18, 50)
MAX_SHARED = 0.3
MAX_TILT = 0.25  # radians, either way
NUM_STROKES = (4, 8)
MIN_SCENE_SIZE = 96

Rng = np.random.Generator


def _polygon(num_corners: int, *radii: float, turn: float = 0.0) -> np.ndarray:
    """Corners (num_corners, 2) at equal angles, their radii alternating through `radii`."""
    angles = turn + 2 * np.pi * np.arange(num_corners) / num_corners
    radius = np.resize(radii, num_corners)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _stripes(u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    return u % period < period / 2


def _checks(u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    return (u % period < period / 2) ^ (v % period < period / 2)


def _dots(u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    return np.hypot(u % period - period / 2, v % period - period / 2) < 0.3 * period


def _gradient(u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    return (u - u.min()) / (np.ptp(u) + 1)


def _plain(u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    return np.zeros_like(u)


def _rings(u: np.ndarray, v: np.ndarray, period: float) -> np.ndarray:
    return np.hypot(u, v) % period < period / 2


class ObjectClass(NamedTuple):
    """What the objects of a class look like.

    Attributes:
        name: of the category.
        outline: closed loops of corners (C, 2); what an odd number of loops enclose is inside.
        texture: (u, v, period) -> 0..1, the mixture of an object's two colours at the object's own
            coordinates, in pixels from its centre.
    """

    name: str
    outline: tuple[np.ndarray, ...]
    texture: Callable[[np.ndarray, np.ndarray, float], np.ndarray]


_CROSS = np.stack(
    [[1, -1, -1, -3, -3, -1, -1, 1, 1, 3, 3, 1], [3, 3, 1, 1, -1, -1, -3, -3, -1, -1, 1, 1]], axis=1
)

CLASSES = (
    ObjectClass("disc", (_polygon(24, 1),), _stripes),
    ObjectClass("square", (_polygon(4, 1),), _checks),
    ObjectClass("triangle", (_polygon(3, 1),), _dots),
    ObjectClass("ring", (_polygon(24, 1), _polygon(24, 0.5)), _gradient),
    ObjectClass("cross", (_CROSS,), _plain),
    ObjectClass("star", (_polygon(10, 1, 0.5),), _rings),
)


def render_scene(rng: Rng, size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one scene; everything in it comes from `rng`.

    Args:
        rng: the source of randomness.
        size: edge of the square image in pixels, at least 96.

    Returns:
        image: (size, size, 3) uint8, RGB.
        boxes: (M, 4) float64, XYXY: the edges of the outermost pixels, within 0..size.
        classes: (M,) int64, indices into `CLASSES`.
    """
    if size < MIN_SCENE_SIZE:
        raise InputError(f"scene size {size}: must be at least {MIN_SCENE_SIZE} px")
    image = _background(rng, size)
    objects, boxes = _place_objects(rng, size)
    for (_, pixels, mask), (x0, y0, x1, y1) in zip(objects, boxes, strict=True):
        image[y0:y1, x0:x1][mask] = pixels[mask]
    classes = np.array([object_.class_index for object_ in objects])
    return image.round().astype(np.uint8), boxes.astype(float), classes


class _Object(NamedTuple):
    """An object cut out tightly: its class, its pixels (H, W, 3) and which of them it covers."""

    class_index: int
    pixels: np.ndarray
    mask: np.ndarray


def _place_objects(rng: Rng, size: int) -> tuple[list[_Object], np.ndarray]:
    """Draw objects and find places for them: a list of M objects and boxes (M, 4) XYXY.

    An object that fits nowhere is drawn anew, and a scene that is too full is begun anew.
    """
    number = rng.integers(*NUM_OBJECTS, endpoint=True)
    objects: list[_Object] = []
    boxes = np.empty((0, 4), dtype=int)
    failures = 0
    while len(objects) < number:
        object_ = _draw_object(rng)
        height, width = object_.mask.shape
        corners = rng.integers(0, (size - width + 1, size - height + 1), size=(20, 2))
        places = np.concatenate([corners, corners + np.array([width, height])], axis=1)
        free = (_shared(places, boxes) <= MAX_SHARED).all(axis=1)
        if free.any():
            objects.append(object_)
            boxes = np.concatenate([boxes, places[free][:1]])
        elif failures < 50:
            failures += 1
        else:
            objects, boxes, failures = [], boxes[:0], 0
    return objects, boxes


def _shared(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """Intersection over the smaller box's area, (N, M), of boxes (N, 4) and (M, 4) XYXY."""
    low = np.maximum(boxes1[:, None, :2], boxes2[:, :2])
    high = np.minimum(boxes1[:, None, 2:], boxes2[:, 2:])
    area1 = np.prod(boxes1[:, 2:] - boxes1[:, :2], axis=1)
    area2 = np.prod(boxes2[:, 2:] - boxes2[:, :2], axis=1)
    return np.prod((high - low).clip(0), axis=2) / np.minimum(area1[:, None], area2)


def _draw_object(rng: Rng) -> _Object:
    class_index = int(rng.integers(len(CLASSES)))
    kind = CLASSES[class_index]
    angle = rng.uniform(-MAX_TILT, MAX_TILT)
    cos, sin = np.cos(angle), np.sin(angle)
    loops = [loop @ np.array([[cos, sin], [-sin, cos]]) for loop in kind.outline]
    low, high = loops[0].min(axis=0), loops[0].max(axis=0)

    mask = np.zeros((0, 0), dtype=bool)
    while not OBJECT_SIZE[0] <= max(mask.shape) <= OBJECT_SIZE[1]:
        length = rng.integers(*OBJECT_SIZE, endpoint=True)
        scale = length / (high - low).max()
        y, x = np.mgrid[:length, :length] + 0.5
        mask = _inside([(loop - low) * scale for loop in loops], x, y)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        tight = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        mask = mask[tight]

    x, y = x[tight] + low[0] * scale, y[tight] + low[1] * scale
    period = rng.uniform(5, 8)
    share = kind.texture(cos * x + sin * y, cos * y - sin * x, period)[..., None]
    colour1, colour2 = _two_colours(rng)
    pixels = (1 - share) * colour1 + share * colour2 + rng.normal(0, 5, (*mask.shape, 1))
    return _Object(class_index, pixels.clip(0, 255), mask)


def _inside(loops: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell which points an odd number of closed loops of corners (C, 2) enclose."""
    starts = np.concatenate(loops)
    ends = np.concatenate([np.roll(loop, -1, axis=0) for loop in loops])
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(starts, ends, strict=True):
        if y0 != y1:  # a ray to the right crosses this edge
            inside ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def _two_colours(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Two random colours, of which the second is much brighter or darker than the first."""
    colour = rng.uniform(20, 235, 3)
    step = rng.uniform(70, 110)
    return colour, (colour + (step if colour.mean() < 128 else -step)).clip(0, 255)


def _background(rng: Rng, size: int) -> np.ndarray:
    """Clouds in two random colours, noise, and strokes: (size, size, 3) float64 in 0..255."""
    clouds = np.zeros((size, size))
    for cells in (3, 6, 12):
        at = np.linspace(0, cells, size)[:, None]
        weights = (1 - abs(at - np.arange(cells + 1))).clip(0)  # linear interpolation
        clouds += weights @ rng.uniform(0, 1 / cells, (cells + 1, cells + 1)) @ weights.T
    clouds = ((clouds - clouds.min()) / np.ptp(clouds))[..., None]
    colour1, colour2 = rng.uniform(40, 215, (2, 3))
    image = (1 - clouds) * colour1 + clouds * colour2 + rng.normal(0, 5, (size, size, 1))
    for _ in range(rng.integers(*NUM_STROKES, endpoint=True)):
        image[_stroke(rng, size)] = rng.uniform(0, 255, 3)
    return image.clip(0, 255)


def _stroke(rng: Rng, size: int) -> np.ndarray:
    """The pixels of a straight stroke, (size, size) bool."""
    y, x = np.mgrid[:size, :size] + 0.5
    from_x, from_y = rng.uniform(0, size, 2)
    angle, length, width = rng.uniform((0, 15, 1), (2 * np.pi, 60, 3.5))
    cos, sin = np.cos(angle), np.sin(angle)
    along = cos * (x - from_x) + sin * (y - from_y)
    across = cos * (y - from_y) - sin * (x - from_x)
    return (along >= 0) & (along <= length) & (abs(across) <= width / 2)
