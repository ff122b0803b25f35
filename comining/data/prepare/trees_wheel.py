"""The photographs of tree crowns that a wheel on PyPI holds."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from comining.errors import InputError

PACKAGE = "deepforest==2.1.0"
SHA256 = "8c2798d8e9be7f0004b194fe207b76c1d9fff6e711b3db67b9508dcd5d00ae54"


@dataclass(frozen=True)
class Source:
    """A photograph in the wheel: `<path>.png` with its boxes in `<path>.xml`, and its split.

    The columns below leave few crowns straddling and a little more than whole tiles of 256 px on
    the right, for validation: 24 % and 22 % of the photographs' widths.
    """

    path: str
    split_column: int


SOURCES = (
    Source("deepforest/data/2019_YELL_2_528000_4978000_image_crop2", split_column=1700),
    Source("deepforest/data/2019_YELL_2_541000_4977000_image_crop", split_column=934),
)


@dataclass(frozen=True)
class Photograph:
    """A photograph with its crowns: boxes (N, 4) XYXY in pixels and their ids (N,)."""

    name: str
    image: Image.Image
    boxes: np.ndarray
    crown_ids: np.ndarray
    split_column: int


def download_wheel(folder: Path) -> Path:
    """Download the pinned wheel with pip, from whatever index pip is set up to use."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--disable-pip-version-check", "--quiet", "--retries", "2"]
    command += ["-r", str(requirements), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise InputError(
            f"pip couldn't download {PACKAGE}: ...{' '.join(done.stderr.split())[-400:]}\n"
            "Check the network, or bring the wheel from a machine that has one "
            f"(`pip download --no-deps {PACKAGE}`) and pass it with --source"
        )
    return next(folder.glob("*.whl"))


def check_wheel(wheel: Path, sha256: str) -> None:
    """Refuse a wheel that isn't the pinned file."""
    if not wheel.is_file():
        raise InputError(f"{wheel}: no such file; --source takes the wheel of {PACKAGE}")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != sha256:
        raise InputError(
            f"{wheel}: sha256 is {found}, expected {sha256}; take the wheel of {PACKAGE} from PyPI"
        )


def read_photographs(wheel: Path, sources: tuple[Source, ...]) -> list[Photograph]:
    """Read photographs and boxes; crown ids count from 1 through all photographs."""
    photographs: list[Photograph] = []
    first_id = 1
    with zipfile.ZipFile(wheel) as archive:
        for source in sources:
            image = Image.open(BytesIO(archive.read(f"{source.path}.png"))).convert("RGB")
            boxes = _read_boxes(archive.read(f"{source.path}.xml"))
            ids = np.arange(first_id, first_id + len(boxes))
            first_id += len(boxes)
            name = Path(source.path).name
            photographs.append(Photograph(name, image, boxes, ids, source.split_column))
    return photographs


def _read_boxes(xml: bytes) -> np.ndarray:
    """Read a Pascal VOC annotation file, to (N, 4) XYXY."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    boxes = [
        [int(box.findtext(side, "")) for side in sides]
        for box in ElementTree.fromstring(xml).iter("bndbox")
    ]
    return np.array(boxes).reshape(-1, 4)
