"""Evaluation of detectors."""

from .coco import COCOBoxEvaluator, box_metrics

__all__ = ["COCOBoxEvaluator", "box_metrics"]
