"""Tiles from a small wheel made here, with its own two photographs."""

import functools
import hashlib
import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from comining.data.prepare import PREPARERS, trees
from comining.data.prepare.trees import prepare_trees
from comining.data.prepare.trees_wheel import SHA256, Photograph, Source
from comining.errors import InputError

TILE = 128
SIZES = {"near": (600, 400), "far": (560, 300)}
SPLIT = 400
STRADDLING = (380, 100, 430, 140)
BOXES = {
    "near": [
        (10, 10, 40, 50),
        (50, 20, 90, 60),
        (90, 90, 130, 130),
        (115, 30, 145, 60),  # the tile at 0 shows 13 of its 30 columns, the one at 128 shows 17
        (200, 200, 230, 240),
        (210, 250, 250, 290),
        (300, 350, 340, 395),
        STRADDLING,
        (440, 20, 480, 60),
        (520, 200, 560, 240),
    ],
    "far": [(30, 30, 60, 60), (70, 30, 100, 70), (60, 80, 90, 110), (450, 100, 490, 140)],
}
SOURCES = tuple(Source(f"pkg/data/{name}", SPLIT) for name in BOXES)


def voc(boxes) -> str:
    sides = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        "<object><name>Tree</name><bndbox>"
        + "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    return f"<annotation>{objects}</annotation>"


def photograph(name: str) -> np.ndarray:
    """Noise, so that every pixel tells where it comes from."""
    width, height = SIZES[name]
    return np.random.default_rng(len(name)).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("wheel") / "pkg-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, boxes in BOXES.items():
            png = BytesIO()
            Image.fromarray(photograph(name)).save(png, "PNG")
            archive.writestr(f"pkg/data/{name}.png", png.getvalue())
            archive.writestr(f"pkg/data/{name}.xml", voc(boxes))
    return path


def prepare(output: Path, wheel: Path, **settings) -> list[str]:
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    settings = {"tile": TILE, "sha256": sha256, "sources": SOURCES, **settings}
    return prepare_trees(output, wheel, **settings)


@pytest.fixture(scope="module")
def made(wheel, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("out") / "trees"
    prepare(output, wheel)
    return output


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


def placed(image: dict) -> tuple[str, int, int]:
    """Photograph and corner of a tile, from its file name."""
    name, x, y = Path(image["file_name"]).stem.split("_")
    return name, int(x[1:]), int(y[1:])


def crowns(dataset: dict) -> set[int]:
    return {a["crown_id"] for a in dataset["annotations"]}


def test_tiles_show_the_photograph_where_their_names_say(made):
    for name, folder in (("train_full", "train"), ("val", "val"), ("across_val", "across_val")):
        images = read(made, f"{name}.json")["images"]
        assert {path.name for path in (made / folder).iterdir()} == {
            image["file_name"] for image in images
        }
        for image in images:
            source, x, y = placed(image)
            with Image.open(made / folder / image["file_name"]) as tile:
                pixels = np.asarray(tile)
            assert (pixels == photograph(source)[y : y + TILE, x : x + TILE]).all()
            assert (image["width"], image["height"]) == (TILE, TILE)


def test_tiles_are_laid_as_stated(made):
    def corners(name: str, photo: str) -> set[tuple[int, int]]:
        return {
            (x, y) for source, x, y in map(placed, read(made, name)["images"]) if source == photo
        }

    # "near": the straddling crown reaches from 380 to 430, "far" has none
    assert corners("train_full.json", "near") == {
        (x, y) for x in (0, 64, 128, 192, 252) for y in (0, 64, 128, 192, 256, 272)
    }
    assert corners("train_full.json", "far") == {
        (x, y) for x in (0, 64, 128, 192, 256, 272) for y in (0, 64, 128, 172)
    }
    assert corners("val.json", "near") == {(430, 0), (430, 128), (430, 256)}
    assert corners("val.json", "far") == {(400, 0), (400, 128)}
    assert corners("across_val.json", "far") == {
        (x, y) for x in (0, 128, 256, 384) for y in (0, 128)
    }
    assert {i["photograph"] for i in read(made, "across_train_full.json")["images"]} == {"near"}
    assert {i["photograph"] for i in read(made, "across_val.json")["images"]} == {"far"}


def test_no_crown_is_in_both_train_and_val(made):
    train, val = crowns(read(made, "train_full.json")), crowns(read(made, "val.json"))
    straddling = 1 + BOXES["near"].index(STRADDLING)
    assert train.isdisjoint(val)
    assert straddling not in train | val
    assert train == {1, 2, 3, 4, 5, 6, 7, 11, 12, 13}
    assert val == {9, 10, 14}


def test_no_tile_shows_a_straddling_crown(made):
    x0, _, x1, _ = STRADDLING
    for name in ("train_full.json", "val.json"):
        for source, x, _ in map(placed, read(made, name)["images"]):
            assert source == "far" or x + TILE <= x0 or x >= x1


def test_boxes_are_clipped_and_less_than_half_is_a_crowd(made):
    dataset = read(made, "train_full.json")
    tiles = {image["id"]: placed(image) for image in dataset["images"]}
    shown = {
        tiles[a["image_id"]]: (a["bbox"], a["area"], a["iscrowd"])
        for a in dataset["annotations"]
        if a["crown_id"] == 4  # (115, 30, 145, 60)
    }
    assert shown == {
        ("near", 0, 0): ([115, 30, 13, 30], 390, 1),
        ("near", 64, 0): ([51, 30, 30, 30], 900, 0),
        ("near", 128, 0): ([0, 30, 17, 30], 510, 0),
    }


@pytest.mark.parametrize("protocol", ["hard", "extreme"])
def test_overlapping_tiles_agree_which_crowns_are_annotated(made, protocol):
    for name in ("train", "across_train"):
        full = read(made, f"{name}_full.json")
        sparse = read(made, f"{name}_{protocol}.json")
        kept = crowns(sparse)
        assert sparse["images"] == full["images"]
        assert sparse["annotations"] == [a for a in full["annotations"] if a["crown_id"] in kept]


def test_protocols_apply_to_the_cells_of_the_photographs(made):
    cells = [{1, 2, 3}, {4}, {5}, {6}, {7}, {11, 12, 13}]  # by the centres, cells of 128 px
    kept = {name: crowns(read(made, f"train_{name}.json")) for name in ("hard", "extreme")}
    assert [len(cell & kept["hard"]) for cell in cells] == [2, 1, 1, 1, 1, 2]
    assert [len(cell & kept["extreme"]) for cell in cells] == [1, 1, 1, 1, 1, 1]
    near = set().union(*cells[:5])
    assert crowns(read(made, "across_train_hard.json")) == kept["hard"] & near


@pytest.mark.parametrize("seed", range(6))
def test_crowns_that_can_not_be_kept_take_no_place(seed):
    """The first of two crowns of a cell is no candidate, say as it lies across the split."""
    boxes = np.array([[0, 0, 9, 9], [20, 20, 29, 29]])
    photograph = Photograph("near", None, boxes, np.array([1, 2]), SPLIT)
    assert trees.choose_crowns([photograph], {2}, TILE, "extreme", seed) == {2}


def test_files_load_as_coco_and_record_where_they_come_from(made):
    for path in made.glob("*.json"):
        if path.name != "recipe.json":
            coco = COCO(path)
            assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["tree"]
            assert coco.dataset["info"]["source"] == "deepforest==2.1.0"
    record = read(made, "train_extreme.json")["info"]["sparse"]
    assert (record["protocol"], record["seed"]) == ("extreme", 0)
    assert record["input"] == "train_full.json"


def test_same_bytes_again_and_another_seed_chooses_others(wheel, made, tmp_path):
    def contents(folder: Path) -> dict[Path, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder): path.read_bytes() for path in files}

    prepare(tmp_path / "again", wheel)
    assert contents(tmp_path / "again") == contents(made)
    chosen = set()
    for seed in range(5):
        prepare(tmp_path / f"seed{seed}", wheel, seed=seed)
        chosen.add(frozenset(crowns(read(tmp_path / f"seed{seed}", "train_extreme.json"))))
    assert len(chosen) > 1


def test_complete_folder_needs_no_wheel(made, wheel):
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lines = prepare_trees(made, Path("gone"), tile=TILE, sha256=sha256, sources=SOURCES)
    assert lines == [f"{made} is complete already: nothing to do"]


@pytest.mark.parametrize(
    ("settings", "difference"),
    [({"seed": 1}, "seed 0 in place of 1"), ({"tile": 64}, "tile 128 in place of 64")],
)
def test_folder_of_other_settings_is_refused(made, wheel, settings, difference):
    with pytest.raises(InputError, match=rf"with other settings \({difference}\): name another"):
        prepare(made, wheel, **settings)


def test_unlabelled_tiles_stay(made):
    dataset = read(made, "train_extreme.json")
    assert {i["id"] for i in dataset["images"]} > {a["image_id"] for a in dataset["annotations"]}


def test_wheel_with_another_hash_is_refused(wheel, tmp_path):
    with pytest.raises(InputError, match=r"pkg-1-py3-none-any\.whl: sha256 is .* expected 8c27"):
        prepare(tmp_path / "trees", wheel, sha256=SHA256)
    assert not any(tmp_path.iterdir())


def test_missing_wheel_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        prepare_trees(tmp_path / "trees", tmp_path / "gone.whl")


def test_no_network_is_told_with_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # pip then behaves as without any index
    with pytest.raises(
        InputError, match=r"pip couldn't download deepforest==2\.1\.0.*\n.*--source"
    ):
        prepare_trees(tmp_path / "trees")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("tile", [0, 31, 129])
def test_bad_tile_size_is_refused(tile, tmp_path):
    with pytest.raises(InputError, match=f"--tile {tile}"):
        prepare_trees(tmp_path / "trees", tile=tile)


def test_tile_larger_than_a_region_is_refused(wheel, tmp_path):
    with pytest.raises(InputError, match="too large"):
        prepare(tmp_path / "trees", wheel, tile=256)
    assert not any(tmp_path.iterdir())


def test_command_takes_tile_and_seed(wheel, tmp_path, monkeypatch, command_line):
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    ours = functools.partial(prepare_trees, sha256=sha256, sources=SOURCES)
    monkeypatch.setitem(PREPARERS, "trees", ours)
    words = ["--output", tmp_path / "trees", "--tile", 64, "--seed", 5, "--source", wheel]
    done = command_line("prepare", "trees", *words)
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 8  # a line for each annotation file
    for name in ("train", "across_train"):
        dataset = read(tmp_path / "trees", f"{name}_hard.json")
        assert {image["width"] for image in dataset["images"]} == {64}
        assert dataset["info"]["sparse"]["seed"] == 5
