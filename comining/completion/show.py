"""A picture of what a trained model mines on images of its training set.

Annotated boxes are green, mined ones blue with their score. Where the data set is a sparse version
that names its full original and has it beside it, the annotations that were withheld are dashed
red. If the config has adaptive thresholds and mirrors second views, mined is what the mirror image
shows, too, and the score is the lower of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.data.detection_utils import read_image
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from comining.data import check_datasets, register_from_config
from comining.data.objects import objects_of
from comining.data.samples import UNREADABLE_OR_ODD, failure_text
from comining.engine.miner import build_miner, mine_batch, why_nothing_is_mined
from comining.engine.setup import check_named
from comining.errors import InputError
from comining.output_file import check_output

STYLES: dict[str, dict[str, Any]] = {
    "withheld": {"edgecolor": "red", "linestyle": "--", "linewidth": 1.6},
    "annotated": {"edgecolor": "lime", "linewidth": 1.6},
    "mined": {"edgecolor": "deepskyblue", "linewidth": 1.6},
}


def draw_boxes(axis: Axes, kind: str, boxes: Sequence[Sequence[float]]) -> None:
    for x0, y0, x1, y1 in boxes:
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **STYLES[kind]))


def show_mined(cfg: CfgNode, output: Path, num_images: int = 8) -> None:
    """Draw the first ``num_images`` images of the first training set into the picture ``output``.

    Args:
        cfg: of a model trained by Co-mining, with its weights.
        output: the picture; its suffix tells its format.
        num_images: how many images to show.

    Raises:
        InputError: the model has no weights or does not mine, or a data set can't be used or an
            image not be read, or the picture not be written.
    """
    check_output(output)
    if output.suffix.lower()[1:] not in FigureCanvasAgg.get_supported_filetypes():
        raise InputError(f"--output {output}: end it with .png or .pdf, for example")
    register_from_config(cfg)
    check_named(cfg, "TRAIN", "")
    check_datasets(cfg.DATASETS.TRAIN[:1])
    # A backbone alone mines at random, like no weights at all.
    if not cfg.MODEL.WEIGHTS or "ImageNetPretrained" in cfg.MODEL.WEIGHTS:
        raise InputError("which model? Name its weights: --weights output/model_final.pth")
    model = build_miner(cfg)
    if reason := why_nothing_is_mined(model):
        print(f"The picture shows no mined boxes: {reason}")
    mapper = DatasetMapper(cfg, is_train=False)
    # The mapper drops the annotations that inference has no use for.
    records = DatasetCatalog.get(cfg.DATASETS.TRAIN[0])[:num_images]

    columns = min(len(records), 4)
    rows = -(-len(records) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 3.2 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    drawn = set()
    for axis, record in zip(axes.flat, records, strict=False):
        try:
            axis.imshow(read_image(record["file_name"], "RGB"))
            mapped = mapper(record)
        except UNREADABLE_OR_ODD as error:
            raise InputError(failure_text(record["file_name"], error)) from error
        # Of real data, nobody knows what is missing.
        for kind, field in (("withheld", "withheld_annotations"), ("annotated", "annotations")):
            boxes = objects_of(record.get(field, []))[0].tolist()
            draw_boxes(axis, kind, boxes)
            drawn |= {kind} if boxes else set()
        (mined,) = mine_batch(model, [mapped], [record])
        new = [i for i, is_new in enumerate(mined.is_new) if is_new]
        draw_boxes(axis, "mined", [mined.boxes[i] for i in new])
        drawn |= {"mined"} if new else set()
        for i in new:
            (x0, y0, _, _), score = mined.boxes[i], mined.scores[i]
            axis.text(x0, y0, f"{score:.2f}", fontsize=6, color="white", backgroundcolor="navy",
                      bbox={"pad": 0.5, "facecolor": "navy", "linewidth": 0})  # fmt: skip
    legend = [
        Line2D([], [], color=style["edgecolor"], linestyle=style.get("linestyle", "-"), label=kind)
        for kind, style in STYLES.items()
        if kind in drawn
    ]
    if legend:
        figure.legend(handles=legend, loc="lower center", ncol=len(legend), frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(output, dpi=110)
    plt.close(figure)
