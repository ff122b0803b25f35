"""From scores to the precision they stand for."""

from __future__ import annotations

import torch
from detectron2.utils import comm
from torch import Tensor, distributed, nn
from torch.nn import functional as F

NUM_BINS = 1000


class LogisticCalibration(nn.Module):
    """The share of boxes that are right, as a logistic function of their score's logit (Kuppers et
    al., Multivariate Confidence Calibration for Object Detection, CVPRW 2020, of the score alone):
    sigmoid(slope x logit(score) + offset).

    Scores are counted by the thousandth. A normal prior of unit variance about a slope of 1 and an
    offset of 0 keeps few or perfect boxes from deciding more than they show; without any the score
    stands for itself.
    """

    def __init__(self) -> None:
        super().__init__()
        # Saved with the model: wrong and right boxes since the last fit, by score; what was fit.
        self.counts: Tensor
        self.register_buffer("counts", torch.zeros(2, NUM_BINS))
        self.coefficients: Tensor
        self.register_buffer("coefficients", torch.tensor([1.0, 0.0]))

    def reset(self) -> None:
        """Forget what an earlier training has shown."""
        self.counts.zero_()
        self.coefficients.copy_(torch.tensor([1.0, 0.0]))

    @torch.no_grad()
    def observe(self, scores: Tensor, is_right: Tensor) -> None:
        """Count boxes, of all processes.

        Args:
            scores: (M,) in [0, 1].
            is_right: (M,) bool.
        """
        bins = (scores * NUM_BINS).long().clamp(0, NUM_BINS - 1)
        seen = torch.zeros_like(self.counts)
        seen.view(-1).index_add_(0, is_right * NUM_BINS + bins, torch.ones_like(scores))
        if comm.get_world_size() > 1:
            distributed.all_reduce(seen)
        self.counts += seen

    def fit(self) -> None:
        """Find the most likely function of what was counted since the last time, and count anew."""
        wrong, right = self.counts.double().cpu()
        logits = ((torch.arange(NUM_BINS) + 0.5) / NUM_BINS).double().logit()
        identity = torch.tensor([1.0, 0.0], dtype=torch.float64)
        coefficients = identity.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([coefficients], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            z = coefficients[0] * logits + coefficients[1]
            of_boxes = wrong @ F.softplus(z) + right @ F.softplus(-z)
            total = of_boxes + (coefficients - identity).square().sum() / 2
            total.backward()
            return total

        with torch.enable_grad():
            optimizer.step(loss)
        self.coefficients.copy_(coefficients.detach())
        self.counts.zero_()

    def score_of(self, precision: float) -> Tensor:
        """The score that stands for a precision in (0, 1); infinite if none does."""
        slope, offset = self.coefficients
        logit = torch.tensor(precision).logit()
        return torch.where(slope > 0, ((logit - offset) / slope).sigmoid(), torch.inf)
