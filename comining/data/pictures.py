"""Images and videos by files, folders and globs, picture by picture."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from detectron2.data.detection_utils import read_image
from PIL import UnidentifiedImageError

from comining.annotations.formats.images import files_below
from comining.annotations.image_files import IMAGE_SUFFIXES, is_image, refuse_deep_image
from comining.errors import InputError

from .samples import UNREADABLE_OR_ODD

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
#: The folder of the annotated pictures, below the output.
PICTURES = "images"


class Picture(NamedTuple):
    """An image or a frame of a video.

    Attributes:
        name: tells it apart from all others; a path below the common folder of the inputs.
        pixels: (H, W, 3), RGB, uint8.
        origin: what the JSON file says about a frame beside its name.
    """

    name: str
    pixels: np.ndarray
    origin: dict[str, Any]


def find_inputs(words: Sequence[str], output: Path) -> list[Path]:
    """The images and videos that a user named.

    Args:
        words: files, folders or globs.
        output: folder; what is in it, or in the folder of its pictures, is no input.

    Returns:
        Absolute paths, each once, folders and globs in alphabetical order.

    Raises:
        InputError: something does not exist or has no image in it.
    """
    found: dict[Path, None] = {}
    # The folder of the pictures may be a link to somewhere else.
    written = {output.resolve(), (output / PICTURES).resolve()}
    for word in words:
        path = Path(word)
        if path.exists() and not path.is_dir():
            files = [path]
        else:
            files = [
                file
                for match in ([word] if path.is_dir() else glob(word, recursive=True))
                for file in _files_of(Path(match))
                if is_image(file, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
            ]
        files = [Path(os.path.abspath(file)) for file in sorted(files)]
        if not files:
            raise InputError(f"{word} is no image or video, nor a folder or glob of such")
        files = [file for file in files if written.isdisjoint(file.resolve().parents)]
        if not files:
            raise InputError(f"{word} lies in the output, {output}: name another --output")
        found.update(dict.fromkeys(files))
    return list(found)


def _files_of(match: Path) -> list[Path]:
    return [match / x for x in files_below(match)] if match.is_dir() else [match]


def read_pictures(
    inputs: Sequence[Path], root: Path, every: int, broken: list[str]
) -> Iterator[Picture]:
    """The images, and of videos every n-th frame.

    Args:
        inputs: absolute paths.
        root: their common folder.
        every: 1 for all frames.
        broken: gets a line about each input that can't be read, or not to its end.
    """
    for path in inputs:
        name = path.relative_to(root).as_posix()
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                for number, pixels in _read_frames(path, every):
                    origin = {"video": name, "frame": number}
                    yield Picture(f"{name}/{number:06}.jpg", pixels, origin)
            else:
                refuse_deep_image(path)
                yield Picture(name, read_image(str(path), "RGB"), {})
        except UNREADABLE_OR_ODD as error:
            text = str(error) or type(error).__name__
            if isinstance(error, UnidentifiedImageError):
                text = "no image, or a damaged one"
            broken.append(f"{path}: {text}")


def _read_frames(path: Path, every: int) -> Iterator[tuple[int, np.ndarray]]:
    av = _import_av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise OSError("there are no pictures in it")
            for number, frame in enumerate(container.decode(video=0)):
                if number % every == 0:
                    pixels = frame.to_ndarray(format="rgb24")
                    yield number, np.rot90(pixels, round(frame.rotation / 90))
    except av.FFmpegError as error:
        raise OSError(str(error)) from error


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise InputError("videos are read with PyAV, which is missing: pip install av") from error
    return av


def count_pictures(inputs: Sequence[Path], every: int) -> int:
    """How many pictures there are, as far as the headers of videos tell."""
    total = len(inputs)
    for path in inputs:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            av = _import_av()
            # What can't be opened is reported when its turn comes.
            with contextlib.suppress(av.FFmpegError, IndexError), av.open(str(path)) as container:
                total += -(-container.streams.video[0].frames // every) - 1
    return total
