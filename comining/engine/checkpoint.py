"""Checkpoints that survive a kill, a full disk and a malicious file."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import IO, Any

import fvcore.common.checkpoint
import torch
from detectron2.checkpoint import DetectionCheckpointer

from comining.counted import counted
from comining.errors import InputError
from comining.modeling.teacher import PREFIX, Taught, leave_out_teacher
from comining.output_file import write_atomically

from .safe_torch import load_torch
from .weight_formats import prefix_trunk, read_weights, strip_prefixes

#: What the file ``last_checkpoint`` says while a training that may be restarted has saved none.
DISOWNED = "none yet"
PERIODIC = re.compile(r"model_\d{7}\.pth")
#: Where detectors with a feature pyramid have their trunk, and the share of its parameters that
#: another detector's weights may lack.
TRUNK = "backbone.bottom_up."
NEW_IN_TRUNK = 0.1
#: What is learnt in the heads of detectron2's detectors.
HEADS = re.compile(r"(?:head|proposal_generator|roi_heads)\..*\.(?:weight|bias)")

logger = logging.getLogger(__name__)


class _SafeCheckpointer(fvcore.common.checkpoint.Checkpointer):
    """What detectron2's class falls back on for ``.pth`` files."""

    def _load_file(self, f: str) -> dict[str, Any]:
        return read_weights(f)


class Checkpointer(DetectionCheckpointer, _SafeCheckpointer):
    """detectron2's, with files that are complete or not there at all and that can't run code."""

    def __init__(self, *args: Any, keep: int = 0, whole: bool = False, **kwargs: Any) -> None:
        """
        Args:
            keep: how many periodic checkpoints to keep, the newest; 0 for all.
            whole: whether what is loaded must have all of the model's parameters, as is needed to
                use it; a training may begin with some of them. If the teacher is to be used, it
                must be there.
            args, kwargs: of ``DetectionCheckpointer``.

        Raises:
            InputError: ``keep`` is below 0.
        """
        super().__init__(*args, **kwargs)
        if keep < 0:
            raise InputError(
                f"SOLVER.CHECKPOINTS_TO_KEEP is {keep}; it must be 0, for all, or more"
            )
        self.keep = keep
        self.whole = whole
        #: Whether what was loaded are weights of a classification model of torchvision.
        self.has_classifier = False

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """detectron2's.

        Raises:
            InputError: the model is to be ``whole``, and the file has not all of it, or none is
                named.
        """
        if self.whole and not path:
            raise InputError("MODEL.WEIGHTS is empty: name the weights of a trained model")
        self._path = path
        return super().load(path, *args, **kwargs)

    def _load_model(self, checkpoint: Any) -> Any:
        parameters = [name for name, _ in self.model.named_parameters()]
        own = self.model.state_dict()
        strip_prefixes(checkpoint["model"], set(own))
        self.has_classifier = prefix_trunk(checkpoint["model"], own, self._path)
        example = next(iter(checkpoint["model"]))
        in_model, in_file = _heads(parameters), _heads(checkpoint["model"])
        teacher = self.model.teacher if isinstance(self.model, Taught) else None
        if teacher is None:
            leave_out_teacher(checkpoint["model"])
        try:
            incompatible = super()._load_model(checkpoint)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self._path} can't be loaded: {error}") from error
        misfits = {*incompatible.missing_keys, *(x[0] for x in incompatible.incorrect_shapes)}
        unset = [name for name in parameters if name in misfits]
        if unset and self.whole:
            raise InputError(
                f"{self._path} does not hold the weights of this "
                f"{type(self.model).__name__}: {len(unset)} of its {len(parameters)} "
                f"parameters are missing or of another shape, such as {unset[-1]}. Name the "
                "config that the model was trained with"
            )
        if unset and len(unset) == len(parameters):
            raise InputError(
                f"{self._path} holds none of the weights of this {type(self.model).__name__}: its "
                f"names are such as {example}, the model's such as {unset[-1]}, or the shapes "
                "differ. Rename them, name other MODEL.WEIGHTS, or '' to begin with random ones"
            )
        if unset:
            self._check_trunk([x for x in parameters if x.startswith(TRUNK)], unset)
        if in_file and in_file != in_model and not self.whole:
            self._tell_differences(in_model, in_file)
        if teacher is None:
            return incompatible
        if self.whole and self.model.evaluate_teacher and not teacher.has_begun:
            raise InputError(
                f"{self._path} holds no teacher: set MODEL.COMINING.TEACHER.EVALUATE to False, or "
                "name weights that were trained with one"
            )
        # A teacher that is not there begins as a copy of the detector.
        missing = [x for x in incompatible.missing_keys if not x.startswith(PREFIX)]
        return incompatible._replace(missing_keys=missing)

    def _check_trunk(self, trunk: list[str], unset: list[str]) -> None:
        """Refuse a detector's weights of another trunk, whose head and pyramid would fit."""
        new = [name for name in trunk if name in unset]
        if len(new) > NEW_IN_TRUNK * len(trunk):
            raise InputError(
                f"{self._path} is of a detector with another trunk: {len(new)} of the trunk's "
                f"{len(trunk)} parameters are missing or of another shape, such as {new[-1]}. Name "
                "other MODEL.WEIGHTS, the config that these were trained with, or '' to begin with "
                "random ones"
            )

    def _tell_differences(self, in_model: set[str], in_file: set[str]) -> None:
        """Warn of another detector's weights, of whose head a training would keep but a part."""
        alone = {"the model": in_model - in_file, "the file": in_file - in_model}
        differences = [
            f"{where} alone has {counted(len(names), 'parameters')} of a head, such as {max(names)}"
            for where, names in alone.items()
            if names
        ]
        logger.warning(
            f"{self._path} is of another detector than this {type(self.model).__name__}: "
            f"{'; '.join(differences)}. If that isn't meant, name the config that it was trained "
            "with, or other weights"
        )

    def save(self, name: str, **kwargs: Any) -> None:
        """Write ``<name>.pth`` into the folder and make it the last checkpoint.

        Raises:
            InputError: it can't be written; what was there before stays as it was.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        state = {key: value.state_dict() for key, value in self.checkpointables.items()}
        content = {"model": self.model.state_dict(), **state, **kwargs}
        path = Path(self.save_dir, f"{name}.pth")
        logger.info(f"Saving checkpoint to {path}")
        _write(path, lambda file: torch.save(content, file))
        self.tag_last_checkpoint(path.name)
        if self.keep:
            periodic = sorted(
                (file for file in Path(self.save_dir).iterdir() if PERIODIC.fullmatch(file.name)),
                # Not the number in the name: another training may have left higher ones.
                key=lambda file: file.stat().st_mtime_ns,
            )
            for old in periodic[: -self.keep]:
                old.unlink()

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        path = Path(self.save_dir, "last_checkpoint")
        _write(path, lambda file: file.write(last_filename_basename.encode()))

    def has_checkpoint(self) -> bool:
        return last_checkpoint(self.save_dir) is not None

    def get_checkpoint_file(self) -> str:
        return str(last_checkpoint(self.save_dir) or "")

    def _load_file(self, filename: str) -> dict[str, Any]:
        if filename.endswith((".pkl", ".pyth")):
            return read_weights(filename)
        return super()._load_file(filename)


def _heads(names: Iterable[str]) -> set[str]:
    return {name for name in names if HEADS.fullmatch(name)}


def _write(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    try:
        write_atomically(path, write)
    except InputError as error:
        raise InputError(
            f"{error}. Earlier checkpoints are intact: make room and go on with --resume"
        ) from error


def last_checkpoint(folder: str | Path) -> Path | None:
    """The checkpoint of a folder to go on from, if there is one.

    That is the one that was written last, which the file ``last_checkpoint`` names, or where this
    one is gone or damaged, the newest complete one. There is none where `disown_checkpoints` was
    called.
    """
    if are_disowned(folder):
        return None
    pointer = Path(folder, "last_checkpoint")
    if pointer.is_file():
        name = pointer.read_text(errors="replace").strip()
        named = Path(folder, Path(name).name)
        if named.is_file() and _iteration(named) is not None:
            return named
    # By their time first, as in `Checkpointer.save`: another training may have come further.
    usable = [
        (path.stat().st_mtime_ns, iteration, path)
        for path in Path(folder).glob("model_*.pth")
        if (iteration := _iteration(path)) is not None
    ]
    return max(usable)[-1] if usable else None


def disown_checkpoints(folder: str | Path) -> None:
    """Let `last_checkpoint` pass over what another training has left, until one is saved."""
    _write(Path(folder, "last_checkpoint"), lambda file: file.write(DISOWNED.encode()))


def are_disowned(folder: str | Path) -> bool:
    """Whether a folder's checkpoints, if it has any, are those that `disown_checkpoints` meant."""
    pointer = Path(folder, "last_checkpoint")
    return pointer.is_file() and pointer.read_text(errors="replace").strip() == DISOWNED


def _iteration(checkpoint: Path) -> int | None:
    """Of a training's checkpoint; none, with a warning, if the file is damaged."""
    try:
        iteration = load_torch(checkpoint, mmap=True).get("iteration")
    except InputError as error:
        _warn_once(f"Passing over a checkpoint: {error}")
        return None
    return iteration if isinstance(iteration, int) else None


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)


def saved_seed(checkpoint: Path) -> int | None:
    """The seed of the training that wrote a checkpoint; none if another trainer wrote it."""
    trainer = load_torch(checkpoint, mmap=True).get("trainer")
    return trainer.get("seed") if isinstance(trainer, dict) else None
