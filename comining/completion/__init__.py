"""Completing half-finished annotations: choosing a config, training, mining, report and review."""

from .complete import Completion, complete

__all__ = ["Completion", "complete"]
