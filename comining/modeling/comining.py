"""Co-mining for any dense detector of detectron2."""

from __future__ import annotations

from typing import Any

from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from .dense import Dense
from .methods import Method
from .predictions import Predictions
from .teacher import Taught
from .transfer import check_classes, move_batch
from .two_view_detector import BRANCHES, TwoViewDetector
from .two_views import TwoViews

__all__ = ["BRANCHES", "CoMining"]


class CoMining(TwoViewDetector, Taught, Dense):
    """Trains a dense detector on two views whose confident predictions label each other.

    Use it as the first base class of a detector: ``class CoMiningX(CoMining, X)``. A detector
    defines what `Dense` asks for; all else is common.
    """

    def __init__(self, *, method: Method, **kwargs: Any) -> None:
        """
        Args:
            method: decides what the branches learn beside the annotations.
            kwargs: other arguments of `TwoViewDetector`, of `Taught` and of the detector.
        """
        super().__init__(method=method, has_teacher=method.asks_teacher, **kwargs)

    def predict_views(self, images: ImageList) -> Any:
        """What `dense_outputs` makes of the network's predictions."""
        return self._outputs(images.tensor, self.backbone, self.head)

    def _outputs(self, images: Tensor, backbone: nn.Module, head: nn.Module) -> Any:
        backbone_features = backbone(images)
        features = [backbone_features[name] for name in self.head_in_features]
        return self.dense_outputs(features, head(features))

    def ask_teacher(self, images: TwoViews) -> Predictions | None:
        if self.teacher is None:
            return None
        of_both = self.method.teacher_sees_both_views
        seen = images.tensor if of_both else images.tensor[: len(images) // 2]
        outputs = self._outputs(seen, self.teacher.backbone, self.teacher.head)
        floor = self.method.teacher_floor
        return self._predictions(outputs, images, floor, of_both=of_both)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """detectron2's ``DenseDetector.forward``."""
        if self.training:
            check_classes(batched_inputs, self.num_classes)
            batched_inputs = move_batch(batched_inputs, self.device)
        return super().forward(batched_inputs)

    def forward_training(
        self,
        images: TwoViews,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """The detector's losses of both branches, against annotated and mined boxes.

        Args:
            images: the 2N images.
            features: per level (2N, C, H, W).
            predictions: the head's output on them.
            gt_instances: the annotations of the N images, in the original's frame.

        Returns:
            Each loss of the detector, and with the suffix "_aug" the same of the second view.
        """
        outputs = self.dense_outputs(features, predictions)
        return self.train_branches(images, outputs, gt_instances)
