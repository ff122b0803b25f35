#!/usr/bin/env python
"""Detect objects in images and videos: annotated pictures and one JSON file.

python tools/predict.py --config-file configs/demo.yaml --weights output/demo/model_final.pth
    photo.jpg folder 'more/*.png' clip.mp4 --output detected

Inputs are files, folders (with all below them), globs and videos; of folders and globs, files are
taken that have the suffix of a usual picture or video. Below their common folder each has a name,
and the annotated picture of NAME is DIR/images/NAME, with .jpg added to what is neither a JPEG nor
a PNG; frame 7 of the video NAME is DIR/images/NAME/000007.jpg.

DIR/predictions.json is a COCO file:
  images       id, file_name (NAME), width, height (after rotation as EXIF says), annotated (the
               picture's path below DIR); of a frame also video and frame (counted from 0)
  annotations  in COCO's results form (image_id, category_id, bbox, score), with id, area, iscrowd;
               bbox is x, y, width, height in pixels
  categories   id, name: of the config's data sets if an annotation file of theirs is there, else
               the model's class numbers
  info         image_root, the common folder of the inputs

What can't be read is named at the end, and the exit code is 1; all else is done before. A run that
is interrupted leaves DIR/predictions.partial.json instead, with what it has found until then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from glob import glob
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.detection_utils import (
    build_augmentation,
    convert_PIL_to_numpy,
    read_image,
)
from detectron2.data.transforms import AugInput, AugmentationList
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.modeling import build_model
from detectron2.structures import Instances
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from signals import end_as_if_interrupted
from tqdm import tqdm

from comining.annotations.coco_file import read_categories
from comining.data import register_from_config
from comining.data.loader import UNREADABLE_OR_ODD
from comining.engine import Checkpointer, load_config
from comining.engine.device import usable_device
from comining.engine.setup import check_weights
from comining.errors import InputError
from comining.output_file import write_atomically

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}
#: Of all that Pillow reads, what is a picture: neither data (HDF5, GRIB) nor programs (PostScript).
IMAGE_SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
}  # fmt: skip
JSON_NAME = "predictions.json"
#: The folder of the annotated pictures, below the output.
PICTURES = "images"
#: What an interrupted run leaves, so that a complete file is never replaced by a part.
PARTIAL_NAME = "predictions.partial.json"
#: Ten strong ones, then ten light ones.
COLOURS = [
    tuple(round(255 * x) for x in colour)
    for first in (0, 1)
    for colour in colormaps["tab20"].colors[first::2]
]


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
                for file in (Path(match).rglob("*") if Path(match).is_dir() else [Path(match)])
                if file.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
                and not file.name.startswith(".")
                and file.is_file()
            ]
        files = [Path(os.path.abspath(file)) for file in sorted(files)]
        if not files:
            raise InputError(f"{word} is no image or video, nor a folder or glob of such")
        files = [file for file in files if written.isdisjoint(file.resolve().parents)]
        if not files:
            raise InputError(f"{word} lies in the output, {output}: name another --output")
        found.update(dict.fromkeys(files))
    return list(found)


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
                yield Picture(name, read_image(str(path), "RGB"), {})
        except UNREADABLE_OR_ODD as error:
            broken.append(f"{path}: {str(error) or type(error).__name__}")


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


def _count_pictures(inputs: Sequence[Path], every: int) -> int:
    """How many pictures there are, as far as the headers of videos tell."""
    total = len(inputs)
    for path in inputs:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            av = _import_av()
            # What can't be opened is reported when its turn comes.
            with contextlib.suppress(av.FFmpegError, IndexError), av.open(str(path)) as container:
                total += -(-container.streams.video[0].frames // every) - 1
    return total


def find_categories(cfg: CfgNode) -> list[dict[str, Any]]:
    """Id and name of the model's classes, in its order, from the first data set that tells them.

    Args:
        cfg: its data sets are registered.

    Returns:
        An empty list if no annotation file is there.
    """
    for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        if name not in DatasetCatalog.list():
            continue
        metadata = MetadataCatalog.get(name)
        ids = metadata.get("thing_dataset_id_to_contiguous_id")
        if ids is not None:
            names = metadata.thing_classes
            return [{"id": x, "name": names[k]} for x, k in sorted(ids.items(), key=itemgetter(1))]
        json_file = metadata.get("json_file")
        if json_file is not None and Path(json_file).is_file():
            return [{"id": x["id"], "name": x["name"]} for x in read_categories(json_file)]
    return []


class Results:
    """What has been detected, for the JSON file."""

    def __init__(self, categories: list[dict[str, Any]], root: Path) -> None:
        """
        Args:
            categories: from `find_categories`.
            root: the common folder of the inputs.
        """
        self.root = root
        self.classes = dict(enumerate(categories))  # by the model's number
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self._places: set[str] = set()

    def add(self, picture: Picture, instances: Instances) -> str:
        """Add the objects of a picture. Returns where to draw it, a path below the output."""
        for number in instances.pred_classes.tolist():
            self.classes.setdefault(number, {"id": number, "name": str(number)})
        height, width = picture.pixels.shape[:2]
        image = {
            "id": len(self.images) + 1,
            "file_name": picture.name,
            "width": width,
            "height": height,
            "annotated": self._place_of(picture.name),
            **picture.origin,
        }
        self.images.append(image)
        for found in instances_to_coco_json(instances, image["id"]):
            found["category_id"] = self.classes[found["category_id"]]["id"]
            area = found["bbox"][2] * found["bbox"][3]
            self.annotations.append(
                {"id": len(self.annotations) + 1, **found, "area": area, "iscrowd": 0}
            )

        return image["annotated"]

    def _place_of(self, name: str) -> str:
        is_usual = Path(name).suffix.lower() in (".jpg", ".jpeg", ".png")
        place = f"{PICTURES}/{name}" if is_usual else f"{PICTURES}/{name}.jpg"
        while place in self._places:
            place += ".jpg"
        self._places.add(place)
        return place

    def write(self, path: Path) -> None:
        """Write the JSON file, completely or not at all."""
        content = {
            "info": {"image_root": str(self.root)},
            "images": self.images,
            "annotations": self.annotations,
            "categories": [self.classes[number] for number in sorted(self.classes)],
        }
        write_atomically(path, lambda file: file.write(f"{json.dumps(content)}\n".encode()))


def draw(
    pixels: np.ndarray, instances: Instances, classes: dict[int, dict[str, Any]]
) -> Image.Image:
    """The picture with boxes, class names and scores, one colour for each class.

    Args:
        pixels: (H, W, 3), RGB, uint8.
        instances: by descending score.
        classes: by the model's number, with ``name``.
    """
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / 300))
    font = ImageFont.load_default(max(10, 6 * line))
    # The most certain ones on top.
    for box, number, score in reversed(
        list(
            zip(
                instances.pred_boxes.tensor.tolist(),
                instances.pred_classes.tolist(),
                instances.scores.tolist(),
                strict=True,
            )
        )
    ):
        colour = COLOURS[number % len(COLOURS)]
        pen.rectangle(box, outline=colour, width=line)
        text = f"{classes[number]['name']} {score:.0%}"
        _, _, width, height = pen.textbbox((0, 0), text, font)
        # Above the box, but inside the picture.
        x = max(0, min(box[0], picture.width - width))
        y = max(0, box[1] - height)
        pen.rectangle((x, y, x + width, y + height), fill=colour)
        pen.text((x, y), text, "black" if sum(colour) > 380 else "white", font)
    return picture


def predict(
    cfg: CfgNode,
    inputs: Sequence[Path],
    output: Path,
    *,
    score_thresh: float = 0.5,
    batch_size: int = 1,
    every: int = 1,
) -> list[str]:
    """Detect objects in images and videos and write what the text of this module describes.

    Args:
        cfg: of the model, with its weights; its data sets are registered.
        inputs: from `find_inputs`.
        output: folder.
        score_thresh: what scores below is left out; in [0, 1].
        batch_size: how many images the model is given at a time. Those of different sizes are
            padded, which may change scores in the last digits.
        every: of videos, every n-th frame is looked at.

    Returns:
        A line about each input that can't be read, or not to its end.

    Raises:
        InputError: the config does not fit.
        OSError: a file can't be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    total = _count_pictures(inputs, every)
    for detector in ("RETINANET", "FCOS", "ROI_HEADS"):
        cfg.MODEL[detector].SCORE_THRESH_TEST = score_thresh
    model = build_model(cfg).eval()
    Checkpointer(model, whole=True).load(cfg.MODEL.WEIGHTS)
    categories = find_categories(cfg)
    num_classes = getattr(model, "num_classes", len(categories))
    if categories and len(categories) != num_classes:
        raise InputError(
            f"the data sets of the config have {len(categories)} categories, but its model has "
            f"{num_classes} classes: name the config that the model was trained with"
        )
    resize = AugmentationList(build_augmentation(cfg, is_train=False))
    root = Path(os.path.commonpath([path.parent for path in inputs]))
    results = Results(categories, root)
    broken: list[str] = []
    pictures = read_pictures(inputs, root, every, broken)
    try:
        with tqdm(total=total, unit="image") as progress, torch.no_grad():
            while batch := list(islice(pictures, batch_size)):
                found = model([_model_input(x.pixels, resize, cfg.INPUT.FORMAT) for x in batch])
                for picture, one in zip(batch, found, strict=True):
                    instances = one["instances"].to("cpu")
                    # A detector of one's own may have no such threshold.
                    instances = instances[instances.scores >= score_thresh]
                    path = output / results.add(picture, instances)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    draw(picture.pixels, instances, results.classes).save(path, quality=92)
                progress.update(len(batch))
    except BaseException:
        if results.images:
            results.write(output / PARTIAL_NAME)
            print(f"\n{output / PARTIAL_NAME} has what was found until then", file=sys.stderr)
        raise
    results.write(output / JSON_NAME)
    (output / PARTIAL_NAME).unlink(missing_ok=True)
    return broken


def _model_input(pixels: np.ndarray, resize: AugmentationList, image_format: str) -> dict[str, Any]:
    """What detectron2's mapper makes of an image for inference."""
    height, width = pixels.shape[:2]
    image = AugInput(convert_PIL_to_numpy(Image.fromarray(pixels), image_format))
    resize(image)
    tensor = torch.as_tensor(np.ascontiguousarray(image.image.transpose(2, 0, 1)))
    return {"image": tensor, "height": height, "width": width}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", metavar="IMAGES", help="files, folders, globs, videos")
    parser.add_argument("--config-file", required=True, help="of the trained model")
    parser.add_argument("--weights", required=True, help="of the trained model")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--score-thresh", type=float, default=0.5, help="leave out what scores below (default: 0.5)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, help="images at a time, for a GPU (default: 1)"
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="every N-th frame of videos (default: 1)"
    )
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs for the config, last"
    )
    options = parser.parse_args()
    end_as_if_interrupted()
    if not 0 <= options.score_thresh <= 1:
        parser.error("--score-thresh must be between 0 and 1")
    if options.batch_size < 1 or options.every < 1:
        parser.error("--batch-size and --every must be at least 1")
    if not options.weights:
        parser.error("--weights is empty: name the model to predict with")
    try:
        inputs = find_inputs(options.inputs, options.output)
        cfg = load_config(options.config_file, options.opts)
        cfg.MODEL.DEVICE = usable_device(cfg.MODEL.DEVICE)
        cfg.MODEL.WEIGHTS = options.weights
        check_weights(cfg.MODEL.WEIGHTS, options.config_file)
        register_from_config(cfg)
        broken = predict(
            cfg,
            inputs,
            options.output,
            score_thresh=options.score_thresh,
            batch_size=options.batch_size,
            every=options.every,
        )
        print(options.output / JSON_NAME)
        if broken:
            raise InputError(
                "\n  ".join([f"{len(broken)} of {len(inputs)} inputs can't be read:", *broken])
            )
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
