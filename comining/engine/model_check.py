"""Whether a training's checkpoint is of the model that is to go on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from torch import nn

from comining.errors import InputError

from .safe_torch import load_torch

#: How many names a message gives of those that differ.
MAX_NAMES = 10


def describe_model(model: nn.Module, datasets: Iterable[str]) -> dict[str, Any]:
    """What of a model its weights do not tell, for its checkpoint.

    Args:
        model: a detector.
        datasets: registered ones, whose categories it learns.

    Returns:
        ``architecture``, its class; ``categories``, names in the model's order, None where nothing
        tells them; ``anchors``, XYXY in pixels by name of the buffer, of those that it has.
    """
    names = [MetadataCatalog.get(name).get("thing_classes") for name in datasets]
    return {
        "architecture": type(model).__name__,
        "categories": next((list(x) for x in names if x is not None), None),
        "anchors": {
            name: [[round(x, 3) for x in anchor] for anchor in buffer.tolist()]
            for name, buffer in model.named_buffers()
            if "cell_anchors" in name
        },
    }


def check_same_model(checkpoint: Path, model: nn.Module, description: dict[str, Any]) -> None:
    """Check that a training can go on with a model.

    Args:
        checkpoint: of the training. Older ones, and those of detectron2, have no description.
        model: the one that is to go on.
        description: of it, by `describe_model`.

    Raises:
        InputError: its categories, their order, its anchors or the shapes of its parameters are
            not those of the checkpoint's.
    """
    content = load_torch(checkpoint, mmap=True)
    trainer = content.get("trainer")
    before = trainer.get("model_description", {}) if isinstance(trainer, dict) else {}
    change = (
        _change_of_categories(before.get("categories"), description["categories"])
        or _change_of_shapes(content.get("model"), model)
        or _change_of_anchors(before.get("anchors"), description["anchors"])
    )
    if change:
        raise InputError(
            f"{checkpoint} can't be resumed, it is of another model: {change}. Go back to what it "
            "was trained with, or begin a new training with another OUTPUT_DIR and, to start from "
            f"these weights, MODEL.WEIGHTS {checkpoint}"
        )


def _change_of_categories(before: list[str] | None, now: list[str] | None) -> str:
    if before is None or now is None or before == now:
        return ""
    changes = [
        f"{title} {_some(names)}"
        for title, names in (
            ("new are", [x for x in now if x not in before]),
            ("gone are", [x for x in before if x not in now]),
        )
        if names
    ]
    if not changes:
        changes = [f"their order was {_some(before)} and is {_some(now)}"]
    return f"its data set's categories have changed; {', '.join(changes)}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(map(str, names[:MAX_NAMES])) + more


def _change_of_shapes(weights: Any, model: nn.Module) -> str:
    weights = weights if isinstance(weights, dict) else {}
    shapes = {name: tuple(getattr(x, "shape", ())) for name, x in weights.items()}
    changes = [
        f"{name} has the shape {tuple(x.shape)}, in the checkpoint {shapes[name]}"
        if name in shapes
        else f"{name} is not in the checkpoint"
        for name, x in model.named_parameters()
        if shapes.get(name) != tuple(x.shape)
    ]
    if not changes:
        return ""
    return (
        f"{len(changes)} of its parameters differ, {changes[-1]}, for example (through the number "
        "of classes or of anchors, the backbone, the head or the detector)"
    )


def _change_of_anchors(before: dict[str, Any] | None, now: dict[str, Any]) -> str:
    if before is None or before == now:
        return ""
    return "its anchors have changed (MODEL.ANCHOR_GENERATOR or the levels in IN_FEATURES)"
