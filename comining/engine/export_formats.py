"""Writing a module of tensors for other programs, and running what was written."""

from __future__ import annotations

import importlib.util
import io
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from comining.errors import InputError

OUTPUTS = ("boxes", "scores", "classes")
#: In a TorchScript file, the name of what an ONNX file has in its ``metadata_props``.
METADATA_NAME = "metadata.json"

#: Boxes, scores and classes, as `ExportableDetector` gives them.
Detections = tuple[Tensor, Tensor, Tensor]
Runner = Callable[[Tensor], Detections]


def write_onnx(module: nn.Module, image: Tensor, metadata: Mapping[str, Any]) -> bytes:
    """The module as an ONNX file, with one input, ``image``, and three `OUTPUTS`.

    Args:
        module: like `ExportableDetector`, in evaluation mode.
        image: (H, W, 3) uint8, an example; the file takes images of any size.
        metadata: written as JSON, each value by itself, into the file's ``metadata_props``.
    """
    import onnx

    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter by tracing is said to be old. The new one takes 20 times as long and another
        # package for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (image,),
            file,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["image"],
            output_names=list(OUTPUTS),
            dynamic_axes={
                "image": {0: "height", 1: "width"},
                **{name: {0: "detections"} for name in OUTPUTS},
            },
        )
    model = onnx.load_from_string(file.getvalue())
    onnx.helper.set_model_props(model, {key: json.dumps(x) for key, x in metadata.items()})
    return model.SerializeToString()


def run_onnx(content: bytes) -> Runner:
    """What an ONNX file does, computed by onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Detections:
        boxes, scores, classes = session.run(list(OUTPUTS), {"image": image.numpy()})
        return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(classes)

    return run


def write_torchscript(module: nn.Module, image: Tensor, metadata: Mapping[str, Any]) -> bytes:
    """The module as a TorchScript file; its metadata is the file's ``metadata.json``.

    Args:
        module: like `ExportableDetector`, in evaluation mode.
        image: (H, W, 3) uint8, an example; the file takes images of any size.
        metadata: written as one JSON object.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what looks constant to the tracer is not
        traced = torch.jit.trace(module, image, check_trace=False)
    file = io.BytesIO()
    torch.jit.save(traced, file, _extra_files={METADATA_NAME: json.dumps(metadata)})
    return file.getvalue()


def run_torchscript(content: bytes) -> Runner:
    """What a TorchScript file does, computed by torch on the CPU."""
    return torch.jit.load(io.BytesIO(content), map_location="cpu")


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        write: takes a module, an example image and metadata.
        run: what a file's content does to an image.
        packages: what the two need beside torch.
    """

    write: Callable[[nn.Module, Tensor, Mapping[str, Any]], bytes]
    run: Callable[[bytes], Runner]
    packages: tuple[str, ...] = ()

    def check_packages(self) -> None:
        """
        Raises:
            InputError: a package is missing.
        """
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise InputError(
                f"{' and '.join(missing)} can't be imported, which this format needs: "
                f"pip install {' '.join(missing)}"
            )


FORMATS = {
    "onnx": Format(write_onnx, run_onnx, ("onnx", "onnxruntime")),
    "torchscript": Format(write_torchscript, run_torchscript),
}
