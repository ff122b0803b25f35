"""The steps of a completion, each of which a later run finds done."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm

from comining.annotations.coco_file import read_json
from comining.annotations.completion import complete as add_mined
from comining.annotations.formats import FORMAT_NAMES
from comining.annotations.known import known_of
from comining.annotations.sparse import encode
from comining.counted import counted
from comining.data.datasets import known_fields
from comining.data.loader import that_teach
from comining.engine import setup
from comining.engine.miner import Mined
from comining.engine.progress import Progress
from comining.engine.quiet import quiet_terminal
from comining.errors import InputError
from comining.output_file import write_atomically

from .evidence import SAMPLED
from .evidence_file import check_undecided, new_boxes, proposal_ids, with_decisions, write_evidence
from .folder import Folder, write_json
from .gathering import gather_evidence
from .hints import of_decided
from .machine import TRUNK_URL, check_planned, with_weights
from .mining import mine
from .pace import CHECKPOINTS, choose_pace
from .rejected import num_there, read_rejected, rejected_in, without_rejected
from .report import write_report
from .result import category_rows, share_finished
from .review_files import find_review
from .reviewing import write_small_page
from .settings import has_other_settings, note_settings, put_in_place, set_length, write_plan
from .thresholds import choose, is_added
from .tile_join import join, of_images
from .tiling import read_tiling, write_tiles
from .training import begin_anew, measure_time, train_detector
from .withholding import withhold

logger = logging.getLogger(__name__)

#: More that was repaired or left out is in the log.
MAX_NOTES = 6


class Work:
    """One run, in each of its processes."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Folder(args.output)
        self.begin = time.monotonic()
        training = 60 * args.minutes
        self.progress = Progress(
            {"reading": 5, "measuring": 5, "training": training, "mining": 30, "reporting": 5},
            quiet=args.quiet or not comm.is_main_process(),
        )

    def run(self) -> None:
        """All steps.

        Raises:
            InputError: the data can't be used.
        """
        is_first = comm.is_main_process()
        with closing(self.progress):
            if is_first:
                self._read()  # before the folder is made, so that a mistake leaves nothing
            with (
                self.folder.make() if is_first else nullcontext(),
                quiet_terminal(self.folder.log if is_first else None),
            ):
                if is_first:
                    self._plan()
                comm.synchronize()
                if not self.args.dry_run:
                    with _registered_for_now():
                        self._detect()

    def _read(self) -> None:
        """Read and check what was given."""
        args = self.args
        self.progress.at("reading", 0)
        self.source = self.folder.read_source(args.images, args.annotations, args.listed_only)
        self.rejected = args.reviewed and rejected_in(args.reviewed, args.images, self.folder)
        if all(x.get("iscrowd") for x in self.source.dataset["annotations"]):
            raise InputError(f"{args.annotations} has no box: annotate some objects first")

    def _plan(self) -> None:
        """Make the folder that of the data set; choose the settings, unless it has some."""
        args, folder, source = self.args, self.folder, self.source
        dataset = source.dataset
        folder.claim(source, args.images, args.listed_only)
        if self.rejected is not None:
            if self.rejected != read_rejected(folder.rejected):
                folder.sample.unlink(missing_ok=True)  # of proposals that are others now
            write_json(folder.rejected, self.rejected)
            number, there = len(self.rejected), num_there(self.rejected, dataset)
            which = "" if there == number else f", {there} of them in images that are here"
            text = f"{counted(number, 'rejected boxes')} of {args.reviewed}{which}"
            self.progress.note(f"not proposed again: {text}")
        number = sum(not x.get("iscrowd") for x in dataset["annotations"])
        self.progress.note(
            f"{counted(len(dataset['images']), 'images')}, {counted(number, 'boxes')} "
            f"({FORMAT_NAMES[source.format]})"
        )
        for number_of_note, note in enumerate(source.notes):
            logger.info(note)
            if number_of_note < MAX_NOTES:
                self.progress.note(note)
        if not folder.training_annotations.exists():
            sparse = withhold(dataset, folder.annotations.name)
            write_atomically(folder.training_annotations, lambda x: x.writelines(encode(sparse)))
        if folder.config.exists():
            check_planned(folder.config, args.weights)
            put_in_place(folder, args.images)
            if has_other_settings(folder) or self._has_other_time():
                check_undecided(folder, dataset)
        else:
            folder.pace.unlink(missing_ok=True)
            machine = with_weights(args.machine, args.weights)
            self.progress.note(f"the training begins {machine.begins}")
            if args.weights is None and not machine.weights + machine.trunk:
                self.progress.note(
                    "trained weights could not be downloaded (log.txt says why). To begin with "
                    f"some, fetch {TRUNK_URL} by other means and name the file with --weights"
                )
            write_plan(folder, args.images, dataset, machine, args.minutes)

    def _detect(self) -> None:
        """Train, mine and write the results."""
        self.progress.at("measuring", 0)
        tiling = read_tiling(self.folder)
        uncut: dict[int, str] = {}
        if tiling and comm.is_main_process():
            uncut = write_tiles(self.folder, self.args.images, tiling)
        comm.synchronize()
        cfg = self._setup()
        records = DatasetCatalog.get("training")
        if not self.folder.pace.exists() or self._has_other_time():
            self._set_pace(cfg, records)
            cfg = self._setup()
        if comm.is_main_process():
            note_settings(self.folder)
            pace = read_json(self.folder.pace)
            if self.folder.final_weights.exists():
                pace |= {"training": 0, "why": "already done"}
            for stage in ("training", "mining"):
                self.progress.expect(stage, pace[stage])
            self.progress.note(f"{counted(cfg.SOLVER.MAX_ITER, 'iterations')}: {pace['why']}")
        train_detector(cfg, lambda share: self.progress.at("training", share))
        comm.synchronize()
        tiles = read_json(self.folder.training_tiles)["images"] if tiling else []
        mined, unreadable = mine(
            cfg,
            "training",
            self.folder.final_weights,
            self.folder.mined,
            {x["id"]: x["source_image_id"] for x in tiles},
            lambda share: self.progress.at("mining", share),
        )
        if comm.is_main_process():
            self.progress.at("reporting", 0)
            if tiling:
                records = DatasetCatalog.get("whole")
                mined, unreadable = join(mined, tiles), uncut | of_images(unreadable, tiles)
            self._write(cfg, records, mined, unreadable)

    def _setup(self) -> CfgNode:
        """The config of the training; a training by another one is forgotten."""
        if comm.is_main_process() and has_other_settings(self.folder):
            self.progress.note(begin_anew(self.folder))
        comm.synchronize()
        # What a finished training began with may be gone.
        final = self.folder.final_weights
        opts = ["MODEL.WEIGHTS", str(final)] if final.exists() else []
        config = {"config_file": str(self.folder.config), "opts": opts}
        args = argparse.Namespace(**vars(self.args), **config)
        return setup(args)

    def _has_other_time(self) -> bool:
        """Whether the user asks for another time than before."""
        pace = self.folder.pace
        before = read_json(pace).get("minutes") if pace.exists() else None
        return before is not None and self.args.given_minutes not in (None, before)

    def _set_pace(self, cfg: CfgNode, records: list[dict[str, Any]]) -> None:
        """Time what takes long, and let the config have as many iterations as there is time for."""
        timing = measure_time(cfg, records)
        if comm.is_main_process():
            num_trained = len(that_teach(records, cfg.DATASETS.TRAIN))
            pace = choose_pace(
                self.args.minutes,
                timing,
                cfg.SOLVER.IMS_PER_BATCH,
                num_trained,
                len(records),
                passed=time.monotonic() - self.begin,
                has_weights=bool(cfg.MODEL.WEIGHTS),
                num_processes=comm.get_world_size(),
            )
            period = max(1, pace.iterations // CHECKPOINTS)
            set_length(self.folder, pace.iterations, period, pace.why)
            write_json(self.folder.pace, {**pace._asdict(), "minutes": self.args.minutes})
        comm.synchronize()

    def _write(
        self,
        cfg: CfgNode,
        records: list[dict[str, Any]],
        mined: dict[int, Mined],
        unreadable: dict[int, str],
    ) -> None:
        ids = MetadataCatalog.get("training").thing_dataset_id_to_contiguous_id
        category_ids = sorted(ids, key=ids.__getitem__)
        dataset = read_json(self.folder.annotations)
        # Where a box was withheld, its class was complete all the same.
        known = known_of(dataset)
        records = [{**x, **known_fields(known, x["image_id"], ids)} for x in records]
        rejected = read_rejected(self.folder.rejected)
        evidence = gather_evidence(mined, records)
        evidence = without_rejected(evidence, rejected, dataset, category_ids)
        write_evidence(self.folder, evidence, dataset, category_ids)
        evidence = with_decisions(evidence, self.folder, dataset, self.progress.note)
        for note in of_decided(evidence):
            self.progress.note(note)
        chosen = choose(evidence, len(category_ids), self.args.precision)
        rows = category_rows(dataset, evidence, chosen, category_ids)
        record = {
            "weights": str(self.folder.final_weights),
            "precision": self.args.precision,
            "score_thresh": {row["name"]: row["threshold"] for row in rows},
        }
        added = is_added(evidence, [x.threshold for x in chosen])
        new = new_boxes(evidence, added, proposal_ids(evidence, dataset), category_ids)
        completed = add_mined(dataset, new, record)
        written = self.folder.write_completed(self.source, completed)
        recall = evidence.found(np.array([x.threshold for x in chosen]))
        finished = share_finished(known, category_ids)
        write_json(
            self.folder.result,
            {
                "written": written.name,
                "categories": rows,
                "recall": recall,
                "finished": finished,
                "judged": int((evidence.decided == SAMPLED).sum()),
                "unreadable": {str(id_): why for id_, why in unreadable.items()},
            },
        )
        self._write_review(len(completed["images"]))
        write_report(self.folder, self.args.images, completed, rows, unreadable, recall, finished)

    def _write_review(self, num_images: int) -> None:
        review = find_review(self.folder.path, None)
        try:
            write_small_page(review, self.folder.review, num_images)
        except InputError as error:  # an image without a thumbnail ends no completion
            self.progress.note(f"no {self.folder.review}: {error}")


@contextmanager
def _registered_for_now() -> Iterator[None]:
    """Within, data sets are registered, which a later completion may have of the same names."""
    before = set(DatasetCatalog.list())
    try:
        yield
    finally:
        for name in set(DatasetCatalog.list()) - before:
            DatasetCatalog.remove(name)
            MetadataCatalog.pop(name, None)
