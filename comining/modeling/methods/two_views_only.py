"""The control that every method is compared with."""

from __future__ import annotations

from .method import METHOD_REGISTRY, Method, Step, Supervision


@METHOD_REGISTRY.register()
class TwoViewsOnly(Method):
    """Both views learn from the annotations alone."""

    floor = 1.0

    def supervise(self, step: Step) -> Supervision:
        return Supervision(step.detections.none())

    def why_nothing_is_mined(self) -> str:
        return "MODEL.COMINING.METHOD TwoViewsOnly mines nothing"
