"""Losses and mined labels in bfloat16 against float32, on a trained model."""

from __future__ import annotations

import torch
from detectron2.utils.events import EventStorage

from comining.data import register_from_config
from comining.engine import Checkpointer, Trainer, load_config
from comining.modeling.labels import Labels, pairwise_iou

SAME_BOX = 0.5  # IoU


def benchmark_amp(config_file: str, weights: str, batches: int) -> None:
    """Print how far losses and mined labels differ on training batches.

    Args:
        config_file: of a Co-mining model.
        weights: its checkpoint.
        batches: how many to compare.
    """
    # Labels are compared at a threshold that both precisions share.
    fixed = ["MODEL.COMINING.THRESHOLD", "fixed"]
    cfg = load_config(config_file, [*fixed, "DATALOADER.NUM_WORKERS", "0", "SEED", "0"])
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    register_from_config(cfg)
    model = Trainer.build_model(cfg)
    Checkpointer(model, whole=True).load(weights)
    loader = iter(Trainer.build_train_loader(cfg))
    totals: dict[str, list[dict[str, float]]] = {"float32": [], "bfloat16": []}
    mined: dict[str, list[Labels]] = {"float32": [], "bfloat16": []}
    mine = model.mine
    current = ""

    def recorded(*args):  # type: ignore[no-untyped-def]
        found = mine(*args)
        mined[current].append(found)
        return found

    model.mine = recorded
    model.train()
    for _ in range(batches):
        batch = next(loader)
        for current in totals:
            autocast = torch.autocast(
                cfg.MODEL.DEVICE, torch.bfloat16, enabled=current == "bfloat16"
            )
            with EventStorage(), autocast, torch.no_grad():
                losses = model(batch)
            totals[current].append({name: float(loss) for name, loss in losses.items()})
    for name in totals["float32"][0]:
        ours, exact = (sum(x[name] for x in totals[kind]) for kind in ("bfloat16", "float32"))
        print(f"{name:18} float32 {exact / batches:.4f}, bfloat16 {ours / batches:.4f}, "
              f"ratio {ours / exact:.4f}")  # fmt: skip
    _print_agreement(mined["float32"], mined["bfloat16"], model.method.floor)


def _print_agreement(exact: list[Labels], rounded: list[Labels], score_thresh: float) -> None:
    """How many boxes one precision mines and the other does not, and how sure it was of them."""
    total, margins = 0, []
    for ours, theirs in zip(exact, rounded, strict=True):
        total += len(ours.boxes)
        for a, b in ((ours, theirs), (theirs, ours)):
            same = (pairwise_iou(a.boxes, b.boxes) > SAME_BOX) & (
                (a.images[:, None] == b.images) & (a.classes[:, None] == b.classes)
            )
            margins += (a.scores[~same.any(dim=1)] - score_thresh).tolist()
    greatest = max(margins, default=0.0)
    print(f"mined: {total} in float32; {len(margins)} in one precision only, whose scores are at "
          f"most {greatest:.4f} above the threshold")  # fmt: skip
