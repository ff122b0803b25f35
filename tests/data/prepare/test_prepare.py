"""The preparers on small folders laid out like the repositories."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from comining.annotations.withheld import withheld_annotations
from comining.data.prepare import (
    PREPARERS,
    prepare_blood_cells,
    prepare_blood_cells_2017,
    prepare_circuits,
    prepare_nuclei,
)
from comining.data.prepare.blood_cells import BCCD, OLDER
from comining.data.prepare.circuits import DEEP_PCB
from comining.data.prepare.matching import same_objects
from comining.data.prepare.nuclei import FIXES
from comining.data.prepare.repository import Repository, digest, used_files
from comining.errors import InputError


def pinned(repository: Repository, folder: Path) -> Repository:
    """The repository as if its files were those of the folder."""
    files = used_files(folder, repository.pattern)
    return replace(repository, num_files=len(files), sha256=digest(files))


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def boxes(coco: dict) -> dict[str, list[tuple[str, list[int]]]]:
    """By file name: category name and bbox of its annotations."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    return {
        image["file_name"]: [
            (names[a["category_id"]], a["bbox"])
            for a in coco["annotations"]
            if a["image_id"] == image["id"]
        ]
        for image in coco["images"]
    }


def write_voc(path: Path, objects, size=(64, 48)) -> None:
    sides = ("xmin", "ymin", "xmax", "ymax")
    text = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, box, strict=True))
        + "</bndbox></object>"
        for name, *box in objects
    )
    size = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation>{size}{text}</annotation>")


def write_image(path: Path, size=(64, 48), mode="RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


CELLS = {
    "a": [("RBC", 1, 2, 21, 22), ("WBC", 30, 5, 64, 48), ("RBC", 40, 2, 50, 12)],
    "b": [("RBC", 5, 5, 15, 15), ("Platelets", 20, 20, 20, 20)],
    "c": [("WBC", 3, 4, 13, 24)],
    "BloodImage_00059": [("RBC", 0, 0, 9, 9)],
}
OLDER_CELLS = {
    "a": [("RBC", 50, 30, 60, 40), ("RBC", 2, 2, 22, 22)],  # the first only here; (40, 2) forgotten
    "c": [],
    "BloodImage_00059": [],
}


@pytest.fixture(scope="module")
def blood(tmp_path_factory) -> Path:
    """A folder with both repositories of blood cells."""
    folder = tmp_path_factory.mktemp("blood")
    bccd = folder / "BCCD_Dataset" / "BCCD"
    for name, objects in CELLS.items():
        write_voc(bccd / "Annotations" / f"{name}.xml", objects)
        write_image(bccd / "JPEGImages" / f"{name}.jpg")
    lists = bccd / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, names in {"train": "b\na\n", "val": "c\n", "test": "BloodImage_00059\n"}.items():
        (lists / f"{split}.txt").write_text(names)
    for name, objects in OLDER_CELLS.items():
        write_voc(folder / "dataset" / "Annotations" / f"{name}.xml", objects)
    (folder / "BCCD_Dataset" / "README.md").write_text("not used")
    return folder


@pytest.fixture(scope="module")
def bccd(blood) -> Repository:
    return pinned(BCCD, blood / "BCCD_Dataset")


class TestBloodCells:
    def test_official_split_and_boxes(self, blood, bccd, tmp_path):
        output = tmp_path / "cells"
        lines = prepare_blood_cells(output, blood / "BCCD_Dataset", repository=bccd)
        assert boxes(read(output / "train.json")) == {
            "a.jpg": [
                ("RBC", [1, 2, 20, 20]),
                ("WBC", [30, 5, 34, 43]),
                ("RBC", [40, 2, 10, 10]),
            ],
            "b.jpg": [("RBC", [5, 5, 10, 10])],
        }
        assert boxes(read(output / "val.json")) == {"c.jpg": [("WBC", [3, 4, 10, 20])]}
        for name in ("test.json", "val_revised.json"):
            assert boxes(read(output / name)) == {"BloodImage_00059.jpg": [("RBC", [0, 0, 9, 9])]}
        assert lines[0].startswith("train.json ")
        assert lines[0].endswith(
            " 2 images      4 boxes (RBC 3, WBC 1, Platelets 0), 1 without extent left out"
        )
        for name in CELLS:
            source = blood / "BCCD_Dataset/BCCD/JPEGImages" / f"{name}.jpg"
            assert (output / "images" / f"{name}.jpg").read_bytes() == source.read_bytes()
        info = COCO(output / "train.json").dataset["info"]
        assert (info["commit"], info["licence"][:3]) == (BCCD.commit, "MIT")

    def test_one_category_keeps_the_images_without_it(self, blood, bccd, tmp_path):
        prepare_blood_cells(tmp_path / "out", blood, category="WBC", repository=bccd)
        train = read(tmp_path / "out" / "train.json")
        assert train["categories"] == [{"id": 1, "name": "WBC"}]
        assert boxes(train) == {"a.jpg": [("WBC", [30, 5, 34, 43])], "b.jpg": []}

    def test_unknown_category(self, tmp_path):
        with pytest.raises(InputError, match="no category 'rbc': choose one of RBC, WBC, Plat"):
            prepare_blood_cells(tmp_path / "out", category="rbc")

    def test_older_version_is_a_sparse_version_of_the_later_one(self, blood, bccd, tmp_path):
        output = tmp_path / "out"
        older = pinned(OLDER, blood / "dataset")
        prepare_blood_cells_2017(output, blood, repositories=(older, bccd))
        full = read(output / "all_full.json")
        assert boxes(full) == {
            "a.jpg": [("RBC", [1, 2, 20, 20]), ("RBC", [40, 2, 10, 10])],
            "c.jpg": [],
            "BloodImage_00059.jpg": [("RBC", [0, 0, 9, 9])],
        }
        old = read(output / "all.json")
        assert {a["id"]: a["bbox"] for a in old["annotations"]} == {
            2: [2, 2, 20, 20],  # the same cell as the later annotation 2
            4: [50, 30, 10, 10],
        }
        withheld = withheld_annotations(old, output / "all_full.json")
        assert {image: [a["id"] for a in found] for image, found in withheld.items()} == {
            1: [1],
            2: [3],
        }
        assert list(boxes(read(output / "revised.json"))) == ["BloodImage_00059.jpg"]
        assert len(read(output / "revised_full.json")["annotations"]) == 1
        assert list(boxes(read(output / "val_revised.json"))) == ["BloodImage_00059.jpg"]
        assert list(boxes(read(output / "train.json"))) == ["a.jpg"]
        assert boxes(read(output / "val.json")) == {"c.jpg": []}
        assert {path.name for path in (output / "images").iterdir()} == {
            f"{name}.jpg" for name in OLDER_CELLS
        }


class TestSameObjects:
    def test_one_to_one_and_best_first(self):
        def annotation(id_, x, category_id=1):
            return {"id": id_, "image_id": 1, "category_id": category_id, "bbox": [x, 0, 10, 10]}

        some = [annotation(1, 0), annotation(2, 1), annotation(3, 50), annotation(4, 80)]
        others = [annotation(11, 1), annotation(12, 3), annotation(13, 50, 2), annotation(14, 84)]
        # 1 and 11 overlap by 9/11, 2 and 11 are equal, 1 and 12 overlap by 7/13, 4 and 14 by 6/14
        assert same_objects(some, others) == {2: 11, 1: 12}


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> Path:
    """Eleven images of 20x10 and one of 40x30; each has a nucleus, the first an empty mask too."""
    folder = tmp_path_factory.mktemp("slides")
    for index in range(12):
        size = (40, 30) if index == 11 else (20, 10)
        home = folder / "stage1_train" / f"{index:02}"
        write_image(home / "images" / f"{index:02}.png", size, "RGBA")
        (home / "masks").mkdir()
        mask = np.zeros(size[::-1], np.uint8)
        if index == 0:
            Image.fromarray(mask).save(home / "masks" / "empty.png")
        mask[3:7, 2:12] = 255
        Image.fromarray(mask).save(home / "masks" / "m-1.png")
    return folder


class TestNuclei:
    def test_boxes_of_masks_and_a_fifth_for_validation(self, slides, tmp_path):
        output = tmp_path / "nuclei"
        prepare_nuclei(output, slides, repository=pinned(FIXES, slides))
        train, val = (boxes(read(output / f"{split}.json")) for split in ("train", "val"))
        assert list(val) == ["00.png", "01.png"]
        assert list(train) == [f"{index:02}.png" for index in range(2, 12)]
        assert all(found == [("nucleus", [2, 3, 10, 4])] for found in (train | val).values())
        with Image.open(output / "images" / "11.png") as image:
            assert (image.mode, image.size) == ("RGB", (40, 30))
            with Image.open(slides / "stage1_train/11/images/11.png") as source:
                assert image.tobytes() == source.convert("RGB").tobytes()

    def test_largest_size(self, slides, tmp_path):
        repository = pinned(FIXES, slides)
        prepare_nuclei(tmp_path / "small", slides, max_size=20, repository=repository)
        assert len(list((tmp_path / "small" / "images").iterdir())) == 11
        with pytest.raises(InputError, match="no image has edges of 19 pixels or less"):
            prepare_nuclei(tmp_path / "none", slides, max_size=19, repository=repository)
        assert not (tmp_path / "none").exists()


@pytest.fixture
def boards(tmp_path) -> Path:
    folder = tmp_path / "DeepPCB"
    data = folder / "PCBData"
    for name, text in {"001": "1 2 11 22 3\n5 5 6 9 6\n", "002": "\n", "003": "0 0 4 4 1"}.items():
        write_image(data / f"group9/9/{name}_test.jpg", (30, 30), "L")
        write_image(data / f"group9/9/{name}_temp.jpg", (30, 30), "L")
        (data / "group9/9_not").mkdir(exist_ok=True)
        (data / f"group9/9_not/{name}.txt").write_text(text)
    for name, ids in {"trainval": ("001", "002"), "test": ("003",)}.items():
        lines = [f"group9/9/{id_}.jpg group9/9_not/{id_}.txt\n" for id_ in ids]
        (data / f"{name}.txt").write_text("".join(lines))
    return folder


class TestCircuits:
    def test_official_split_boxes_and_restriction(self, boards, tmp_path):
        output = tmp_path / "circuits"
        lines = prepare_circuits(output, boards, repository=pinned(DEEP_PCB, boards))
        assert boxes(read(output / "train.json")) == {
            "001_test.jpg": [("mousebite", [1, 2, 10, 20]), ("pin-hole", [5, 5, 1, 4])],
            "002_test.jpg": [],
        }
        assert boxes(read(output / "val.json")) == {"003_test.jpg": [("open", [0, 0, 4, 4])]}
        assert "research purpose only" in lines[-1]
        assert "research purpose only" in read(output / "val.json")["info"]["licence"]
        assert len(list((output / "images").iterdir())) == 3

    @pytest.mark.parametrize("line", ["1 2 3 4 7", "1 2 3 4", "1 2 3 4 0"])
    def test_line_that_is_no_defect(self, boards, tmp_path, line):
        (boards / "PCBData/group9/9_not/003.txt").write_text(line)
        with pytest.raises(InputError, match=rf"003\.txt: not a defect: {line}"):
            prepare_circuits(tmp_path / "out", boards, repository=pinned(DEEP_PCB, boards))


def archive(folder: Path, repository: Repository, site: Path, extra: str = "x") -> Repository:
    """Pack a folder the way GitHub does and give the repository that is downloaded from there."""
    path = site / repository.name / "tar.gz" / repository.commit
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname="name-commit")
        info = tarfile.TarInfo(f"name-commit/{extra}")
        tar.addfile(info, io.BytesIO())
    return replace(repository, site=site.as_uri())


class TestFiles:
    def test_digest_is_that_of_the_list_of_git(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "b.txt").write_bytes(b"hello\n")
        # printf 'hello\n' | git hash-object --stdin
        # printf 'ce013625030ba8dba906f756967f9e9ca394464a a/b.txt\n' | sha256sum
        assert digest(used_files(tmp_path, r"a/\w+\.txt")) == (
            "360cdcfa37fb0be2de1f4597dd9e819e2bb01ce57a5d6e818b3ec1d577410bb5"
        )

    def test_download(self, blood, bccd, tmp_path):
        remote = archive(blood / "BCCD_Dataset", bccd, tmp_path / "site")
        prepare_blood_cells(tmp_path / "down", repository=remote)
        prepare_blood_cells(tmp_path / "local", blood, repository=bccd)
        for name in ("train.json", "images/a.jpg", "recipe.json"):
            assert (tmp_path / "down" / name).read_bytes() == (
                tmp_path / "local" / name
            ).read_bytes()

    def test_complete_folder_needs_no_source(self, blood, bccd, tmp_path):
        prepare_blood_cells(tmp_path / "out", blood, repository=bccd)
        lines = prepare_blood_cells(tmp_path / "out", Path("gone"), repository=bccd)
        assert lines == [f"{tmp_path / 'out'} is complete already: nothing to do"]
        with pytest.raises(InputError, match="category None in place of RBC"):
            prepare_blood_cells(tmp_path / "out", blood, category="RBC", repository=bccd)

    def test_no_network_is_told_with_a_way_out(self, bccd, tmp_path):
        remote = replace(bccd, site=(tmp_path / "nowhere").as_uri())
        with pytest.raises(InputError, match=r"can't be downloaded: .*\n.*git clone.*--source"):
            prepare_blood_cells(tmp_path / "out", repository=remote)
        assert not any(tmp_path.iterdir())

    def test_both_checkouts_are_named_where_two_are_needed(self, bccd, tmp_path):
        older = replace(OLDER, site=(tmp_path / "nowhere").as_uri())
        with pytest.raises(InputError) as error:
            prepare_blood_cells_2017(tmp_path / "out", repositories=(older, bccd))
        for repository in (older, bccd):
            assert f"git clone https://github.com/{repository.name}`" in str(error.value)
        where = (
            "name with --source a folder that holds dataset and BCCD_Dataset, a checkout of each"
        )
        assert str(error.value).endswith(where)
        (tmp_path / "dataset").mkdir()
        with pytest.raises(InputError, match=where):
            prepare_blood_cells_2017(tmp_path / "out", tmp_path, repositories=(older, bccd))

    def test_download_that_is_no_archive(self, blood, bccd, tmp_path):
        remote = archive(blood / "BCCD_Dataset", bccd, tmp_path / "site")
        path = next((tmp_path / "site").rglob(BCCD.commit))
        path.write_bytes(path.read_bytes()[:700])
        with pytest.raises(InputError, match="can't be downloaded"):
            prepare_blood_cells(tmp_path / "out", repository=remote)

    def test_archive_cannot_write_elsewhere(self, blood, bccd, tmp_path):
        open_pattern = replace(bccd, pattern=r".*")
        remote = archive(
            blood / "BCCD_Dataset", open_pattern, tmp_path / "site", "../../../../escaped"
        )
        with pytest.raises(InputError, match="bad path name-commit/"):
            prepare_blood_cells(tmp_path / "out", repository=remote)

    @pytest.mark.parametrize("name", ["blood-cells", "blood-cells-2017", "nuclei", "circuits"])
    def test_wrong_folder_is_refused_with_the_commit(self, name, tmp_path):
        prepare = PREPARERS[name]
        with pytest.raises(
            InputError, match=r"holds 0 files .* has \d+; take .* at commit [0-9a-f]{40}"
        ):
            prepare(tmp_path / "out", tmp_path)
        with pytest.raises(InputError, match="no such folder"):
            prepare(tmp_path / "out", tmp_path / "gone")
        assert not (tmp_path / "out").exists()

    def test_changed_file_is_refused(self, boards, tmp_path):
        repository = pinned(DEEP_PCB, boards)
        (boards / "PCBData/group9/9_not/003.txt").write_text("0 0 4 5 1")
        with pytest.raises(InputError, match="the files differ from those of tangsanli5201"):
            prepare_circuits(tmp_path / "out", boards, repository=repository)

    def test_surplus_file_is_refused(self, boards, tmp_path):
        repository = pinned(DEEP_PCB, boards)
        (boards / "PCBData/group9/9_not/004.txt").write_text("0 0 4 5 1")
        with pytest.raises(InputError, match=r"holds 9 files .*DeepPCB has 8"):
            prepare_circuits(tmp_path / "out", boards, repository=repository)
