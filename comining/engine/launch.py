"""Starting a run in one or several processes."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import torch
from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from torch import distributed, multiprocessing

from comining.console import hide_warnings_of_others
from comining.errors import InputError, PartialError

from .waiting import TIMEOUT, meet_at

_DEFAULT_ADDRESS = default_argument_parser().get_default("dist_url")


def launch(main: Callable[[argparse.Namespace], Any], args: argparse.Namespace) -> Any:
    """Run ``main(args)`` in this process or in all processes of a distributed run.

    Under ``torchrun`` (which sets the environment variable ``LOCAL_RANK``) this process is one of
    them; a training that it restarted after a failure resumes by itself. Otherwise
    ``args.num_gpus`` processes are started here, as by detectron2's ``launch``. Processes
    communicate by NCCL on GPUs and by gloo on a machine without.

    Args:
        main: an importable function.
        args: of detectron2's ``default_argument_parser``.

    Returns:
        What ``main`` returns, if it runs in this process.

    Raises:
        InputError: the machine can't do what is asked for.
    """
    hide_warnings_of_others()
    if "LOCAL_RANK" in os.environ:
        _check_restartable()
        _check_number(int(os.environ["LOCAL_WORLD_SIZE"]), "--nproc-per-node")
        return _run_worker(main, args, "env://")
    _check_number(args.num_gpus, "--num-gpus")
    if args.num_machines * args.num_gpus <= 1:
        return main(args)
    address = args.dist_url
    if address in ("auto", _DEFAULT_ADDRESS):
        if args.num_machines > 1:
            raise InputError(
                "--num-machines needs, on all of them, --dist-url tcp://HOST:PORT with the address "
                "of the machine of rank 0 and a free port there"
            )
        address = f"tcp://127.0.0.1:{_free_port()}"  # so that two runs don't get into each other
    if not torch.cuda.is_available() and not getattr(args, "quiet", False):
        print(f"no GPU is there: {args.num_gpus} processes share the CPU", file=sys.stderr)
    try:
        multiprocessing.start_processes(_spawned, (main, args, address), nprocs=args.num_gpus)
    except multiprocessing.ProcessExitedException as error:
        # What it exits with itself it has told.
        sys.exit(error.exit_code if error.signal_name is None else f"error: {error}")
    return None


def _spawned(
    local_rank: int,
    main: Callable[[argparse.Namespace], Any],
    args: argparse.Namespace,
    address: str,
) -> None:
    hide_warnings_of_others()
    os.environ.update(
        LOCAL_RANK=str(local_rank),
        LOCAL_WORLD_SIZE=str(args.num_gpus),
        RANK=str(args.machine_rank * args.num_gpus + local_rank),
        WORLD_SIZE=str(args.num_machines * args.num_gpus),
    )
    if not torch.cuda.is_available() and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // args.num_gpus))
    try:
        _run_worker(main, args, address)
    except (InputError, FloatingPointError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(exit_code(error))


def exit_code(error: Exception) -> int:
    """2 for wrong use or unusable input, else 1."""
    return 2 if isinstance(error, InputError) and not isinstance(error, PartialError) else 1


def _run_worker(
    main: Callable[[argparse.Namespace], Any], args: argparse.Namespace, address: str
) -> Any:
    """Join the processes that the environment variables of ``torchrun`` describe, and run."""
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(local_rank)
    store, *_ = next(distributed.rendezvous(address, rank, world_size, timeout=TIMEOUT))
    if _is_torchruns_store():
        # torchrun's store outlives the processes that it restarts: the new ones must not read where
        # the old ones could be reached.
        store = distributed.PrefixStore(f"attempt_{_restarts()}", store)
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        world_size=world_size,
        rank=rank,
        timeout=TIMEOUT,
    )
    meet_at(store, world_size)
    _make_local_group(local_size)
    # Of several machines, each counts the restarts that it began. An evaluation has nothing to go
    # on from: it would take the last checkpoint for the weights that it was given.
    restarted = any(comm.all_gather(was_restarted()))
    if restarted and not getattr(args, "eval_only", False):
        args.resume = True
    result = main(args)
    # Not where an error was raised: NCCL would wait for the other processes, which wait for this
    # one. It has to end, so that whoever started it ends them.
    distributed.destroy_process_group()
    meet_at(None)
    return result


def _check_number(processes: int, option: str) -> None:
    present = torch.cuda.device_count()
    if processes > present > 0:
        raise InputError(f"{option} {processes}, but this machine has {present}: ask for no more")


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def _is_torchruns_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def may_be_restarted() -> bool:
    """Whether ``torchrun`` will restart this process's run after a failure."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)) > 0


def was_restarted() -> bool:
    """Whether ``torchrun`` started this process's run again after a failure."""
    return _restarts() > 0


def is_on_several_machines() -> bool:
    """Whether ``torchrun`` runs this process's run on several machines.

    Then it also starts all processes anew when one comes or goes, and does not count that as a
    restart.
    """
    return int(os.environ.get("GROUP_WORLD_SIZE", 1)) > 1


def _check_restartable() -> None:
    if is_on_several_machines() and may_be_restarted() and _is_torchruns_store():
        raise InputError(
            "torchrun --max-restarts on several machines needs --rdzv-backend=c10d and, on all of "
            "them, TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in torchrun's environment: else the "
            "processes that it restarts would not find each other"
        )


def _make_local_group(local_size: int) -> None:
    """Tell detectron2 which processes are on the same machine."""
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(local_size)
        return
    for first in range(0, comm.get_world_size(), local_size):
        ranks = range(first, first + local_size)
        group = distributed.new_group(list(ranks))
        if comm.get_rank() in ranks:
            comm._LOCAL_PROCESS_GROUP = group


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
