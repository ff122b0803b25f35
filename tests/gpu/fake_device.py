"""A pretended GPU, on which a machine without one can rehearse.

Within `FakeDevice` there is a device called "fakegpu". Its tensors are CPU tensors in disguise, so
all results are those of the CPU. What differs is what goes wrong on CUDA alone, or slowly:

- an operation on tensors of both places raises `WrongDevice`, but for the numbers that CUDA takes
  from the host;
- whatever makes the host wait for a GPU is noted, with the line that asked for it;
- ``torch.autocast("fakegpu")`` computes convolutions and matrix products in half precision and, of
  what CUDA's does in single precision, `SINGLE_PRECISION`.

Several processes, streams, memory, and the rounding of CUDA's own kernels can't be pretended.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = "fakegpu"

#: Packages whose lines are told, the first that is on the stack: more helpful than a line of torch.
PACKAGES = ("comining", "detectron2", "fvcore", "torchvision")
#: Results that are numbers on the host, or whose size depends on the values.
NEEDS_VALUES = {
    "_local_scalar_dense", "_unique", "_unique2", "bincount", "equal", "masked_select", "nms",
    "nonzero", "unique_consecutive", "unique_dim",
}  # fmt: skip
#: Up to that many bytes CUDA copies from ordinary memory while the host goes on, if it may.
STAGED_BYTES = 2**16
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
#: Beside pointwise operations, what takes a number (a tensor without dimensions) from the host.
TAKES_NUMBER = {"fill", "fill_", "masked_fill", "masked_fill_", *INDEXING}

HALF_PRECISION = ("addmm", "baddbmm", "bmm", "conv2d", "einsum", "linear", "matmul", "mm")
#: Of CUDA's list, what can overflow or lose digits in a detector.
SINGLE_PRECISION = (
    "binary_cross_entropy_with_logits", "cumsum", "exp", "group_norm", "layer_norm", "log",
    "norm.ScalarOpt_dim", "pow.Tensor_Scalar", "prod", "prod.dim_int", "smooth_l1_loss", "softplus",
    "sum", "sum.dim_IntList",
)  # fmt: skip


class WrongDevice(RuntimeError):
    """An operation was given tensors of the host and of the device."""


class Wait(NamedTuple):
    """What the host waited for, and the line that asked for it."""

    operation: str
    line: str


class FakeDevice(TorchDispatchMode):
    """A context in which the device "fakegpu" can be used.

    Attributes:
        waits: in order.
        refused: the message of each `WrongDevice`, also if somebody has caught it.
    """

    current: FakeDevice | None = None

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[Wait] = []
        self.refused: list[str] = []

    def __enter__(self) -> FakeDevice:
        FakeDevice.current = self
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        FakeDevice.current = None
        super().__exit__(*error)

    def counts(self) -> Counter[Wait]:
        """How often each line waited for each operation."""
        return Counter(self.waits)

    def note(self, operation: str) -> None:
        self.waits.append(Wait(operation, _asking_line()))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        ours = [x for x in tensors if isinstance(x, _OnDevice)]
        target = kwargs.get("device")
        lands_here = target is not None and torch.device(target).type == DEVICE
        if not ours and not lands_here:
            return func(*args, **kwargs)

        name = func.overloadpacket.__name__
        if name in ("_to_copy", "copy_"):
            self._note_copy(name, args, kwargs)
        elif ours:
            self._check(func, name, args, kwargs, tensors)
        if lands_here:
            kwargs["device"] = "cpu"
        result = func(
            *tree_map_only(_OnDevice, _inner, args), **tree_map_only(_OnDevice, _inner, kwargs)
        )
        if any(x.inner.shape != x.shape for x in ours):
            raise NotImplementedError(f"{func} changes the size of a tensor in place")
        # What was changed in place, or given as out=, is returned as the same tensor.
        known = {id(_inner(x)): x for x in tensors}
        stays_on_host = target is not None and not lands_here

        def disguise(x: Tensor) -> Tensor:
            return known[id(x)] if id(x) in known else x if stays_on_host else _OnDevice(x)

        return tree_map_only(Tensor, disguise, result)

    def _note_copy(self, name: str, args: Any, kwargs: dict[str, Any]) -> None:
        """Note a copy between the places that the host waits for."""
        if name == "copy_":
            source, to_device = args[1], isinstance(args[0], _OnDevice)
        else:
            source, target = args[0], kwargs.get("device")
            # Without a target, it is another type on the same device.
            to_device = (
                torch.device(target).type == DEVICE if target else isinstance(source, _OnDevice)
            )
        if isinstance(source, _OnDevice) == to_device:
            return
        is_staged = to_device and kwargs.get("non_blocking") and source.nbytes <= STAGED_BYTES
        if not is_staged:
            self.note(f"copy to the {'device' if to_device else 'host'}")

    def _check(
        self, func: Any, name: str, args: Any, kwargs: dict[str, Any], tensors: list[Tensor]
    ) -> None:
        """Refuse tensors of the host, and note what the host waits for."""
        indices = [x for x in args[1] if x is not None] if name in INDEXING else []
        for index in indices:
            if index.dtype in (torch.bool, torch.uint8):
                self.note(f"{name} by a mask")
            if not isinstance(index, _OnDevice):
                self.note(f"{name} by indices of the host")
        takes_number = torch.Tag.pointwise in func.tags or name in TAKES_NUMBER
        taken = [id(x) for x in indices]
        for x in tensors:
            if isinstance(x, _OnDevice) or id(x) in taken:
                continue
            is_output = any(x is out for out in tree_leaves(kwargs.get("out")))
            if x.dim() > 0 or is_output or not takes_number:
                self.refused.append(
                    f"{func} at {_asking_line()}: a tensor {tuple(x.shape)} is on the host, "
                    f"another one on {DEVICE}"
                )
                raise WrongDevice(self.refused[-1])
        if name in NEEDS_VALUES:
            self.note(name)


class _OnDevice(Tensor):
    """A tensor that says it is on the device; ``inner``, on the CPU, has the values."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> _OnDevice:
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=f"{DEVICE}:0",
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        raise RuntimeError(f"{func}: a tensor on {DEVICE} is used outside of FakeDevice")

    def __reduce_ex__(self, protocol: int) -> Any:
        return self.inner.__reduce_ex__(protocol)  # as with map_location="cpu"

    def __repr__(self, **options: Any) -> str:  # type: ignore[override]
        return f"{DEVICE}({self.inner})"

    # The two of a tensor's methods that don't come by the mode, or can't.
    def tolist(self) -> Any:
        return self.cpu().tolist()

    def unsqueeze_(self, dim: int) -> Tensor:
        return self.unsqueeze(dim)  # nothing here uses what it was called on any more


def _inner(x: Tensor) -> Tensor:
    return x.inner if isinstance(x, _OnDevice) else x


def _asking_line() -> str:
    """The innermost line of the first of `PACKAGES` that is on the stack."""
    lines: dict[str, str] = {}
    for path, number in _stack():
        parts = Path(path).parts
        for package in PACKAGES:
            if package in parts:
                start = len(parts) - 1 - parts[::-1].index(package)
                lines.setdefault(package, f"{'/'.join(parts[start:])}:{number}")
    return next((lines[package] for package in PACKAGES if package in lines), "elsewhere")


def _stack() -> Iterator[tuple[str, int]]:
    frame: Any = sys._getframe(1)
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


class _Backend:
    """What PyTorch expects of the module ``torch.fakegpu``."""

    is_available = is_initialized = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    manual_seed_all = staticmethod(lambda seed: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.float16, torch.bfloat16])


def _register() -> list[torch.library.Library]:
    """Tell PyTorch of the device, for as long as the process lives."""
    _setup_privateuseone_for_python_backend(DEVICE, backend_module=_Backend())
    kernels = torch.library.Library("aten", "IMPL", "PrivateUse1")
    # torch.tensor(numbers, device=...) makes and fills its tensor where no mode sees it.
    kernels.impl("empty_strided", _empty_strided)
    kernels.impl("_copy_from", _copy_from)
    autocast = torch.library.Library("aten", "IMPL", "AutocastPrivateUse1")
    for name in HALF_PRECISION:
        autocast.impl(name, _autocasting(name, half=True))
    for name in SINGLE_PRECISION:
        autocast.impl(name, _autocasting(name, half=False))
    everything_else = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    everything_else.fallback(torch.library.fallthrough_kernel)
    return [kernels, autocast, everything_else]


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return _OnDevice(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    to_device = isinstance(target, _OnDevice)
    if FakeDevice.current is not None and isinstance(source, _OnDevice) != to_device:
        FakeDevice.current.note(f"copy to the {'device' if to_device else 'host'}")
    _inner(target).copy_(_inner(source))
    return target


def _autocasting(name: str, *, half: bool) -> Callable[..., Any]:
    """An operation under autocast.

    In half precision, its numbers are rounded to that before and after, and added up in single
    precision between: as on a GPU, and many times as fast as the CPU's own half precision.
    """
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def is_cast(x: Tensor) -> bool:
        # Double precision and integers stay, as on CUDA.
        halves_and_single = (torch.float16, torch.bfloat16, torch.float32)
        return x.dtype in halves_and_single and x.device.type == DEVICE

    def rounded(x: Tensor) -> Tensor:
        return x.to(torch.get_autocast_dtype(DEVICE)) if half and is_cast(x) else x

    def before(x: Tensor) -> Tensor:
        return rounded(x).float() if is_cast(x) else x

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            result = operation(*tree_map_only(Tensor, before, args), **kwargs)
            return tree_map_only(Tensor, rounded, result)

    return run


# When this is imported, as pytest does before it runs any test: after the first backward pass of a
# process it is too late. What is registered ends with these objects.
_libraries = _register()
