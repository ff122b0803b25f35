"""What a two-stage detector must be made of to be trained by Co-mining, and what it can't do."""

from __future__ import annotations

from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import CascadeROIHeads, Res5ROIHeads, StandardROIHeads
from torch import nn

from comining.errors import InputError

from .losses import BOX_LOSSES
from .methods import Method

DETECTOR = "CoMiningGeneralizedRCNN"


def check_parts(proposal_generator: nn.Module | None, roi_heads: nn.Module) -> None:
    """Check that a two-stage detector is Faster R-CNN, with one box head and nothing beside.

    Raises:
        InputError: it is another one.
    """
    if not isinstance(proposal_generator, RPN) or proposal_generator.anchor_generator.box_dim != 4:
        name = type(proposal_generator).__name__ if proposal_generator else "PrecomputedProposals"
        raise InputError(f"MODEL.PROPOSAL_GENERATOR.NAME is {name}; {DETECTOR} needs RPN")
    has_one_head = isinstance(roi_heads, StandardROIHeads | Res5ROIHeads)
    if not has_one_head or isinstance(roi_heads, CascadeROIHeads):
        raise InputError(
            f"MODEL.ROI_HEADS.NAME is {type(roi_heads).__name__}; {DETECTOR} needs "
            "StandardROIHeads or Res5ROIHeads"
        )
    _check_heads(proposal_generator, roi_heads)


def _check_heads(rpn: RPN, roi_heads: StandardROIHeads | Res5ROIHeads) -> None:
    predictor = roi_heads.box_predictor
    if rpn.anchor_boundary_thresh >= 0:
        raise InputError(
            f"MODEL.RPN.BOUNDARY_THRESH is {rpn.anchor_boundary_thresh}; {DETECTOR} learns from "
            "anchors across the border, too, and needs -1"
        )
    forbidden = {
        "MODEL.MASK_ON": roi_heads.mask_on,
        "MODEL.KEYPOINT_ON": getattr(roi_heads, "keypoint_on", False),
        "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": getattr(roi_heads, "train_on_pred_boxes", False),
        # Not in release 0.6 of detectron2.
        "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": getattr(predictor, "use_sigmoid_ce", False),
    }
    for key, is_on in forbidden.items():
        if is_on:
            raise InputError(
                f"{key} is True; {DETECTOR} learns boxes, from proposals, and a softmax over the "
                "classes alone, and needs False"
            )
    kinds = {
        "MODEL.RPN.BBOX_REG_LOSS_TYPE": rpn.box_reg_loss_type,
        "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": predictor.box_reg_loss_type,
    }
    for key, kind in kinds.items():
        if kind not in BOX_LOSSES:
            raise InputError(f"{key} is {kind!r}; it must be one of {', '.join(BOX_LOSSES)}")


def only_dense(method: Method, why: str) -> InputError:
    """That a method is none for a two-stage detector, and why."""
    return InputError(
        f"MODEL.COMINING.METHOD {type(method).__name__} is for dense detectors, CoMiningRetinaNet "
        f"and CoMiningFCOS: it {why}"
    )
