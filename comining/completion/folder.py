"""The output folder of a completion: what lies where, and whose it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import IO, Any

from comining.annotations.coco_file import read_json
from comining.annotations.formats import (
    Source,
    check_beside,
    read_annotations,
    write_annotations,
)
from comining.annotations.sparse import encode
from comining.errors import InputError
from comining.folder_lock import lock_folder
from comining.output_file import write_atomically

from .hints import of_cut_off, of_doubtful, of_unlisted

#: What a run leaves that ended before it began.
TRACES = {".lock", "log.txt"}
#: Where what replaces a file or folder is written first.
WRITING = ".writing"


class Folder:
    """Paths in the output folder, and the files that say what it belongs to."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.source = self.path / "source.json"
        #: The annotations that were given, in COCO format.
        self.annotations = self.path / "annotations.json"
        #: Less those that are withheld to measure by.
        self.training_annotations = self.path / "training.json"
        self.config = self.path / "config.yaml"
        #: How large images are cut, or null if they are not.
        self.tiling = self.path / "tiling.json"
        #: What is trained on and mined then; as above, and the images.
        self.tiles = self.path / "tiles"
        self.tile_annotations = self.tiles / "annotations.json"
        self.training_tiles = self.tiles / "training.json"
        self.tile_images = self.tiles / "images"
        #: How long an iteration takes, once that was measured.
        self.pace = self.path / "pace.json"
        self.log = self.path / "log.txt"
        self.training = self.path / "training"
        #: The last one that was finished by other settings.
        self.former_training = self.path / "training_before"
        #: By which config it is trained.
        self.training_settings = self.training / "settings.json"
        self.final_weights = self.training / "model_final.pth"
        #: All that the detector has found, from which what is added can be chosen anew.
        self.mined = self.path / "mined"
        #: All that may be added, and what it is judged by.
        self.proposals = self.path / "proposals.json"
        self.evidence = self.path / "evidence.npz"
        #: What a reviewer decided, and the ids of what was drawn by chance to be decided about.
        self.decisions = self.path / "decisions.jsonl"
        self.sample = self.path / "sample.json"
        #: What the review of an earlier completion rejected.
        self.rejected = self.path / "rejected.json"
        self.completed = self.path / "completed.json"
        self.report = self.path / "report.html"
        self.review = self.path / "review.html"
        self.result = self.path / "result.json"

    def make(self) -> IO[str]:
        """Make the folder and keep other runs out of it until the returned file is closed.

        Raises:
            InputError: it can't be made or written to, holds something else, or another run is
                using it.
        """
        if self.path.is_file():
            raise InputError(f"--output {self.path} is a file: name a folder")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            others = sorted({x.name for x in self.path.iterdir()} - TRACES)
            if others and not self.source.exists():
                raise InputError(
                    f"--output {self.path} holds other things, such as {others[0]}: name a new "
                    "folder"
                )
            return lock_folder(self.path)
        except BlockingIOError as error:
            raise InputError(
                f"{self.path} is in use by another run: wait for it or end it"
            ) from error
        except OSError as error:
            raise InputError(f"--output {self.path} can't be written: {error.strerror}") from error

    def read_source(self, images: Path, annotations: Path, listed_only: bool) -> Source:
        """Read the annotations, and check that their completion can be written here.

        Raises:
            InputError: they can't be used, or it can't.
        """
        if self.path.resolve().is_relative_to(images.resolve()):
            raise InputError(
                f"--output {self.path} lies in the folder of the images: choose one beside it"
            )
        if (annotations / "source.json").exists():
            raise InputError(
                f"{annotations} is what `comining complete` wrote: name a file of it, such as "
                f"{annotations / 'accepted.json'}"
            )
        source = read_annotations(annotations, images, listed_only=listed_only)
        check_beside(source, self.path)
        source.notes[:0] = [
            *of_unlisted(source),
            *of_cut_off(source, images),
            *of_doubtful(source.dataset),
        ]
        return source

    def claim(self, source: Source, images: Path, listed_only: bool) -> None:
        """Make the folder that of a data set, which may have been moved since.

        Raises:
            InputError: it is another's.
        """
        content = b"".join(encode(source.dataset))
        now = {
            "images": str(images.resolve()),
            "annotations": str(source.path.resolve()),
            "format": source.format,
            "listed_only": listed_only,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        before = read_json(self.source) if self.source.exists() else now
        if before.get("listed_only") != listed_only:
            how = "without" if listed_only else "with"
            raise InputError(
                f"--output {self.path} was begun {how} --listed-only: go on like that, or name "
                "another folder"
            )
        if any(before.get(key) != now[key] for key in ("format", "sha256")):
            raise InputError(
                f"--output {self.path} belongs to {before.get('annotations')} and "
                f"{before.get('images')} as they were: the images or their annotations differ. "
                f"Name another folder; with --reviewed {self.path}, what was rejected here isn't "
                "proposed there"
            )
        if not self.annotations.exists():
            write_atomically(self.annotations, lambda file: file.write(content))
        if not self.source.exists() or before != now:
            write_json(self.source, now)

    def write_completed(self, source: Source, completed: dict[str, Any]) -> Path:
        """Write a completed data set in the format of its source, and in COCO's.

        Returns:
            The file or folder in the source's format.
        """
        if source.format != "coco":
            write_atomically(self.completed, lambda file: file.writelines(encode(completed)))
        writing = self.path / WRITING
        shutil.rmtree(writing, ignore_errors=True)
        written = write_annotations(source, completed, writing)
        target = self.path / written.name
        if target.is_dir():
            shutil.rmtree(target)
        written.replace(target)
        writing.rmdir()
        return target


def write_json(path: Path, value: Any) -> None:
    """Write a small JSON file, completely or not at all."""
    text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def check_is_free(output: Path) -> None:
    """Check that another training would not overwrite that of a completion.

    Args:
        output: folder of the training to come.

    Raises:
        InputError: it would.
    """
    folder = Folder(output.parent)
    if output == folder.training and folder.training_settings.exists():
        raise InputError(
            f"{output} holds the detector of the completion in {folder.path}, which would be "
            "overwritten: name another folder with --output, or go on with `comining complete`"
        )
