#!/usr/bin/env python
"""Tree crowns in aerial photographs, as COCO-format tiles: `prepare_trees.py --output FOLDER`.

The two photographs of Yellowstone (0.1 m a pixel, every crown boxed) come with the Python package
deepforest (MIT licence, https://github.com/weecology/DeepForest). Its wheel is taken from PyPI,
checked against a pinned hash and unpacked, never installed.

    train/                              overlapping tiles (stride: half a tile)
    train_{full,hard,extreme}.json
    val/, val.json                      tiles of other regions of both photographs, not overlapping
    across_train_{full,hard,extreme}.json   those training tiles that show the first photograph
    across_val/, across_val.json        the whole second photograph: another place, another light

Rules:
- Each photograph is split at one column. A crown that straddles it belongs to neither part, and
  the parts keep clear of it: no tile shows any of it.
- A tile's annotation is the crown's box clipped to the tile. If less than half of the box's area
  is inside the tile, the annotation is a crowd (`iscrowd` 1): evaluation ignores it, training
  leaves it out.
- Which crowns are annotated is decided once per crown, so overlapping tiles agree: the protocols
  see the photograph's tile-sized, non-overlapping cells as images, and a crown belongs to the cell
  of its centre. `crown_id` in the annotations tells the crown.
- Tiles without a crown stay. Remainders narrower than a tile are left out of validation only.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from comining.annotations.sparse import content_hash, sparsify
from comining.annotations.tiles import Tile, boxes_in_tile, cells_of, lay_tiles, regions_beside
from comining.data.prepared_folder import is_prepared, preparing, write_json
from comining.errors import InputError

PACKAGE = "deepforest==2.1.0"
SHA256 = "8c2798d8e9be7f0004b194fe207b76c1d9fff6e711b3db67b9508dcd5d00ae54"
SPARSE_PROTOCOLS = ("hard", "extreme")


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
            f"(`pip download --no-deps {PACKAGE}`) and pass it with --wheel"
        )
    return next(folder.glob("*.whl"))


def check_wheel(wheel: Path, sha256: str) -> None:
    """Refuse a wheel that isn't the pinned file."""
    if not wheel.is_file():
        raise InputError(f"{wheel}: no such file; --wheel takes the wheel of {PACKAGE}")
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


class TileSet:
    """Collects the COCO records of tiles and writes their images into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        folder.mkdir()

    def add(self, photograph: Photograph, tile: Tile) -> None:
        """Cut one tile: its image file, image record and annotations."""
        image = {
            "id": len(self.images) + 1,
            "file_name": f"{photograph.name}_x{tile.x:04d}_y{tile.y:04d}.png",
            "width": tile.size,
            "height": tile.size,
            "photograph": photograph.name,
        }
        area = (tile.x, tile.y, tile.x + tile.size, tile.y + tile.size)
        photograph.image.crop(area).save(self.folder / image["file_name"])
        self.images.append(image)
        for index, box, mostly_inside in zip(*boxes_in_tile(photograph.boxes, tile), strict=True):
            x0, y0, x1, y1 = box.tolist()
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image["id"],
                    "category_id": 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0 if mostly_inside else 1,
                    "crown_id": int(photograph.crown_ids[index]),
                }
            )

    def labelled_crowns(self) -> set[int]:
        """Ids of the crowns that some tile shows at least half of."""
        return {a["crown_id"] for a in self.annotations if not a["iscrowd"]}

    def coco(self, info: dict[str, Any], photograph: str | None = None) -> dict[str, Any]:
        """Give the set, or the part of it that shows one photograph, as a COCO dictionary."""
        images = [i for i in self.images if photograph in (None, i["photograph"])]
        ids = {image["id"] for image in images}
        return {
            "info": {"description": "Tree crowns in aerial photographs of Yellowstone", **info},
            "images": images,
            "annotations": [a for a in self.annotations if a["image_id"] in ids],
            "categories": [{"id": 1, "name": "tree"}],
        }


def choose_crowns(
    photographs: list[Photograph], candidates: set[int], cell: int, protocol: str, seed: int
) -> set[int]:
    """Choose the crowns that stay annotated: the protocol with the photographs' cells as images."""
    cell_ids: dict[tuple[str, int, int], int] = {}
    crowns = []
    for photograph in photographs:
        cells = cells_of(photograph.boxes, cell)
        for crown_id, (row, column) in zip(photograph.crown_ids.tolist(), cells, strict=True):
            if crown_id in candidates:
                key = (photograph.name, row, column)
                image_id = cell_ids.setdefault(key, len(cell_ids) + 1)
                crowns.append(
                    {"id": crown_id, "image_id": image_id, "category_id": 1, "iscrowd": 0}
                )
    kept = sparsify(crowns, protocol, seed=seed)
    return {crown["id"] for crown, keep in zip(crowns, kept, strict=True) if keep}


def write_tiles(
    photographs: list[Photograph], folder: Path, tile: int, seed: int, source: dict[str, Any]
) -> list[str]:
    """Write all image folders and annotation files.

    Args:
        photographs: two of them; the first is the one that `across_train` shows.
        folder: existing, empty.
        tile: edge of the tiles in pixels.
        seed: of the sparse protocols.
        source: recorded in every file's `info`.

    Returns:
        One line for each annotation file: its tiles, annotations and crowns.
    """
    train = TileSet(folder / "train")
    val = TileSet(folder / "val")
    across_val = TileSet(folder / "across_val")
    first, second = photographs
    for photograph in photographs:
        width, height = photograph.image.size
        left, right = regions_beside(photograph.split_column, width, photograph.boxes)
        rows = range(height)
        for place in lay_tiles(left, rows, tile, stride=tile // 2, cover=True):
            train.add(photograph, place)
        for place in lay_tiles(right, rows, tile, stride=tile, cover=False):
            val.add(photograph, place)
    whole = (range(second.image.width), range(second.image.height))
    for place in lay_tiles(*whole, tile, stride=tile, cover=False):
        across_val.add(second, place)
    if not (train.images and val.images and across_val.images):
        raise InputError(f"--tile {tile} is too large for the photographs: take 256 or less")

    files = {
        "train_full.json": train.coco(source),
        "val.json": val.coco(source),
        "across_train_full.json": train.coco(source, first.name),
        "across_val.json": across_val.coco(source),
    }
    candidates = train.labelled_crowns()
    for protocol in SPARSE_PROTOCOLS:
        kept = choose_crowns(photographs, candidates, tile, protocol, seed)
        for name in ("train", "across_train"):
            full = f"{name}_full.json"
            record = {
                "protocol": protocol,
                "percent": None,
                "seed": seed,
                "input": full,
                "input_sha256": content_hash(files[full]),
            }
            files[f"{name}_{protocol}.json"] = {
                **files[full],
                "info": {**files[full]["info"], "sparse": record},
                "annotations": [a for a in files[full]["annotations"] if a["crown_id"] in kept],
            }
    for name, coco in files.items():
        write_json(folder / name, coco)
    return [_summary(name, coco) for name, coco in sorted(files.items())]


def _summary(name: str, coco: dict[str, Any]) -> str:
    labelled = [a for a in coco["annotations"] if not a["iscrowd"]]
    crowns = len({a["crown_id"] for a in labelled})
    fragments = len(coco["annotations"]) - len(labelled)
    return (
        f"{name:27} {len(coco['images']):4} tiles {len(labelled):5} annotations "
        f"of {crowns:4} crowns, {fragments:4} cut to less than half (crowd)"
    )


def prepare(
    output: Path,
    tile: int = 256,
    seed: int = 0,
    wheel: Path | None = None,
    sha256: str = SHA256,
    sources: tuple[Source, ...] = SOURCES,
) -> list[str]:
    """Make the data set, unless it is there already with the same settings.

    Args:
        output: folder to make; one that holds anything else is refused.
        tile: edge of the tiles in pixels, even.
        seed: of the sparse protocols.
        wheel: a wheel at hand; None downloads it.
        sha256: that the wheel must have.
        sources: the two photographs in the wheel.

    Returns:
        Lines that tell what was made.

    Raises:
        InputError: on a bad setting, a wrong wheel, no network, or an output folder in use.
    """
    if tile < 32 or tile % 2:
        raise InputError(f"--tile {tile}: must be an even number of pixels, at least 32")
    source = {"source": PACKAGE, "sha256": sha256, "tile": tile}
    recipe = {"made_by": "prepare_trees", "version": 1, **source, "seed": seed}
    if is_prepared(output, recipe):
        return [f"{output} is complete already: nothing to do"]
    with tempfile.TemporaryDirectory() as temporary:
        wheel = wheel or download_wheel(Path(temporary))
        check_wheel(wheel, sha256)
        photographs = read_photographs(wheel, sources)
    with preparing(output, recipe) as folder:
        return write_tiles(photographs, folder, tile, seed, source)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    parser.add_argument("--tile", type=int, default=256, help="edge of the tiles in pixels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sparse protocols")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {PACKAGE}, if it is at hand")
    options = parser.parse_args()
    try:
        print("\n".join(prepare(options.output, options.tile, options.seed, options.wheel)))
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
