"""The data sets that `mine_annotations` mines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog

from comining.annotations.coco_file import read_repaired
from comining.data import check_datasets
from comining.engine import Trainer
from comining.engine.miner import Mined
from comining.engine.mining_run import PartialResults, mine_dataset
from comining.engine.setup import weights_file
from comining.errors import InputError
from comining.modeling import TwoViewDetector
from comining.output_file import check_output


class MiningJob:
    """The data sets to mine, by what they are for ("images", "calibration"), and how."""

    def __init__(
        self,
        cfg: CfgNode,
        output: Path,
        dataset: str,
        calibrate_on: str | None,
        precision: float | None,
    ) -> None:
        """
        Raises:
            InputError: a data set can't be used.
        """
        self.cfg, self.output, self.precision = cfg, output, precision
        self.names = {"images": dataset}
        if calibrate_on is not None:
            self.names["calibration"] = calibrate_on
        self.files = _annotation_files(self.names)
        if calibrate_on is not None and self.files["calibration"].samefile(self.files["images"]):
            raise InputError(
                f"--calibrate-on {calibrate_on} is the data set that is completed, where every new "
                "box would count as a mistake: name one whose images are fully annotated"
            )
        check_output(output, *self.files.values())
        self.records = {key: DatasetCatalog.get(name) for key, name in self.names.items()}
        Trainer.check_categories(cfg, self.names.values())
        self.classes: list[str] = MetadataCatalog.get(dataset).thing_classes

    def read_dataset(self) -> dict[str, Any]:
        """What the mined annotations are added to; the images must be those that are mined.

        Raises:
            InputError: it can't be used, or the images are others.
        """
        path = self.files["images"]
        dataset, report = read_repaired(path)
        if report.is_fatal:
            raise InputError(f"{path} can't be completed. {report}")
        mined = {x["image_id"] for x in self.records["images"]}
        if not mined <= {x["id"] for x in dataset["images"]}:
            raise InputError(
                f"the data set was not read as {path} is read here: register it with "
                "DATASETS.REGISTER or comining.data.register_coco"
            )
        return dataset

    def settings(self, lowest: float | None, asks_mirror_image: bool) -> dict[str, Any]:
        """What the result depends on, to tell whether a run goes on or is another one."""
        cfg = self.cfg.clone()
        cfg.MODEL.DEVICE = cfg.MODEL.WEIGHTS = ""
        contents = {
            "config": f"{cfg.MODEL}\n{cfg.INPUT}\n{cfg.TEST}".encode(),
            "weights": weights_file(self.cfg.MODEL.WEIGHTS).read_bytes(),
            **{f"annotations of the {key}": x.read_bytes() for key, x in self.files.items()},
        }
        return {
            **{name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
            "score threshold": lowest,
            "mirror image": asks_mirror_image,
            "precision": self.precision,
        }

    def mine(
        self,
        model: TwoViewDetector,
        results: PartialResults,
        lowest: float | None,
        batch_size: int,
        quiet: bool,
    ) -> list[str]:
        """Mine all data sets; lines about images that can't be read."""
        lines = []
        for key, name in self.names.items():
            unreadable = mine_dataset(
                model,
                DatasetMapper(self.cfg, is_train=False),
                self.records[key],
                results,
                key,
                score_thresh=lowest,
                batch_size=batch_size,
                num_workers=self.cfg.DATALOADER.NUM_WORKERS,
                tell=(lambda _: None) if quiet else None,
            )
            lines += [f"image {i} of {name}: {why}" for i, why in sorted(unreadable.items())]
        return lines

    def new_boxes(
        self, found: Mapping[int, Mined], least: Sequence[float | None] | None
    ) -> dict[int, list[dict[str, Any]]]:
        """By image id, what is added: from the score `least` of its class on, or all new."""
        ids = MetadataCatalog.get(self.names["images"]).thing_dataset_id_to_contiguous_id
        category_ids = sorted(ids, key=ids.__getitem__)
        limits = [0.0] * len(category_ids)
        if least is not None:
            limits = [np.inf if x is None else x for x in least]
        return {
            image_id: [
                {"category_id": category_ids[class_], "score": score, "box": box}
                for box, class_, score, is_new in zip(*mined, strict=True)
                if is_new and score >= limits[class_]
            ]
            for image_id, mined in found.items()
        }


def _annotation_files(names: Mapping[str, str]) -> dict[str, Path]:
    check_datasets(names.values())
    files = {}
    for key, name in names.items():
        path = MetadataCatalog.get(name).get("json_file")
        if path is None:
            raise InputError(f"{name} is not in COCO format: register a file that is")
        files[key] = Path(path)
    return files
