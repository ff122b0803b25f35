"""Two processes on the CPU: together they do what one does."""

import json
import socket
from pathlib import Path

import pytest
import torch
from detectron2.engine import default_argument_parser
from detectron2.utils import comm

from comining.engine import launch
from tests.engine.conftest import TORCHRUN, Training, assert_same_end

DRIVER = Path(__file__).with_name("run_until.py")


@pytest.fixture(scope="module")
def two_processes(mixed_data, tmp_path_factory):
    """The output folder of a training that torchrun started in two processes."""
    output = tmp_path_factory.mktemp("two")
    done = Training(mixed_data, output).run(launcher=(*TORCHRUN, "--nproc-per-node=2"))
    assert done.returncode == 0, done.stderr
    return output


def test_num_gpus_starts_processes_where_there_is_no_gpu(training, two_processes):
    done = training.run("--num-gpus", "2")
    assert done.returncode == 0, done.stderr
    assert "World size: 2" in done.stdout
    assert done.stderr.count("no GPU is there: 2 processes share the CPU\n") == 1
    assert_same_end(training.output, two_processes)


def test_levels_that_the_head_leaves_out_do_not_stop_two_processes(mixed_data, tmp_path):
    """As in the guide to one's own data, on a base whose p6 and p7 have parameters."""
    training = Training(mixed_data, tmp_path / "run", "FCOS")
    done = training.run("--num-gpus", "2", MODEL__FCOS__IN_FEATURES=["p3", "p4", "p5"],
                        MODEL__BACKBONE__NAME="build_fcos_resnet_fpn_p5_backbone",
                        SOLVER__MAX_ITER=3, DATASETS__TEST=[])  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert torch.load(training.output / "model_final.pth")["iteration"] == 2


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("options", [[], ["--eval-only"]])
def test_restarted_training_resumes_and_evaluation_keeps_its_weights(options, monkeypatch):
    environment = {
        "RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "TORCHELASTIC_RESTART_COUNT": 1,
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(comm, "_LOCAL_PROCESS_GROUP", None)  # given back afterwards
    args = default_argument_parser().parse_args(options)
    assert launch(lambda args: args.resume, args) == (not options)


@pytest.fixture
def agents(training):
    """Starts two agents of torchrun with one process each, which meet over the loopback device."""

    def start(*options, **settings):
        rendezvous = ("--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
                      f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=test")  # fmt: skip
        launcher = (*TORCHRUN, *rendezvous, *options)
        started = [training.start(launcher=launcher, **settings) for _ in range(2)]
        return [(*agent.communicate(timeout=300), agent.returncode) for agent in started]

    return start


def test_two_machines(agents, training, two_processes):
    for _, errors, code in agents():
        assert code == 0, errors
    assert_same_end(training.output, two_processes)


def test_killed_worker_on_one_of_two_machines(agents, training, two_processes, monkeypatch):
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    ended = agents("--max-restarts=1", script=(DRIVER, "in a step", 5, 1))
    for _, errors, code in ended:
        assert code == 0, errors
    assert any("Starting training from iteration 4" in printed for printed, _, _ in ended)
    assert_same_end(training.output, two_processes)


def test_restarts_on_several_machines_need_a_meeting_place_of_their_own(agents):
    for _, errors, code in agents("--max-restarts=1"):
        assert code != 0
        assert "needs --rdzv-backend=c10d and, on all of them, TORCH_DISABLE_SHARE" in errors


def test_killed_worker_is_replaced_and_the_training_resumes_by_itself(training, two_processes):
    launcher = (*TORCHRUN, "--nproc-per-node=2", "--max-restarts=1")
    done = training.run(launcher=launcher, script=(DRIVER, "in a step", 5, 1))
    assert done.returncode == 0, done.stderr
    assert "Starting training from iteration 4" in done.stdout
    assert_same_end(training.output, two_processes)


def test_restart_does_not_take_up_another_training(training, two_processes):
    """One that lies in the folder since before, where the worker dies before it saves anything."""
    done = training.run()
    assert done.returncode == 0, done.stderr
    launcher = (*TORCHRUN, "--nproc-per-node=2", "--max-restarts=1")
    done = training.run(launcher=launcher, script=(DRIVER, "in a step", 1, 1))
    assert done.returncode == 0, done.stderr
    assert "remove the file last_checkpoint there and give --resume" in done.stdout
    assert done.stdout.count("Starting training from iteration 0") == 2
    assert_same_end(training.output, two_processes)


def test_evaluation_is_the_same_in_one_process_in_two_and_at_the_end_of_training(
    training, two_processes
):
    weights = str(two_processes / "model_final.pth")
    for output, options in (("one", []), ("two", ["--num-gpus", "2"])):
        training.run("--eval-only", *options, MODEL__WEIGHTS=weights,
                     OUTPUT_DIR=training.output / output)  # fmt: skip
    detections = Path("inference", "mixed", "coco_instances_results.json")
    one, two, trained = (
        sorted(map(json.dumps, json.loads((folder / detections).read_text())))
        for folder in (training.output / "one", training.output / "two", two_processes)
    )
    # That of the two that train has the checkpoint's statistics, not those of each process.
    assert one == two == trained != []
    assert (training.output / "one" / "results.json").read_text() == (
        training.output / "two" / "results.json"
    ).read_text()


def test_errors_reach_the_user_without_a_traceback(training):
    done = training.run("--num-gpus", "2", MODEL__RETINANET__NUM_CLASSES=3)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 2  # each process has its own
    assert "error: mixed" in done.stderr
    assert "set MODEL.RETINANET.NUM_CLASSES 2" in done.stderr
    assert "Traceback" not in done.stderr
