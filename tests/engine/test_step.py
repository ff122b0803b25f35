"""Single steps of training, on models of one weight."""

import json
from itertools import pairwise

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import distributed, nn

from comining.engine.step import TrainStep
from tests.processes import in_two_processes


class Scaled(nn.Module):
    """Its loss is the weight, 1 at first, times a factor that the batch brings."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, batch):
        return {"loss": self.weight * batch[0]["factor"]}


class Drawing(Scaled):
    """Its loss is the weight times a factor that it draws."""

    def forward(self, batch):
        return super().forward([{"factor": torch.rand(())}])


def step_of(model, batches, **settings):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return TrainStep(model, batches, optimizer, device="cpu", **settings)


def test_what_a_model_draws_follows_from_seed_iteration_and_rank(monkeypatch):
    def drawn(state, seed=5, iteration=3, rank=0):
        torch.manual_seed(state)
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        model = Drawing()
        losses = []
        model.register_forward_hook(lambda *args: losses.append(args[2]["loss"].item()))
        step = step_of(model, [[]], seed=seed)
        step.iter = iteration
        with EventStorage():
            step.run_step()
        return losses[0]

    assert drawn(state=1) == drawn(state=2)
    others = [drawn(1, seed=6), drawn(1, iteration=4), drawn(1, rank=1)]
    assert len({drawn(state=1), *others}) == 4
    # Without a seed, from the state that torch is in.
    assert drawn(1, seed=-1) == drawn(1, seed=-1) != drawn(2, seed=-1)


def step_in_a_process_of_its_own(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    second = float("nan") if rank == 1 else 1.0
    batches = [[{"image_id": rank, "factor": factor}] for factor in (rank + 1.0, second)]
    step = step_of(Scaled(), batches, output_dir=folder)
    with EventStorage() as storage:
        step.iter = 0
        step.run_step()
        logged = {name: value for name, (value, _) in storage.latest().items()}
        step.iter = 1
        with pytest.raises(FloatingPointError) as error:
            step.run_step()
    content = {"logged": logged, "error": str(error.value)}
    (folder / f"seen_by_{rank}.json").write_text(json.dumps(content))


def test_processes_share_their_losses(tmp_path):
    """They log the mean, and all of them stop at a loss of one that is not finite."""
    in_two_processes(step_in_a_process_of_its_own, tmp_path)
    main, other = (json.loads((tmp_path / f"seen_by_{rank}.json").read_text()) for rank in range(2))
    assert main["logged"]["total_loss"] == main["logged"]["loss"] == 1.5
    assert main["error"] == other["error"]
    (path,) = tmp_path.glob("non_finite_*.json")
    assert path.name == "non_finite_0000001_rank1.json"
    assert str(path) in main["error"]


def test_steps_that_mixed_precision_skips_are_counted(caplog):
    """The scaler of float16, which works on the CPU by itself, meets gradients that overflow."""
    caplog.set_level("INFO", "comining")
    model = Scaled()
    step = step_of(model, [[{"factor": x}] for x in (1.0, 1e38, 1.0, 1e38)])
    step.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    weights = [model.weight.item()]
    with EventStorage() as storage:
        for step.iter in range(4):
            step.run_step()
            weights.append(model.weight.item())
    moved = [after != before for before, after in pairwise(weights)]
    assert moved == [True, False, True, False]
    assert storage.latest()["amp/skipped_steps"][0] == 2
    assert storage.latest()["amp/scale"][0] == 256.0
    assert "overflowed in iteration 1: the step was skipped (1 so far)" in caplog.text
    other = step_of(model, [])
    other.grad_scaler = torch.amp.GradScaler("cpu")
    other.load_state_dict(step.state_dict())
    assert other.skipped_steps == 2
    assert other.grad_scaler.get_scale() == 256.0


@pytest.mark.parametrize("fused", [False, True])
def test_what_is_clipped_are_the_gradients_not_the_scaled_ones(fused):
    """The gradient 0.5 stays below the limit of 1, times the scale of 1024 it would not."""
    cfg = get_cfg()
    cfg.merge_from_list(
        ["SOLVER.CLIP_GRADIENTS.ENABLED", True, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 1.0]
    )
    model = Scaled()
    optimizer_class = maybe_add_gradient_clipping(cfg, torch.optim.SGD)
    optimizer = optimizer_class(model.parameters(), lr=0.1, fused=fused)
    batches = [[{"factor": factor}] for factor in (0.5, 3.0)]
    step = TrainStep(model, batches, optimizer, device="cpu")
    step.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    weights = []
    with EventStorage():
        for step.iter in range(2):
            step.run_step()
            weights.append(model.weight.item())
    assert weights == pytest.approx([1 - 0.1 * 0.5, 1 - 0.1 * 0.5 - 0.1 * 1.0])
