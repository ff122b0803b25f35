"""Co-mining FCOS, and detectron2's FCOS from a config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    FPN,
    META_ARCH_REGISTRY,
    build_backbone,
    build_resnet_backbone,
)
from detectron2.modeling.backbone.fpn import LastLevelP6P7
from detectron2.modeling.meta_arch import fcos
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor
from torch.nn import functional as F

from comining.errors import InputError

from .background import BackgroundWeights
from .comining import BRANCHES, CoMining
from .dense import decode
from .head import head_norm
from .known import Known, limit_to_known
from .labels import Labels
from .losses import box_loss, centerness, dense_focal_loss
from .matching import label_locations
from .mining import confident_candidates, suppress, top_candidates
from .per_branch import mean_per_branch
from .plain import IgnoresRegions
from .precision import in_single_precision
from .targets import Targets
from .teacher import Taught


@BACKBONE_REGISTRY.register()
def build_fcos_resnet_fpn_p5_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """ResNet-FPN whose p6 and p7 are made from p5, as FCOS has it and RetinaNet has not."""
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    return FPN(
        bottom_up=build_resnet_backbone(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=channels,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelP6P7(channels, channels, in_feature="p5"),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


class FCOS(IgnoresRegions, fcos.FCOS):
    """detectron2's FCOS, built from ``MODEL.FCOS``.

    detectron2's centerness lies on the regression tower, its targets are normalised by the stride
    and its loss on boxes is GIoU, as published. Three things are its own: the levels have no
    learnt scale, the loss on boxes is not weighted by centerness, and at inference
    ``SCORE_THRESH_TEST`` is compared with sqrt(class score x centerness) instead of the class
    score. Like detectron2's RetinaNet it divides its losses by a running mean of the number of
    foreground locations, where Co-mining takes that of the iteration, for each branch.
    """

    @configurable
    def __init__(self, **kwargs: Any) -> None:
        """Takes the arguments of detectron2's ``FCOS``, by keyword."""
        super().__init__(**kwargs)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        settings = cfg.MODEL.FCOS
        backbone = build_backbone(cfg)
        shapes = backbone.output_shape()
        unknown = [name for name in settings.IN_FEATURES if name not in shapes]
        if unknown:
            raise InputError(
                f"MODEL.FCOS.IN_FEATURES has {', '.join(unknown)}, but what the backbone gives is "
                f"{', '.join(shapes)}"
            )
        input_shape = [shapes[name] for name in settings.IN_FEATURES]
        return {
            "backbone": backbone,
            "head": fcos.FCOSHead(
                input_shape=input_shape,
                num_classes=settings.NUM_CLASSES,
                conv_dims=[input_shape[0].channels] * settings.NUM_CONVS,
                norm=head_norm("MODEL.FCOS.NORM", settings.NORM),
                prior_prob=settings.PRIOR_PROB,
            ),
            "head_in_features": settings.IN_FEATURES,
            "num_classes": settings.NUM_CLASSES,
            "center_sampling_radius": settings.CENTER_SAMPLING_RADIUS,
            "focal_loss_alpha": settings.FOCAL_LOSS_ALPHA,
            "focal_loss_gamma": settings.FOCAL_LOSS_GAMMA,
            "test_score_thresh": settings.SCORE_THRESH_TEST,
            "test_topk_candidates": settings.TOPK_CANDIDATES_TEST,
            "test_nms_thresh": settings.NMS_THRESH_TEST,
            "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    def forward_training(
        self,
        images: ImageList,
        features: list[Tensor],
        predictions: list[list[Tensor]],
        gt_instances: list[Instances],
    ) -> dict[str, Tensor]:
        """As detectron2's, which fails in mixed precision."""
        predictions = in_single_precision(predictions)
        return super().forward_training(images, features, predictions, gt_instances)

    def label_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """As detectron2's, whose release 0.6 fails at an image without objects."""
        # Such an image gets one that no location lies in.
        return super().label_anchors(
            anchors, [_nowhere(x) if len(x) == 0 else x for x in gt_instances]
        )


def _nowhere(instances: Instances) -> Instances:
    boxes = instances.gt_boxes.tensor
    return Instances(
        instances.image_size,
        gt_boxes=Boxes(boxes.new_zeros(1, 4)),
        gt_classes=instances.gt_classes.new_zeros(1),
    )


# A detectron2 that can build its own keeps it.
if "FCOS" not in META_ARCH_REGISTRY:
    META_ARCH_REGISTRY.register(FCOS)


class FCOSOutputs(NamedTuple):
    """A head's predictions on B images, in single precision.

    Attributes:
        cells: per level (R_l, 4) XYXY, R in all: squares around the locations, as large as the
            level's stride.
        logits: per level (B, K, H, W).
        deltas: (B, R, 4).
        centerness: per level (B, 1, H, W), logits.
    """

    cells: list[Tensor]
    logits: list[Tensor]
    deltas: Tensor
    centerness: list[Tensor]


@META_ARCH_REGISTRY.register()
class CoMiningFCOS(CoMining, FCOS):
    """FCOS trained by Co-mining; at inference, and in its parameters, plain FCOS."""

    @configurable
    def __init__(self, **kwargs: Any) -> None:
        """Takes the arguments of `CoMining` and of detectron2's ``FCOS``, by keyword.

        Raises:
            InputError: a value is not legal.
        """
        super().__init__(**kwargs)

    def dense_outputs(self, features: list[Tensor], predictions: list[list[Tensor]]) -> FCOSOutputs:
        logits, deltas, center = predictions
        return FCOSOutputs(
            cells=[x.tensor for x in self.anchor_generator(features)],
            logits=[x.float() for x in logits],
            deltas=torch.cat([permute_to_N_HWA_K(x, 4) for x in deltas], dim=1).float(),
            centerness=[x.float() for x in center],
        )

    def mine(self, outputs: FCOSOutputs, score_thresh: float, max_per_image: int) -> Labels:
        found = self.candidates(outputs, score_thresh)
        return suppress(found, self.test_nms_thresh, max_per_image)

    def candidates(self, outputs: FCOSOutputs, score_thresh: float) -> Labels:
        # The class score alone decides what is confident, together with centerness it ranks.
        topk = self.test_topk_candidates
        candidates = top_candidates(
            confident_candidates(
                outputs.logits, self.num_classes, score_thresh, topk, outputs.centerness
            ),
            topk,
        )
        boxes = self.box2box_transform.apply_deltas(
            outputs.deltas[candidates.images, candidates.anchors],
            torch.cat(outputs.cells)[candidates.anchors],
        )
        return Labels(boxes, candidates.classes, candidates.images, candidates.scores)

    def decoded_boxes(self, outputs: FCOSOutputs) -> Tensor:
        return decode(self.box2box_transform, outputs.deltas, torch.cat(outputs.cells))

    def branch_losses(
        self,
        outputs: FCOSOutputs,
        targets: Sequence[Targets],
        background: BackgroundWeights | None = None,
        known: Known | None = None,
    ) -> dict[str, Tensor]:
        num_branches = len(BRANCHES)
        num_images = len(targets)
        matched = label_locations(
            outputs.cells,
            targets,
            center_sampling_radius=self.center_sampling_radius,
            num_classes=self.num_classes,
        )
        classes, partial = limit_to_known(
            matched.classes, matched.doubtful, torch.cat(outputs.cells), known
        )
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

        images, locations = foreground.nonzero(as_tuple=True)
        wanted, cells = matched.boxes[images, locations], torch.cat(outputs.cells)[locations]
        regression = box_loss(
            outputs.deltas[images, locations], cells, wanted, self.box2box_transform, kind="giou"
        )
        center = F.binary_cross_entropy_with_logits(
            torch.cat([x.flatten(1) for x in outputs.centerness], dim=1)[images, locations],
            centerness(self.box2box_transform.get_deltas(cells, wanted)),
            reduction="none",
        )
        branches = images.div(num_images // num_branches, rounding_mode="floor")
        weights = matched.box_weights[images, locations]

        get_event_storage().put_scalar("num_pos_anchors", len(images) / num_images)
        return {
            "loss_fcos_cls": loss_cls / num_objects,
            "loss_fcos_loc": mean_per_branch(regression, weights, branches, num_branches),
            "loss_fcos_ctr": mean_per_branch(center, weights, branches, num_branches),
        }


@META_ARCH_REGISTRY.register()
class AveragedFCOS(Taught, FCOS):
    """Plain FCOS, which a teacher follows that does not teach it: a control for methods."""

    @configurable
    def __init__(self, **kwargs: Any) -> None:
        """Takes the arguments of `Taught` and of detectron2's ``FCOS``, by keyword."""
        super().__init__(**{"has_teacher": True, **kwargs})
