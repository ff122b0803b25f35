"""Tree crowns in aerial photographs, as COCO-format tiles.

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

import tempfile
from pathlib import Path
from typing import Any

from comining.annotations.sparse import content_hash, sparsify
from comining.annotations.tiles import Tile, boxes_in_tile, cells_of, lay_tiles, regions_beside
from comining.data.prepared_folder import is_prepared, preparing, write_json
from comining.errors import InputError

from .trees_wheel import (
    PACKAGE,
    SHA256,
    SOURCES,
    Photograph,
    Source,
    check_wheel,
    download_wheel,
    read_photographs,
)

SPARSE_PROTOCOLS = ("hard", "extreme")


class TileSet:
    """Collects the COCO records of tiles and writes their images into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        folder.mkdir()

    def add(self, photograph: Photograph, tile: Tile) -> None:
        """Cut one tile: its image file, image record and annotations."""
        image: dict[str, Any] = {
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


def prepare_trees(
    output: Path,
    source: Path | None = None,
    *,
    tile: int = 256,
    seed: int = 0,
    sha256: str = SHA256,
    sources: tuple[Source, ...] = SOURCES,
) -> list[str]:
    """Make the data set, unless it is there already with the same settings.

    Args:
        output: folder to make; one that holds anything else is refused.
        source: the wheel; None downloads it.
        tile: edge of the tiles in pixels, even.
        seed: of the sparse protocols.
        sha256: that the wheel must have.
        sources: the two photographs in the wheel.

    Returns:
        Lines that tell what was made.

    Raises:
        InputError: on a bad setting, a wrong wheel, no network, or an output folder in use.
    """
    if tile < 32 or tile % 2:
        raise InputError(f"--tile {tile}: must be an even number of pixels, at least 32")
    origin = {"source": PACKAGE, "sha256": sha256, "tile": tile}
    recipe = {"made_by": "prepare_trees", "version": 1, **origin, "seed": seed}
    if is_prepared(output, recipe):
        return [f"{output} is complete already: nothing to do"]
    with tempfile.TemporaryDirectory() as temporary:
        wheel = source or download_wheel(Path(temporary))
        check_wheel(wheel, sha256)
        photographs = read_photographs(wheel, sources)
    with preparing(output, recipe) as folder:
        return write_tiles(photographs, folder, tile, seed, origin)
