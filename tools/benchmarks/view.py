"""The second view of an image."""

from __future__ import annotations

from itertools import count

import torch
from PIL import Image
from torchvision.transforms import ColorJitter

from comining.modeling.view import SecondView, view_rng

from .data import make_batch
from .timing import interleaved


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
