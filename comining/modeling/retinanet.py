"""Co-mining RetinaNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.meta_arch import retinanet
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes
from detectron2.utils.events import get_event_storage
from torch import Tensor

from comining.errors import InputError

from .background import BackgroundWeights
from .comining import BRANCHES, CoMining
from .dense import decode
from .head import head_norm
from .known import Known, limit_to_known
from .labels import Labels
from .losses import BOX_LOSSES, box_loss, dense_focal_loss
from .matching import TouchingMatcher, label_anchors
from .mining import confident_candidates, suppress, top_candidates
from .per_branch import mean_per_branch
from .plain import IgnoresRegions
from .targets import Targets
from .teacher import Taught


class RetinaNetOutputs(NamedTuple):
    """A head's predictions on B images, in single precision.

    Attributes:
        anchors: (R, 4) XYXY.
        logits: per level (B, A * K, H, W).
        deltas: (B, R, 4).
    """

    anchors: Tensor
    logits: list[Tensor]
    deltas: Tensor


class RetinaNet(IgnoresRegions, retinanet.RetinaNet):
    """detectron2's RetinaNet with what it can't do: group norm in the head by config, and objects
    that no anchor touches."""

    @configurable
    def __init__(self, **kwargs: Any) -> None:
        """Takes the arguments of detectron2's ``RetinaNet``, by keyword."""
        super().__init__(**kwargs)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        features = cfg.MODEL.RETINANET.IN_FEATURES
        norm = head_norm("MODEL.RETINANET.NORM", cfg.MODEL.RETINANET.NORM)
        if not isinstance(norm, str):
            cfg = cfg.clone()
            cfg.defrost()
            cfg.MODEL.RETINANET.NORM = ""
        try:
            arguments = super().from_config(cfg)
        except KeyError as error:
            if error.args[0] not in features:
                raise
            raise InputError(
                f"MODEL.RETINANET.IN_FEATURES has {error.args[0]}, which the backbone does not make"
            ) from error
        arguments["anchor_matcher"] = TouchingMatcher(
            cfg.MODEL.RETINANET.IOU_THRESHOLDS,
            cfg.MODEL.RETINANET.IOU_LABELS,
            allow_low_quality_matches=True,
        )
        if not isinstance(norm, str):
            shapes = arguments["backbone"].output_shape()
            of_head = retinanet.RetinaNetHead.from_config(cfg, [shapes[x] for x in features])
            arguments["head"] = retinanet.RetinaNetHead(**{**of_head, "norm": norm})
        return arguments


@META_ARCH_REGISTRY.register()
class CoMiningRetinaNet(CoMining, RetinaNet):
    """RetinaNet trained by Co-mining; at inference, and in its parameters, plain RetinaNet."""

    @configurable
    def __init__(self, **kwargs: Any) -> None:
        """Takes the arguments of `CoMining` and of detectron2's ``RetinaNet``, by keyword.

        Raises:
            InputError: a value is not legal.
        """
        super().__init__(**kwargs)
        if self.box_reg_loss_type not in BOX_LOSSES:
            raise InputError(
                f"MODEL.RETINANET.BBOX_REG_LOSS_TYPE is {self.box_reg_loss_type!r}; it must be "
                f"one of {', '.join(BOX_LOSSES)}"
            )

    def dense_outputs(
        self, features: list[Tensor], predictions: list[list[Tensor]]
    ) -> RetinaNetOutputs:
        logits, deltas = predictions
        return RetinaNetOutputs(
            anchors=Boxes.cat(self.anchor_generator(features)).tensor,
            logits=[x.float() for x in logits],
            deltas=torch.cat([permute_to_N_HWA_K(x, 4) for x in deltas], dim=1).float(),
        )

    def mine(self, outputs: RetinaNetOutputs, score_thresh: float, max_per_image: int) -> Labels:
        found = self.candidates(outputs, score_thresh)
        return suppress(found, self.test_nms_thresh, max_per_image)

    def candidates(self, outputs: RetinaNetOutputs, score_thresh: float) -> Labels:
        topk = self.test_topk_candidates
        candidates = top_candidates(
            confident_candidates(outputs.logits, self.num_classes, score_thresh, topk), topk
        )
        boxes = self.box2box_transform.apply_deltas(
            outputs.deltas[candidates.images, candidates.anchors],
            outputs.anchors[candidates.anchors],
        )
        return Labels(boxes, candidates.classes, candidates.images, candidates.scores)

    def decoded_boxes(self, outputs: RetinaNetOutputs) -> Tensor:
        return decode(self.box2box_transform, outputs.deltas, outputs.anchors)

    def branch_losses(
        self,
        outputs: RetinaNetOutputs,
        targets: Sequence[Targets],
        background: BackgroundWeights | None = None,
        known: Known | None = None,
    ) -> dict[str, Tensor]:
        num_branches = len(BRANCHES)
        num_images = len(targets)
        matched = label_anchors(
            outputs.anchors, targets, self.anchor_matcher, num_classes=self.num_classes
        )
        classes, partial = limit_to_known(matched.classes, matched.doubtful, outputs.anchors, known)
        foreground = (classes >= 0) & (classes < self.num_classes)
        num_objects = foreground.view(num_branches, -1).sum(1).clamp(min=1)

        loss_cls = dense_focal_loss(
            outputs.logits,
            classes,
            num_branches=num_branches,
            alpha=self.focal_loss_alpha,
            gamma=self.focal_loss_gamma,
            weights=matched.class_weights,
            background=background,
            overlaps=matched.overlaps,
            partial=partial,
        )

        images, anchors = foreground.nonzero(as_tuple=True)
        regression = box_loss(
            outputs.deltas[images, anchors],
            outputs.anchors[anchors],
            matched.boxes[images, anchors],
            self.box2box_transform,
            kind=self.box_reg_loss_type,
            smooth_l1_beta=self.smooth_l1_beta,
        )
        branches = images.div(num_images // num_branches, rounding_mode="floor")
        weights = matched.box_weights[images, anchors]
        loss_box_reg = mean_per_branch(regression, weights, branches, num_branches)

        get_event_storage().put_scalar("num_pos_anchors", len(images) / num_images)
        return {"loss_cls": loss_cls / num_objects, "loss_box_reg": loss_box_reg}


@META_ARCH_REGISTRY.register()
class AveragedRetinaNet(Taught, RetinaNet):
    """Plain RetinaNet, which a teacher follows that does not teach it: a control for methods."""

    @configurable
    def __init__(self, **kwargs: Any) -> None:
        """Takes the arguments of `Taught` and of detectron2's ``RetinaNet``, by keyword."""
        super().__init__(**{"has_teacher": True, **kwargs})
