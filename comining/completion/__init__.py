"""Completing half-finished annotations: choosing a config, training, mining, report and review."""
