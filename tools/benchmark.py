#!/usr/bin/env python
"""Measure the project against its references, both sides in one run, and print ratios.

python tools/benchmark.py step     a training step, against detectron2's RetinaNet on 2N images
python tools/benchmark.py view     the second view, against torchvision's ColorJitter on PIL images
python tools/benchmark.py loader   the project's train loader, against detectron2's
python tools/benchmark.py eval     COCO metrics, against pycocotools
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import torch
from detectron2.data import build_detection_train_loader
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from PIL import Image
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import ColorJitter

from comining.data import register_coco
from comining.engine import Trainer, load_config
from comining.evaluation import box_metrics, coco
from comining.modeling import comining as mechanism
from comining.modeling import retinanet
from comining.modeling.view import SecondView, view_rng

CONFIG = "configs/full_R50.yaml"
ANNOTATED_PER_IMAGE = 7  # as in COCO
CONFIDENT_PER_IMAGE = 50  # (anchor, class) pairs above the threshold


def make_batch(num_images: int, height: int, width: int) -> list[dict[str, Any]]:
    """Random images, as the stock mapper gives them, with some boxes each."""
    rng = np.random.default_rng([num_images, height, width])
    batch = []
    for _ in range(num_images):
        pixels = rng.integers(0, 256, (3, height, width), dtype=np.uint8)
        corners = rng.uniform(0, 0.8, (ANNOTATED_PER_IMAGE, 2)) * (width, height)
        sizes = rng.uniform(0.03, 0.6, (ANNOTATED_PER_IMAGE, 2)) * (width, height)
        boxes = np.hstack((corners, np.minimum(corners + sizes, (width, height))))
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.from_numpy(boxes).float())
        instances.gt_classes = torch.from_numpy(rng.integers(0, 80, ANNOTATED_PER_IMAGE))
        batch.append({"image": torch.from_numpy(pixels), "instances": instances})
    return batch


def build(architecture: str, device: str) -> nn.Module:
    """A model with random weights, the same whatever the architecture."""
    cfg = load_config(CONFIG, ["MODEL.META_ARCHITECTURE", architecture, "MODEL.DEVICE", device])
    torch.manual_seed(0)
    return build_model(cfg).train()


@torch.no_grad()
def imitate_training(model: nn.Module, batch: list[dict[str, Any]]) -> None:
    """Set the class layer so that as many scores pass the threshold as a trained model's."""
    layer = model.head.cls_score
    layer.weight.normal_(std=0.05)
    model.eval()
    images = model.preprocess_image(batch)
    features = model.backbone(images.tensor)
    logits, _ = model.head([features[name] for name in model.head_in_features])
    model.train()
    scores = torch.cat([x.flatten() for x in logits])
    spread = scores.std()
    wanted = CONFIDENT_PER_IMAGE * len(batch)
    passing = ((scores - scores.mean()) / spread).topk(wanted).values[-1]
    # A standard deviation of one logit, and the wanted number above logit(0.6).
    threshold = torch.logit(torch.tensor(0.6, device=scores.device))
    layer.weight /= spread
    layer.bias.fill_(0).add_(threshold - passing - (scores.mean() - layer.bias) / spread)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def run_step(model: nn.Module, batch: list[dict[str, Any]]) -> None:
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    model.zero_grad(set_to_none=True)


def interleaved(
    steps: dict[str, Callable[[], None]], repeats: int, device: str
) -> dict[str, float]:
    """Median seconds of each of ``steps``, taking turns so that a noisy machine hits all alike."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for step in steps.values():
        step()
    for _ in range(repeats):
        for name, step in steps.items():
            synchronize(device)
            start = time.perf_counter()
            step()
            synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


@contextmanager
def timed_phases(model: nn.Module, device: str):
    """Collect the seconds that the phases of a Co-mining step take, by name."""
    seconds: defaultdict[str, float] = defaultdict(float)
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
        time_phase("merging and labelling", mechanism, "merge_labels")
        time_phase("merging and labelling", retinanet, "label_anchors")
        time_phase("losses", retinanet, "focal_loss")
        time_phase("losses", retinanet, "box_loss")
        time_phase("backward", torch.Tensor, "backward")
        yield seconds


class HostWaits(TorchDispatchMode):
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


def count_host_waits(model: nn.Module, batch: list[dict[str, Any]]) -> Counter[str]:
    tolist = torch.Tensor.tolist
    with HostWaits() as waits:

        def counted(tensor: torch.Tensor) -> Any:
            waits.counts["tolist"] += 1
            return tolist(tensor)

        with mock.patch.object(torch.Tensor, "tolist", counted):
            run_step(model, batch)
    return +waits.counts


def benchmark_step(sizes: list[tuple[int, int]], batches: list[int], repeats: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"device {device}, {torch.get_num_threads()} thread(s), median of {repeats}")
    print("N images   size       stock 2N   co-mining N   ratio")
    for height, width in sizes:
        for num_images in batches:
            batch = make_batch(num_images, height, width)
            stock, ours = build("RetinaNet", device), build("CoMiningRetinaNet", device)
            imitate_training(stock, batch)
            ours.load_state_dict(stock.state_dict())
            steps = {
                "stock": lambda model=stock, batch=batch: run_step(model, batch + batch),
                "ours": lambda model=ours, batch=batch: run_step(model, batch),
            }
            took = interleaved(steps, repeats, device)
            print(
                f"{num_images:<10} {height}x{width}   {took['stock']:7.3f} s"
                f"   {took['ours']:9.3f} s   {took['ours'] / took['stock']:5.3f}"
            )
            with timed_phases(ours, device) as seconds:
                start = time.perf_counter()
                run_step(ours, batch)
                total = time.perf_counter() - start
            shares = [f"{name} {100 * s / total:.1f} %" for name, s in seconds.items()]
            print(f"  phases: {', '.join(shares)}")
            waits = count_host_waits(ours, batch)
            print(f"  host waits: {sum(waits.values())} ({dict(waits)})")


def benchmark_view(sizes: list[tuple[int, int]], repeats: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"device {device}, {torch.get_num_threads()} thread(s), median of {repeats}")
    print("size       PIL ColorJitter   second view   ratio")
    jitter = ColorJitter(0.8, 0.8, 0.8, 0.2)
    draws = count()
    view = SecondView(
        jitter_prob=1.0, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, flip_prob=0.0
    )
    for height, width in sizes:
        (item,) = make_batch(1, height, width)
        on_device = item["image"].to(device)
        picture = Image.fromarray(item["image"].permute(1, 2, 0).numpy())
        steps = {
            "pil": lambda picture=picture: jitter(picture),
            "view": lambda image=on_device: view.make(
                image, view.draw(view_rng(0, next(draws), 0, 0))
            ),
        }
        took = interleaved(steps, repeats, device)
        print(
            f"{height}x{width}   {1e3 * took['pil']:10.1f} ms   {1e3 * took['view']:10.1f} ms"
            f"   {took['view'] / took['pil']:5.3f}"
        )


def benchmark_loader(repeats: int) -> None:
    """Batches of generated 640x480 photographs, decoded and augmented in one worker process."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        images, annotations = [], []
        for index in range(32):
            smooth = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)
            picture = Image.fromarray(smooth).resize((640, 480), Image.Resampling.BICUBIC)
            picture.save(Path(folder, f"{index}.jpg"))
            images.append(
                {"id": index + 1, "file_name": f"{index}.jpg", "height": 480, "width": 640}
            )
            annotations += [
                {"id": len(annotations) + n + 1, "image_id": index + 1, "category_id": 1,
                 "bbox": [60 * n, 40 * n, 90, 70], "area": 6300, "iscrowd": 0}
                for n in range(ANNOTATED_PER_IMAGE)
            ]  # fmt: skip
        dataset = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "x"}],
        }
        annotation_file = Path(folder, "annotations.json")
        annotation_file.write_text(json.dumps(dataset))
        register_coco("benchmark", annotation_file, folder)
        cfg = load_config(CONFIG, ["DATALOADER.NUM_WORKERS", "1", "SOLVER.IMS_PER_BATCH", "8"])
        cfg.DATASETS.TRAIN = ["benchmark"]
        loaders = {
            "stock": iter(build_detection_train_loader(cfg)),
            "ours": iter(Trainer.build_train_loader(cfg)),
        }
        batches = 4
        steps = {
            name: lambda loader=loader: [next(loader) for _ in range(batches)]
            for name, loader in loaders.items()
        }
        took = interleaved(steps, repeats, "cpu")
    speed = {name: batches * 8 / seconds for name, seconds in took.items()}
    print("images per second and worker: "
          f"detectron2 {speed['stock']:.1f}, comining {speed['ours']:.1f}, "
          f"ratio {speed['ours'] / speed['stock']:.3f}")  # fmt: skip


def benchmark_eval(num_images: int) -> None:
    """Boxes and detections of val2017's numbers: 80 classes, 7.2 boxes and 100 detections each."""
    rng = np.random.default_rng(0)
    categories = {id_: f"class {id_}" for id_ in range(1, 81)}
    annotations, predictions = [], []
    for image_id in range(1, num_images + 1):
        corners, sizes = rng.uniform(0, 400, (7, 2)), np.exp(rng.uniform(2, 5.5, (7, 2)))
        boxes, classes = np.hstack((corners, sizes)), rng.integers(1, 81, 7)
        for box, category in zip(boxes, classes, strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": image_id, "category_id": int(category),
                "bbox": box.tolist(), "area": float(box[2] * box[3]), "iscrowd": 0,
            })  # fmt: skip
        for near in rng.integers(0, 7, 100):
            box = boxes[near] * rng.uniform(0.8, 1.25, 4)
            category = classes[near] if rng.random() < 0.7 else rng.integers(1, 81)
            predictions.append({
                "image_id": image_id, "category_id": int(category), "bbox": box.tolist(),
                "score": float(rng.random()),
            })  # fmt: skip
    dataset = {
        "images": [{"id": id_ + 1} for id_ in range(num_images)],
        "categories": [{"id": id_, "name": name} for id_, name in categories.items()],
        "annotations": annotations,
    }
    results, seconds = {}, {}
    for name, judge in (("pycocotools", pycocotools_judge), ("comining", nullcontext)):
        with judge():
            start = time.perf_counter()
            results[name] = box_metrics(dataset, copy.deepcopy(predictions), categories)
            seconds[name] = time.perf_counter() - start
    theirs, ours = results.values()
    difference = max(abs(theirs[key] - ours[key]) for key in theirs)
    print(f"{num_images} images, {len(annotations)} boxes, {len(predictions)} detections: "
          f"pycocotools {seconds['pycocotools']:.1f} s, comining {seconds['comining']:.1f} s, "
          f"ratio {seconds['pycocotools'] / seconds['comining']:.1f}; "
          f"greatest difference of a metric {difference:.1e}")  # fmt: skip


@contextmanager
def pycocotools_judge() -> Iterator[None]:
    """Make the project's metrics come from pycocotools."""
    with mock.patch.multiple(
        coco, COCO=pycocotools.coco.COCO, COCOeval=pycocotools.cocoeval.COCOeval
    ):
        yield


def _size(text: str) -> tuple[int, int]:
    height, width = text.split("x")
    return int(height), int(width)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("step", "view", "loader", "eval"))
    parser.add_argument("--sizes", type=_size, nargs="+", default=[(512, 640), (800, 1216)],
                        metavar="HxW", help="image sizes in pixels")  # fmt: skip
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4], help="images N")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--images", type=int, default=5000, help="images to evaluate")
    parser.add_argument("--threads", type=int, default=1, help="threads on the CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.what == "step":
        benchmark_step(options.sizes, options.batches, options.repeats)
    elif options.what == "view":
        benchmark_view(options.sizes, options.repeats)
    elif options.what == "loader":
        benchmark_loader(options.repeats)
    else:
        benchmark_eval(options.images)


if __name__ == "__main__":
    main()
