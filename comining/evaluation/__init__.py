"""Evaluation of detectors."""

from .coco import COCOBoxEvaluator, box_metrics
from .found import FoundEvaluator

__all__ = ["COCOBoxEvaluator", "FoundEvaluator", "box_metrics"]
