"""Methods from a config."""

from __future__ import annotations

import inspect

from detectron2.config import CfgNode

from comining.errors import InputError

from .method import METHOD_REGISTRY, Method
from .published import Published

#: What ``MODEL.COMINING.THRESHOLD`` stands for where ``METHOD`` names none.
BY_THRESHOLD = {"fixed": "Published", "adaptive": "Adaptive"}


def method_name(kind: str, threshold: str) -> str:
    """The name of the method that a config asks for.

    Args:
        kind: ``MODEL.COMINING.METHOD``.
        threshold: ``MODEL.COMINING.THRESHOLD``.

    Raises:
        InputError: there is none of that name.
    """
    if not kind:
        if threshold not in BY_THRESHOLD:
            raise InputError(
                f"MODEL.COMINING.THRESHOLD is {threshold!r}; it must be 'fixed' or 'adaptive'"
            )
        return BY_THRESHOLD[threshold]
    if kind not in METHOD_REGISTRY:
        raise InputError(
            f"MODEL.COMINING.METHOD is {kind!r}; it must be one of "
            f"{', '.join(name for name, _ in METHOD_REGISTRY)}, or empty to go by THRESHOLD. A "
            "method of your own is known once the module that registers it is imported"
        )
    return kind


def build_method(cfg: CfgNode, num_classes: int | None) -> Method:
    """The method of ``MODEL.COMINING.METHOD`` or, if that is empty, of ``THRESHOLD``.

    Args:
        cfg: the whole config.
        num_classes: K; None if the detector does not tell.

    Raises:
        InputError: a value is not legal.
    """
    Published.from_config(cfg)  # a wrong threshold is told even where another method is chosen
    name = method_name(cfg.MODEL.COMINING.METHOD, cfg.MODEL.COMINING.THRESHOLD)
    method = METHOD_REGISTRY.get(name)
    arguments = {}
    if "num_classes" in inspect.signature(method).parameters:
        if num_classes is None:
            raise InputError(
                f"the method {name} of MODEL.COMINING needs a detector whose from_config gives "
                "num_classes"
            )
        arguments["num_classes"] = num_classes
    if hasattr(method, "from_config"):
        return method.from_config(cfg, **arguments)
    settings = cfg.MODEL.COMINING.get(name.upper(), {})
    return method(**arguments, **{key.lower(): value for key, value in settings.items()})


def add_method_settings(node: CfgNode) -> None:
    """Add a node for each registered method that has arguments of its own, with their defaults.

    Args:
        node: ``MODEL.COMINING``, changed in place. Methods with a ``from_config`` are left out:
            their keys are there.
    """
    for name, method in METHOD_REGISTRY:
        if not hasattr(method, "from_config"):
            arguments = inspect.signature(method).parameters.values()
            settings = {x.name.upper(): x.default for x in arguments if x.default is not x.empty}
            if settings:
                node[name.upper()] = CfgNode(settings)
