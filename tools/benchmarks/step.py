"""A training step: Co-mining on N images against detectron2's detector on 2N."""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any
from unittest import mock

import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from comining.engine import load_config
from comining.modeling import Adaptive, fcos, retinanet
from comining.modeling.adaptive import CLOSE, NUM_BINS
from comining.modeling.methods import adaptive as adaptive_method
from comining.modeling.methods import published

from .data import FULL_CONFIGS, make_batch
from .timing import interleaved, synchronize

LAYOUTS = ("plain", "channels_last", "compiled")

#: By detector: its module, and the functions there that label and that make losses.
PARTS = {
    "RetinaNet": (retinanet, "label_anchors", ("dense_focal_loss", "box_loss")),
    "FCOS": (fcos, "label_locations", ("dense_focal_loss", "box_loss", "centerness")),
}


def benchmark_step(
    sizes: list[tuple[int, int]],
    batches: list[int],
    classes: list[int],
    confident: list[int],
    *,
    detector: str,
    threshold: str,
    layout: str,
    repeats: int,
) -> None:
    """Print the ratio, the phases, the peak memory and the host waits of every combination."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(
        f"{detector}, {threshold} threshold, {device}, {torch.get_num_threads()} thread(s), "
        f"layout {layout}, median of {repeats}"
    )
    above = load_config(FULL_CONFIGS[detector]).MODEL.COMINING.SCORE_THRESH
    for (height, width), num_images, num_classes, num_confident in itertools.product(
        sizes, batches, classes, confident
    ):
        batch = make_batch(num_images, height, width, num_classes)
        ours = build(detector, "CoMining", num_classes, device, threshold)
        imitate_training(ours, batch, num_confident, above)
        stock = build(detector, "", num_classes, device)
        stock.load_state_dict({name: ours.state_dict()[name] for name in stock.state_dict()})
        _apply_layout(ours, layout)
        _apply_layout(stock, layout)
        steps = {
            "stock": lambda model=stock, batch=batch: run_step(model, batch + batch),
            "ours": lambda model=ours, batch=batch: run_step(model, batch),
        }
        took = interleaved(steps, repeats, device)
        peaks = {name: peak_memory(step, device) for name, step in steps.items()}
        shares = _phase_shares(ours, detector, batch, repeats, device)
        mined, waits = _count_host_waits(ours, batch)
        print(
            f"{height}x{width}, {num_images} image(s), {num_classes} classes, "
            f"{mined:g} mined boxes per image and branch:\n"
            f"  seconds    {detector} on 2N {took['stock']:.3f}, Co-mining on N "
            f"{took['ours']:.3f}, ratio {took['ours'] / took['stock']:.3f}\n"
            f"  phases     {', '.join(f'{name} {share:.1%}' for name, share in shares.items())}\n"
            f"  peak MiB   {detector} {peaks['stock'] / 2**20:.0f}, Co-mining "
            f"{peaks['ours'] / 2**20:.0f}, ratio {peaks['ours'] / peaks['stock']:.3f}\n"
            f"  host waits {sum(waits.values())} ({dict(waits)})",
            flush=True,
        )


def build(
    detector: str, prefix: str, num_classes: int, device: str, threshold: str = "fixed"
) -> nn.Module:
    """A model with random weights, the same whatever the prefix of its architecture."""
    overrides = {
        "MODEL.META_ARCHITECTURE": prefix + detector,
        f"MODEL.{detector.upper()}.NUM_CLASSES": num_classes,
        "MODEL.COMINING.THRESHOLD": threshold,
        "MODEL.DEVICE": device,
        "SEED": 0,
    }
    cfg = load_config(
        FULL_CONFIGS[detector], [str(word) for pair in overrides.items() for word in pair]
    )
    torch.manual_seed(0)
    return build_model(cfg).train()


def run_step(model: nn.Module, batch: list[dict[str, Any]]) -> float:
    """Forward and backward; returns the number of mined boxes per image and branch."""
    with EventStorage(1) as storage:
        losses = model(batch)
    sum(losses.values()).backward()
    model.zero_grad(set_to_none=True)
    names = ("comining/mined_per_image", "comining/mined_per_image_aug")
    return sum(storage.latest()[name][0] for name in names if name in storage.latest()) / 2


@torch.no_grad()
def imitate_training(
    model: nn.Module, batch: list[dict[str, Any]], confident: int, above: float
) -> None:
    """Set the class layer so that as many scores are above a threshold as a trained model's."""
    layer = model.head.cls_score
    layer.weight.normal_(std=0.05)
    with EventStorage(1):  # as in the measured steps: the second views are theirs
        images = model.preprocess_image(batch)
    features = model.backbone(images.tensor)
    logits, *_ = model.head([features[name] for name in model.head_in_features])
    scores = torch.cat([x.flatten() for x in logits])
    spread = scores.std()
    passing = ((scores - scores.mean()) / spread).topk(confident * len(images)).values[-1]
    # A standard deviation of one logit, and the wanted number above the threshold's.
    threshold = torch.logit(torch.tensor(above, device=scores.device))
    layer.bias.copy_(threshold - passing - (scores.mean() - layer.bias) / spread)
    layer.weight /= spread
    if isinstance(model.method, Adaptive):
        # Above it all was right, below it half, and as many were far as close.
        at = round(above * NUM_BINS)
        model.adaptive.counts[:, :, at] = 1e6
        model.adaptive.counts[CLOSE:, :, at - 1] = 1e6


def _apply_layout(model: nn.Module, layout: str) -> None:
    if layout == "channels_last":
        model.to(memory_format=torch.channels_last)
    elif layout == "compiled":
        model.backbone.compile()
        model.head.compile()


@contextmanager
def _timed_phases(model: nn.Module, detector: str, device: str) -> Iterator[dict[str, float]]:
    """Collect the seconds that the phases of a Co-mining step take, by name."""
    seconds: defaultdict[str, float] = defaultdict(float)
    module, labels, losses = PARTS[detector]
    with ExitStack() as stack:

        def time_phase(name: str, owner: Any, attribute: str) -> None:
            function = getattr(owner, attribute)

            def timed(*args: Any, **kwargs: Any) -> Any:
                synchronize(device)
                start = time.perf_counter()
                result = function(*args, **kwargs)
                synchronize(device)
                seconds[name] += time.perf_counter() - start
                return result

            stack.enter_context(mock.patch.object(owner, attribute, timed))

        time_phase("view", model.view, "make")
        time_phase("backbone", model.backbone, "forward")
        time_phase("head", model.head, "forward")
        time_phase("mining", model, "mine")
        if isinstance(model.method, Adaptive):
            time_phase("thresholds", model.adaptive, "observe")
            time_phase("thresholds", model.adaptive, "thresholds")
        time_phase("logging", model, "mining_log")
        for methods in (adaptive_method, published):
            time_phase("merging and labelling", methods, "overlap_any")
        time_phase("merging and labelling", module, labels)
        for loss in losses:
            time_phase("losses", module, loss)
        time_phase("backward", torch.Tensor, "backward")
        yield seconds


def _phase_shares(
    model: nn.Module, detector: str, batch: list[dict[str, Any]], repeats: int, device: str
) -> dict[str, float]:
    """The median share of each phase in a step."""
    shares: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        with _timed_phases(model, detector, device) as seconds:
            start = time.perf_counter()
            run_step(model, batch)
            total = time.perf_counter() - start
        for name, took in seconds.items():
            shares[name].append(took / total)
    return {name: median(values) for name, values in shares.items()}


def peak_memory(step: Any, device: str) -> int:
    """Bytes that a step holds at most, beyond what was held before it."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


class _HostWaits(TorchDispatchMode):
    """Counts the operations that make the host wait for a GPU, on any device."""

    NAMES = ("nonzero", "_local_scalar_dense", "unique", "_unique2", "masked_select", "nms")

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        if name in self.NAMES:
            self.counts[name] += 1
        # Indexing with a mask looks for its true elements.
        if name in ("index", "index_put_", "index_put"):
            self.counts["index with a mask"] += sum(
                x is not None and x.dtype == torch.bool for x in args[1]
            )
        return func(*args, **(kwargs or {}))


class _Copies(TorchFunctionMode):
    """Counts copies between the host and the device, whatever the device is."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        made = func is Tensor.new_tensor or (
            func in (torch.tensor, torch.as_tensor)
            and kwargs.get("device") is not None
            and not isinstance(args[0], Tensor)
        )

        moves = func is Tensor.to and isinstance(args[0], _OnHost)
        if made or moves:
            self.counts["copy"] += 1
        if func is Tensor.tolist:
            self.counts["tolist"] += 1
        if moves:
            args = (args[0].as_subclass(Tensor), *args[1:])
        return func(*args, **kwargs)


class _OnHost(Tensor):
    """A loaded tensor, and what is computed from it before it is moved to the device."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("meta")  # just not the model's


def _count_host_waits(model: nn.Module, batch: list[dict[str, Any]]) -> tuple[float, Counter[str]]:
    """The mined boxes per image and branch, and what the host waited for, with how often."""
    waits = _HostWaits()
    from_tensors = ImageList.from_tensors

    def uncounted(*args: Any, **kwargs: Any) -> ImageList:
        # detectron2 computes the padded size with tensors that are on the host in any case.
        before = waits.counts.copy()
        images = from_tensors(*args, **kwargs)
        waits.counts.clear()
        waits.counts.update(before)
        return images

    loaded = []
    for item in batch:
        instances = Instances(item["instances"].image_size)
        instances.gt_boxes = Boxes(item["instances"].gt_boxes.tensor)
        instances.gt_boxes.tensor = instances.gt_boxes.tensor.as_subclass(_OnHost)
        instances.gt_classes = item["instances"].gt_classes.as_subclass(_OnHost)
        loaded.append({"image": item["image"].as_subclass(_OnHost), "instances": instances})
    with (
        mock.patch.object(ImageList, "from_tensors", uncounted),
        waits,
        _Copies(waits.counts),
    ):
        mined = run_step(model, loaded)
    return mined, +waits.counts
