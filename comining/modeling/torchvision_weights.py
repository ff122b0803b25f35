"""Weights of torchvision's models, by addresses such as torchvision://resnet18/IMAGENET1K_V1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision
from iopath.common.file_io import PathHandler

from comining.errors import InputError

PREFIX = "torchvision://"


class TorchvisionWeights(PathHandler):
    """Opens ``torchvision://MODEL/WEIGHTS``, or ``torchvision://MODEL`` for its best weights.

    A file is downloaded by torchvision, once, into torch's cache, and checked by its hash.
    """

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        """
        Raises:
            InputError: torchvision has no such weights.
            OSError, RuntimeError: they can't be downloaded.
        """
        model, _, name = path.removeprefix(PREFIX).partition("/")
        known = torchvision.models.list_models(module=torchvision.models)
        if model not in known:
            raise InputError(f"{path}: torchvision has no classification model {model!r}")
        choices = torchvision.models.get_model_weights(model)
        if name and name not in choices.__members__:
            raise InputError(f"{path}: of {model} there are {', '.join(choices.__members__)}")
        weights = choices[name] if name else choices.DEFAULT
        weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        return str(Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name))

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> Any:
        return Path(self._get_local_path(path)).open(mode, buffering)
