"""Co-mining Faster R-CNN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.meta_arch import rcnn
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import Res5ROIHeads, StandardROIHeads
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor
from torch.nn import functional as F

from comining.errors import InputError

from .background import BackgroundWeights
from .known import Known
from .labels import Labels
from .mining import suppress
from .modes import evaluating
from .per_branch import sum_per_branch
from .rcnn_parts import check_parts, only_dense
from .sampling import draw_sample, log_sample, sample_losses
from .targets import Targets
from .teacher import settings_of
from .transfer import check_classes, move_batch
from .two_view_detector import BRANCHES, TwoViewDetector

NUM_BRANCHES = len(BRANCHES)
WEIGHS_BACKGROUND = "weighs the absence of each class, which a softmax over all can't"


class RegionOutputs(NamedTuple):
    """What is known of B images before the regions in them are looked at.

    Attributes:
        features: the backbone's, by name (B, C, H, W).
        anchors: (R, 4) XYXY.
        logits: (B, R), objectness, in single precision.
        deltas: (B, R, 4), in single precision.
        proposals: of each image detectron2's ``proposal_boxes``, best first, without gradient.
    """

    features: dict[str, Tensor]
    anchors: Tensor
    logits: Tensor
    deltas: Tensor
    proposals: list[Instances]


@META_ARCH_REGISTRY.register()
class CoMiningGeneralizedRCNN(TwoViewDetector, rcnn.GeneralizedRCNN):
    """Faster R-CNN trained by Co-mining; at inference, and in its parameters, the plain one.

    What the box head detects, after its own suppression and clipped to the image, is mined. The
    labels, annotated and mined, teach the region proposal network and the box head alike. Anchors
    and proposals that match ignored labels are never drawn into the samples of either. Co-mining
    was published for dense detectors; that the same labels teach both stages is this project's.
    """

    proposal_generator: RPN
    roi_heads: StandardROIHeads | Res5ROIHeads

    @configurable
    def __init__(self, **kwargs: Any) -> None:
        """Takes the arguments of `TwoViewDetector` and of detectron2's ``GeneralizedRCNN``, by
        keyword.

        Raises:
            InputError: a value is not legal, the parts are not those of Faster R-CNN, or the method
                asks for a teacher or weighs background.
        """
        check_parts(kwargs["proposal_generator"], kwargs["roi_heads"])
        if kwargs["method"].asks_teacher:
            raise only_dense(kwargs["method"], "asks a teacher, which only those can have")
        if kwargs["method"].weighs_background:
            raise only_dense(kwargs["method"], WEIGHS_BACKGROUND)
        super().__init__(**kwargs)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        if settings_of(cfg).TEACHER.EVALUATE:
            raise InputError(
                "MODEL.COMINING.TEACHER.EVALUATE is True, but CoMiningGeneralizedRCNN has no "
                "teacher: set it to False"
            )
        return super().from_config(cfg)

    @classmethod
    def count_classes(cls, detector: dict[str, Any]) -> int | None:
        return getattr(detector["roi_heads"], "num_classes", None)

    @property
    def num_classes(self) -> int:
        return self.roi_heads.num_classes

    @property
    def max_detections_per_image(self) -> int:
        return self.roi_heads.box_predictor.test_topk_per_image

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """detectron2's ``GeneralizedRCNN.forward``."""
        if not self.training:
            return super().forward(batched_inputs)
        check_classes(batched_inputs, self.num_classes)
        batch = move_batch(batched_inputs, self.device)
        images = self.preprocess_image(batch)
        return self.train_branches(
            images, self.predict_views(images), [item["instances"] for item in batch]
        )

    def predict_views(self, images: ImageList) -> RegionOutputs:
        rpn = self.proposal_generator
        features = self.backbone(images.tensor)
        levels = [features[name] for name in rpn.in_features]
        anchors = rpn.anchor_generator(levels)
        of_anchors, of_boxes = rpn.rpn_head(levels)
        logits = [permute_to_N_HWA_K(x, 1).squeeze(2).float() for x in of_anchors]
        deltas = [permute_to_N_HWA_K(x, 4).float() for x in of_boxes]
        proposals = rpn.predict_proposals(anchors, logits, deltas, images.image_sizes)
        return RegionOutputs(
            features,
            Boxes.cat(anchors).tensor,
            torch.cat(logits, dim=1),
            torch.cat(deltas, dim=1),
            proposals,
        )

    def mine(self, outputs: RegionOutputs, score_thresh: float, max_per_image: int) -> Labels:
        found = self.candidates(outputs, score_thresh)
        return suppress(found, self.roi_heads.box_predictor.test_nms_thresh, max_per_image)

    def candidates(self, outputs: RegionOutputs, score_thresh: float) -> Labels:
        # As many proposals as at inference. A layer that normalises by the batch goes by what it
        # has learnt, and learns from the sample alone.
        most = self.proposal_generator.post_nms_topk[False]
        proposals = [x[:most] for x in outputs.proposals]
        predictor = self.roi_heads.box_predictor
        # Copies of weights in half precision that autocast keeps of a pass without gradients, torch
        # long used in the one with them (its issue 65766): the box head would learn nothing.
        device = outputs.anchors.device.type
        uncached = torch.autocast(
            device, enabled=torch.is_autocast_enabled(device), cache_enabled=False
        )
        with evaluating(self.roi_heads), uncached:
            predictions = self._look_at(
                outputs.features, [x.proposal_boxes.tensor for x in proposals]
            )
        scores = torch.cat(predictor.predict_probs(predictions, proposals))[:, :-1]
        boxes = torch.cat(predictor.predict_boxes(predictions, proposals))
        numbers = torch.tensor([len(x) for x in proposals], device=scores.device)
        images = torch.arange(len(proposals), device=scores.device).repeat_interleave(numbers)
        sizes = torch.tensor([x.image_size for x in proposals], device=scores.device)

        regions, classes = (scores > score_thresh).nonzero(as_tuple=True)
        images = images[regions]
        limits = sizes.flip(1).repeat(1, 2)[images]
        clipped = _of_class(boxes[regions], classes).clamp(min=0).minimum(limits)
        labels = Labels(clipped, classes, images, scores[regions, classes])
        return labels.select((clipped[:, 2:] > clipped[:, :2]).all(dim=1))

    def decoded_boxes(self, outputs: RegionOutputs) -> Tensor:
        raise only_dense(self.method, "looks at what each anchor predicts, which is for those")

    def branch_losses(
        self,
        outputs: RegionOutputs,
        targets: Sequence[Targets],
        background: BackgroundWeights | None = None,
        known: Known | None = None,
    ) -> dict[str, Tensor]:
        if background is not None:
            raise only_dense(self.method, WEIGHS_BACKGROUND)
        regions = None
        if known is not None:
            regions = [x.boxes for x in known.regions.split(len(targets))]
        return {
            **self._proposal_losses(outputs, targets, regions),
            **self._region_losses(outputs, targets, regions),
        }

    def _proposal_losses(
        self,
        outputs: RegionOutputs,
        targets: Sequence[Targets],
        regions: Sequence[Tensor] | None,
    ) -> dict[str, Tensor]:
        """Those of the region proposal network, to which every object is of one class."""
        rpn = self.proposal_generator
        sample = draw_sample(
            [outputs.anchors] * len(targets),
            [x._replace(classes=torch.zeros_like(x.classes)) for x in targets],
            rpn.anchor_matcher,
            num_classes=1,
            size=rpn.batch_size_per_image,
            positive_fraction=rpn.positive_fraction,
            regions=regions,
        )
        is_object = sample.classes == 0
        log_sample(is_object, len(targets), "rpn/num_pos_anchors", "rpn/num_neg_anchors")
        of_classes, of_boxes = sample_losses(
            sample,
            F.binary_cross_entropy_with_logits(
                outputs.logits[sample.images, sample.rows], is_object.float(), reduction="none"
            ),
            outputs.deltas[sample.images, sample.rows],
            transform=rpn.box2box_transform,
            kind=rpn.box_reg_loss_type,
            smooth_l1_beta=rpn.smooth_l1_beta,
            branches=_branches(sample.images, len(targets)),
            num_branches=NUM_BRANCHES,
        )
        weights = rpn.loss_weight
        normalizer = rpn.batch_size_per_image * len(targets) / NUM_BRANCHES
        return {
            "loss_rpn_cls": of_classes * weights.get("loss_rpn_cls", 1.0) / normalizer,
            "loss_rpn_loc": of_boxes * weights.get("loss_rpn_loc", 1.0) / normalizer,
        }

    def _region_losses(
        self,
        outputs: RegionOutputs,
        targets: Sequence[Targets],
        regions: Sequence[Tensor] | None,
    ) -> dict[str, Tensor]:
        """Those of the box head."""
        heads, predictor = self.roi_heads, self.roi_heads.box_predictor
        places = [x.proposal_boxes.tensor for x in outputs.proposals]
        if heads.proposal_append_gt:
            places = [
                torch.cat((x, gt.boxes[~gt.ignored])) for x, gt in zip(places, targets, strict=True)
            ]
        sample = draw_sample(
            places,
            targets,
            heads.proposal_matcher,
            num_classes=heads.num_classes,
            size=heads.batch_size_per_image,
            positive_fraction=heads.positive_fraction,
            regions=regions,
        )
        is_object = sample.classes < heads.num_classes
        log_sample(is_object, len(targets), "roi_head/num_fg_samples", "roi_head/num_bg_samples")
        scores, deltas = self._look_at(
            outputs.features, [sample.places[sample.images == x] for x in range(len(targets))]
        )
        branches = _branches(sample.images, len(targets))
        classification = F.cross_entropy(scores, sample.classes, reduction="none")
        of_classes, of_boxes = sample_losses(
            sample,
            classification,
            _of_class(deltas, sample.classes.masked_fill(~is_object, 0)),
            transform=predictor.box2box_transform,
            kind=predictor.box_reg_loss_type,
            smooth_l1_beta=predictor.smooth_l1_beta,
            branches=branches,
            num_branches=NUM_BRANCHES,
        )
        weights = predictor.loss_weight
        number = sum_per_branch(torch.ones_like(classification), branches, NUM_BRANCHES)
        number = number.clamp(min=1)
        return {
            "loss_cls": of_classes * weights.get("loss_cls", 1.0) / number,
            "loss_box_reg": of_boxes * weights.get("loss_box_reg", 1.0) / number,
        }

    def _look_at(self, features: dict[str, Tensor], places: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The box head's predictions on regions (P, 4) of each image, image after image, in single
        precision: logits (S, K + 1) and deltas (S, K * 4), or (S, 4) if common to all classes."""
        heads, boxes = self.roi_heads, [Boxes(x) for x in places]
        if isinstance(heads, StandardROIHeads):
            pooled = heads.box_pooler([features[name] for name in heads.box_in_features], boxes)
            of_regions = heads.box_head(pooled)
        else:
            pooled = heads.pooler([features[name] for name in heads.in_features], boxes)
            of_regions = heads.res5(pooled).mean(dim=[2, 3])
        scores, deltas = heads.box_predictor(of_regions)
        return scores.float(), deltas.float()


def _branches(images: Tensor, num_images: int) -> Tensor:
    return images.div(num_images // NUM_BRANCHES, rounding_mode="floor")


def _of_class(values: Tensor, classes: Tensor) -> Tensor:
    """Of (S, K * 4), each row's four of its class (S,); of (S, 4), common to all classes, these."""
    if values.shape[1] == 4:
        return values
    return values.unflatten(1, (-1, 4))[torch.arange(len(values), device=values.device), classes]
