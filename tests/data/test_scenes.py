import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from comining.data import scene_drawing, scenes
from comining.data.scene_drawing import CLASSES, render_scene
from comining.data.scenes import scene_rng, write_scenes
from comining.errors import InputError

SEEDS = range(25)


def file_hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "set"
    assert write_scenes(root, train=6, val=3, seed=4)
    return root


@pytest.mark.parametrize("size", [96, 128, 160])
def test_number_sizes_and_overlap_are_as_promised(size):
    for seed in SEEDS:
        image, boxes, classes = render_scene(np.random.default_rng(seed), size)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert 6 <= len(boxes) == len(classes) <= 10
        assert boxes.min() >= 0
        assert boxes.max() <= size
        assert set(classes.tolist()) <= set(range(6))
        longer_side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        assert longer_side.min() >= 18
        assert longer_side.max() <= 50
        for i in range(len(boxes)):
            for j in range(i):
                assert shared_share(boxes[i], boxes[j]) <= 0.3


def shared_share(box1, box2) -> float:
    """Intersection over the smaller area, by counting pixels."""
    drawn = np.zeros((2, 200, 200), dtype=bool)
    for plane, (x0, y0, x1, y1) in zip(drawn, (box1.astype(int), box2.astype(int)), strict=True):
        plane[y0:y1, x0:x1] = True
    return (drawn[0] & drawn[1]).sum() / drawn.sum(axis=(1, 2)).min()


def test_boxes_are_tight_around_what_is_drawn():
    num_checked = 0
    for seed in SEEDS:
        image, boxes, _ = render_scene(np.random.default_rng(seed), 128)
        background = scene_drawing._background(np.random.default_rng(seed), 128).round()
        drawn = (image != background).any(axis=2)
        outside = drawn.copy()
        for x0, y0, x1, y1 in boxes.astype(int):
            outside[y0:y1, x0:x1] = False
        assert not outside.any()
        for i, (x0, y0, x1, y1) in enumerate(boxes.astype(int)):
            alone = all(shared_share(boxes[i], other) == 0 for other in np.delete(boxes, i, 0))
            if alone:
                shape = drawn[y0:y1, x0:x1]
                edges = (shape[0], shape[-1], shape[:, 0], shape[:, -1])
                assert all(edge.any() for edge in edges)
                num_checked += 1
    assert num_checked > 20


def test_every_class_occurs_and_has_its_own_outline_and_texture():
    found = [render_scene(np.random.default_rng(seed), 128)[2] for seed in SEEDS]
    assert set(np.concatenate(found).tolist()) == set(range(len(CLASSES)))
    assert len({kind.texture for kind in CLASSES}) == len(CLASSES)
    assert len({kind.name for kind in CLASSES}) == len(CLASSES)


def test_too_small_scene_is_refused():
    with pytest.raises(InputError, match="at least 96"):
        render_scene(np.random.default_rng(0), 95)


def test_any_image_can_be_made_alone(written):
    for split, index in (("train", 5), ("val", 2), ("train", 0)):
        image, boxes, classes = render_scene(scene_rng(4, split, index), 128)
        with Image.open(written / split / f"{index:06d}.png") as file:
            assert (np.asarray(file) == image).all()
        name = "train_full.json" if split == "train" else "val.json"
        annotations = json.loads((written / name).read_text())["annotations"]
        mine = [a for a in annotations if a["image_id"] == index + 1]
        assert [a["category_id"] - 1 for a in mine] == classes.tolist()
        x, y, w, h = np.array([a["bbox"] for a in mine]).T
        assert (np.stack([x, y, x + w, y + h], axis=1) == boxes).all()


def test_images_differ():
    image = render_scene(scene_rng(0, "train", 0))[0]
    for other in ((1, "train", 0), (0, "val", 0), (0, "train", 1)):
        assert (render_scene(scene_rng(*other))[0] != image).any()


def test_same_parameters_give_the_same_bytes(written, tmp_path):
    write_scenes(tmp_path / "again", train=6, val=3, seed=4)
    assert file_hashes(tmp_path / "again") == file_hashes(written)


def test_files_load_as_coco_and_sparse_ones_keep_what_their_protocol_says(written):
    full = COCO(written / "train_full.json")
    assert len(full.imgs) == 6
    assert len(COCO(written / "val.json").imgs) == 3
    assert [c["name"] for c in full.loadCats(full.getCatIds())] == [c.name for c in CLASSES]
    sparse = {
        name: COCO(written / f"train_{name}.json")
        for name in ("easy", "hard", "extreme", "keep1", "miss50")
    }
    for image_id, annotations in full.imgToAnns.items():
        number = len(annotations)
        assert len(sparse["easy"].imgToAnns[image_id]) == number - 1
        assert len(sparse["hard"].imgToAnns[image_id]) == number - number // 2
        assert len(sparse["extreme"].imgToAnns[image_id]) == 1
        kept_classes = sorted(a["category_id"] for a in sparse["keep1"].imgToAnns[image_id])
        assert kept_classes == sorted({a["category_id"] for a in annotations})
    for coco in sparse.values():
        assert len(coco.imgs) == 6
        assert all(full.anns[id_] == annotation for id_, annotation in coco.anns.items())
    for category_id, image_ids in full.catToImgs.items():
        number = len(image_ids)  # an entry for each annotation
        assert len(sparse["miss50"].catToImgs[category_id]) == number - number // 2


def test_complete_folder_is_left_alone(tmp_path):
    write_scenes(tmp_path / "set", train=1, val=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    assert not write_scenes(tmp_path / "set", train=1, val=1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")} == before


def test_scenes_of_other_parameters_are_refused_and_untouched(tmp_path):
    write_scenes(tmp_path / "set", train=1, val=1)
    (tmp_path / "set" / "completed.json").write_text("mine")
    before = file_hashes(tmp_path)
    with pytest.raises(InputError, match=r"\(train 1 in place of 2, seed 0 in place of 1\): name"):
        write_scenes(tmp_path / "set", train=2, val=1, seed=1)
    assert file_hashes(tmp_path) == before
    assert not write_scenes(tmp_path / "set", train=1, val=1)


@pytest.mark.parametrize("recipe", [b"[1]", b"\xff", b'{"made_by": "another"}'])
def test_folder_of_something_else_is_refused(tmp_path, recipe):
    (tmp_path / "recipe.json").write_bytes(recipe)
    with pytest.raises(InputError, match=r"make_scenes didn't make it: name another"):
        write_scenes(tmp_path, train=1, val=1)


def test_failure_leaves_no_remains(tmp_path, monkeypatch):
    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(scenes, "make_sparse", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_scenes(tmp_path / "set", train=2, val=1)
    assert not any(tmp_path.iterdir())


def test_empty_folder_is_filled_also_behind_a_link(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    assert write_scenes(tmp_path / "link", train=1, val=1)
    assert (tmp_path / "empty" / "val.json").is_file()


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=rf"{tmp_path}/file/set can't be made"):
        write_scenes(tmp_path / "file" / "set", train=1, val=1)


def test_foreign_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="another output folder"):
        write_scenes(tmp_path, train=1, val=1)
    assert file_hashes(tmp_path).keys() == {"precious.txt"}


@pytest.mark.parametrize(("name", "value"), [("train", 0), ("val", 0), ("size", 95), ("seed", -1)])
def test_parameter_out_of_range_is_refused(name, value, tmp_path):
    with pytest.raises(InputError, match=f"{name} {value}: must be at least"):
        write_scenes(tmp_path / "set", **{name: value})
    assert not any(tmp_path.iterdir())
