"""Weights in the forms in which other programs save them."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor

from comining.errors import InputError

from .safe_pickle import load_plain_pickle
from .safe_torch import SAVE_ANEW, load_torch

#: Under what names a file may keep a model's weights; detectron2's goes before all others.
WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state", "blobs")
MAX_DEPTH = 5
#: Where `comining.modeling.TorchvisionTrunk` has torchvision's parameters in a detector.
TRUNK = "backbone.bottom_up.body."
#: The images that torchvision's weights were trained on.
IMAGES = {
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
}
#: What programs that wrap a model put before all of its names.
PREFIXES = ("module.", "_orig_mod.", "model.")

logger = logging.getLogger(__name__)


def read_weights(path: str) -> dict[str, Any]:
    """Read a file of weights without running anything in it.

    Files that end in ``.pkl`` hold numpy arrays, in detectron2's form or in that of Detectron and
    its ImageNet models; those that end in ``.pyth`` are of pycls; all others are of torch.

    Returns:
        What detectron2's checkpointer takes: under "model" a tensor by each name, beside it what
        else a training has saved.

    Raises:
        InputError: it is no such file, or does not hold tensors by their names.
    """
    check_kind(path)
    is_pickle = path.endswith(".pkl") and not zipfile.is_zipfile(path)
    content = load_plain_pickle(path) if is_pickle else load_torch(path)
    weights, place = _innermost(content, path)
    is_caffe2 = is_pickle and place[-1:] in ([], ["blobs"])
    if is_caffe2:
        # Text is what Detectron's tools note beside the arrays.
        weights = {
            name: value
            for name, value in weights.items()
            if not (isinstance(name, str) and name.endswith("_momentum"))
            and not isinstance(value, (str, bytes))
        }
    _make_tensors(weights, place, path)
    if is_caffe2:
        return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}
    if path.endswith(".pyth"):
        model = {name: x for name, x in weights.items() if not name.endswith("num_batches_tracked")}
        return {"model": model, "__author__": "pycls", "matching_heuristics": True}
    return {**(content if place else {}), "model": weights}


def check_kind(path: str | Path) -> None:
    """Check that a file is not one of those that are often taken for weights.

    Raises:
        InputError: it is.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    if not start:
        raise InputError(f"{path} is empty: copy or download it anew")
    if start.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is Git LFS's pointer to the file: run git lfs pull there")
    if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        raise InputError(f"{path} is a web page, not the file that it offers: download it anew")
    if start[8:10] == b'{"' and int.from_bytes(start[:8], "little") < Path(path).stat().st_size:
        raise InputError(
            f"{path} is in the format of safetensors: convert it by torch.save({{'model': "
            "safetensors.torch.load_file(path)}, new_path)"
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise InputError(f"{path} is a program, of TorchScript, not weights: {SAVE_ANEW}")


def _innermost(content: dict[str, Any], path: str) -> tuple[dict[str, Any], list[str]]:
    """The dict that holds the weights, and under which names it lies in the file."""
    place: list[str] = []
    while len(place) < MAX_DEPTH:
        inside = [key for key in WRAPPERS if isinstance(content.get(key), dict)]
        if not inside:
            break
        if len(inside) > 1 and inside[0] != "model":
            raise InputError(
                f"{path} may hold weights under {' or '.join(map(repr, inside))}: {SAVE_ANEW}"
            )
        content = content[inside[0]]
        place.append(inside[0])
    return content, place


def _make_tensors(weights: dict[Any, Any], place: list[str], path: str) -> None:
    """Make tensors of arrays, in place: a state_dict has attributes of its own."""
    where = f" under {'.'.join(place)!r}" if place else ""
    if not weights:
        raise InputError(f"{path} holds no weights{where}: {SAVE_ANEW}")
    for name, value in weights.items():
        tensor = _as_tensor(value)
        if not isinstance(name, str) or tensor is None:
            kind = f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")
            raise InputError(
                f"{path} holds no weights by name{where}: its entry {name!r} is a {kind}, not an "
                f"ordinary tensor with a name: {SAVE_ANEW}"
            )
        weights[name] = tensor


def _as_tensor(value: Any) -> Tensor | None:
    """None for what is no tensor of ordinary numbers."""
    if isinstance(value, (np.ndarray, np.generic)):
        try:
            value = torch.from_numpy(np.asarray(value))
        except (TypeError, ValueError):  # of objects, text or a foreign byte order
            return None
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return None
    return None if value.is_quantized or value.is_complex() or value.is_meta else value


def prefix_trunk(weights: dict[str, Tensor], model: Mapping[str, Tensor], path: str) -> bool:
    """Let weights of a classification model be those of a detector's trunk, in place.

    Args:
        weights: by torchvision's names.
        model: the detector's own by name; where it has one of the weights' names, nothing is done.
        path: the file's.

    Returns:
        Whether they were such weights.

    Raises:
        InputError: they are of another classification model.
    """
    if not model.keys().isdisjoint(weights):
        return False
    if model.keys().isdisjoint(TRUNK + name for name in weights):
        return False
    for name in list(weights):
        weights[TRUNK + name] = weights.pop(name)
    trunk = [x for x in model if x.startswith(TRUNK) and not x.endswith("num_batches_tracked")]
    misfits = [x for x in trunk if x not in weights or weights[x].shape != model[x].shape]
    if misfits:
        raise InputError(
            f"{path} is of another classification model than MODEL.TORCHVISION.NAME: "
            f"{len(misfits)} of the trunk's {len(trunk)} weights are missing or of another shape, "
            f"such as {misfits[-1]}. Name the weights of that model"
        )
    return True


def compare_images(cfg: CfgNode) -> None:
    """Warn if a model that begins with torchvision's weights is given other images than they
    were."""
    given = {
        "INPUT.FORMAT": cfg.INPUT.FORMAT,
        "MODEL.PIXEL_MEAN": list(cfg.MODEL.PIXEL_MEAN),
        "MODEL.PIXEL_STD": list(cfg.MODEL.PIXEL_STD),
    }
    others = [f"{key} {value}" for key, value in IMAGES.items() if given[key] != value]
    if others:
        logger.warning(
            f"{cfg.MODEL.WEIGHTS} were trained on images of another form than this config makes: "
            f"set {', '.join(others)}"
        )


def strip_prefixes(weights: dict[str, Tensor], names: set[str]) -> None:
    """Take off, in place, what programs that wrap a model put before all of its names.

    Args:
        weights: by name.
        names: of the model's own; where it has one of the weights' names, nothing is taken off.
    """
    while names.isdisjoint(weights):
        common = [x for x in PREFIXES if all(name.startswith(x) for name in weights)]
        if not weights or not common:
            return
        for name in list(weights):
            weights[name.removeprefix(common[0])] = weights.pop(name)
