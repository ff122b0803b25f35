"""The control that sees what is missing."""

from __future__ import annotations

from .method import METHOD_REGISTRY, Method, Step, Supervision


@METHOD_REGISTRY.register()
class Oracle(Method):
    """Both views learn from the withheld annotations as well, as if all had been mined and no more:
    a control that shows what mining can give.

    They are known of generated and sparsified data sets. An image of which nothing is known is
    taken to lack none; the project's trainer wants them of one image at least.
    """

    floor = 1.0
    asks_withheld = True

    def supervise(self, step: Step) -> Supervision:
        _, withheld = step.images.judge(step.detections.none())
        return Supervision(withheld)

    def why_nothing_is_mined(self) -> str:
        return "MODEL.COMINING.METHOD Oracle mines nothing of its own"
