"""What the commands that train and evaluate have in common."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from .settings import overrides


def run_and_show(
    config: str,
    settings: Sequence[str],
    *,
    weights: str | None,
    output: Path | None,
    device: str | None,
    num_gpus: int,
    resume: bool = False,
    eval_only: bool = False,
    quiet: bool = False,
    as_json: bool = False,
) -> None:
    """Run, then print the metrics.

    Args:
        config: its path.
        settings: keys and values in turn.
        weights, output, device: None for the config's.
        num_gpus: processes.
        resume, eval_only: as of ``train_net.py``.
        quiet: print nothing.
        as_json: print the metrics as JSON.
    """
    from comining.completion.folder import check_is_free
    from comining.engine import launch, load_config
    from comining.engine.device import check_device
    from comining.engine.run import quiet_main
    from comining.engine.setup import check_data, check_weights
    from comining.evaluation.summary import summary

    check_device(device)
    if weights:
        check_weights(weights)
    own = {"OUTPUT_DIR": output, "MODEL.WEIGHTS": weights, "MODEL.DEVICE": device}
    opts = overrides(settings, own)
    cfg = load_config(config, opts)
    check_data(cfg, eval_only)  # here, so that a mistake is told once, not by each process
    folder = Path(cfg.OUTPUT_DIR)
    if not eval_only:
        check_is_free(folder)
    args = argparse.Namespace(
        config_file=config, opts=opts, resume=resume, eval_only=eval_only,
        quiet=quiet, num_gpus=num_gpus, num_machines=1, machine_rank=0, dist_url="auto",
    )  # fmt: skip
    launch(quiet_main, args)
    if (quiet and not as_json) or os.environ.get("RANK", "0") != "0":  # of torchrun's processes
        return
    results = folder / "results.json"
    metrics = json.loads(results.read_text()) if results.is_file() else {}
    if as_json:
        click.echo(json.dumps(metrics))
        return
    for line in summary(metrics, folder, cfg.DATASETS.TEST):
        click.echo(line)
    if not eval_only:
        click.echo(f"the detector: {folder / 'model_final.pth'}")
    if metrics:
        click.echo(f"all metrics: {results}")
    click.echo(f"all that was logged: {folder / 'log.txt'}")


def restart_with_every_gpu(device: str | None) -> None:
    """Where several GPUs are to be used, become torchrun with this command in a process for each.

    Args:
        device: that was asked for; None or "cuda" for all GPUs there are.
    """
    import torch

    number = torch.cuda.device_count()
    if number > 1 and device in (None, "cuda") and "LOCAL_RANK" not in os.environ:
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={number}"]
        os.execv(sys.executable, [sys.executable, *torchrun, "-m", "comining", *sys.argv[1:]])
