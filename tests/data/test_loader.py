"""Training batches: their order, their randomness, images that can't be read."""

import json
import shutil
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper, detection_utils
from detectron2.data import transforms as T
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from comining.data import (
    TrainLoader,
    build_train_loader,
    load_datasets,
    register_coco,
    register_from_config,
)
from comining.errors import InputError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve images, every third one tall."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    records = []
    for number in range(12):
        width, height = (24, 32) if number % 3 == 0 else (32, 24)
        path = folder / f"{number}.png"
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        records.append(
            {
                "file_name": str(path),
                "image_id": number,
                "width": width,
                "height": height,
                "annotations": [],
            }
        )
    return records


def make_loader(images, sampler=None, **settings):
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[T.RandomFlip(), T.RandomBrightness(0.5, 1.5)],
        image_format="BGR",
    )
    settings = {"batch_size": 2, "seed": 3, "aspect_ratio_grouping": True, **settings}
    sampler = sampler or TrainingSampler(len(images), seed=3)
    return TrainLoader(images, mapper, sampler, **settings)


def ids(batches):
    return [[item["image_id"] for item in batch] for batch in batches]


def assert_same(batches, others):
    assert ids(batches) == ids(others)
    for batch, other in zip(batches, others, strict=True):
        for item, same in zip(batch, other, strict=True):
            assert torch.equal(item["image"], same["image"])


def test_batches_do_not_depend_on_the_number_of_workers(images):
    batches = list(islice(make_loader(images), 9))
    for num_workers in (1, 2):
        assert_same(list(islice(make_loader(images, num_workers=num_workers), 9)), batches)


@pytest.mark.parametrize("grouping", [True, False])
def test_any_batch_can_be_the_first(images, grouping):
    settings = {"aspect_ratio_grouping": grouping}
    batches = list(islice(make_loader(images, **settings), 12))
    for start in (1, 7):
        loader = make_loader(images, num_workers=1, **settings)
        assert_same(list(islice(loader.starting_at(start), 12 - start)), batches[start:])


def test_what_others_draw_does_not_matter_and_they_do_not_notice(images):
    batches = list(islice(make_loader(images), 4))
    np.random.seed(5)
    torch.manual_seed(5)
    expected = np.random.rand(), torch.rand(())
    np.random.seed(5)
    torch.manual_seed(5)
    assert_same(list(islice(make_loader(images), 4)), batches)
    assert (np.random.rand(), torch.rand(())) == expected


def test_augmentation_changes_with_seed_and_epoch(images):
    first, second = (
        {item["image_id"]: item["image"] for batch in batches for item in batch}
        for batches in (
            islice(make_loader(images, batch_size=1), 12),
            islice(make_loader(images, batch_size=1).starting_at(12), 12),
        )
    )
    assert first.keys() == second.keys() == set(range(12))
    assert not any(torch.equal(first[number], second[number]) for number in first)
    other = next(iter(make_loader(images, seed=4)))
    assert not torch.equal(other[0]["image"], next(iter(make_loader(images)))[0]["image"])


def test_processes_augment_on_their_own(images, monkeypatch):
    def batch_of(rank):
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        (batch,) = make_loader(images, range(6), batch_size=6, aspect_ratio_grouping=False)
        return batch

    first, other = batch_of(0), batch_of(1)
    assert ids([first]) == ids([other]) == [list(range(6))]
    for item, same in zip(first, other, strict=True):
        assert not torch.equal(item["image"], same["image"])


def test_every_image_once_per_epoch(images):
    batches = ids(islice(make_loader(images, batch_size=4, aspect_ratio_grouping=False), 6))
    for epoch in (batches[:3], batches[3:]):
        assert sorted(number for batch in epoch for number in batch) == list(range(12))
    assert batches[:3] != batches[3:]


def test_orientations_are_not_mixed(images):
    batches = ids(islice(make_loader(images, batch_size=3), 40))
    assert all(len({number % 3 == 0 for number in batch}) == 1 for batch in batches)
    counts = Counter(number for batch in batches for number in batch)
    assert set(counts) == set(range(12))
    assert max(counts.values()) - min(counts.values()) <= 2


def damage(images, tmp_path, **content):
    """The images with some files replaced; None takes a file away."""
    damaged = [dict(image) for image in images]
    for number, data in content.items():
        path = tmp_path / f"{number}.png"
        if data is not None:
            path.write_bytes(data)
        damaged[int(number[1:])]["file_name"] = str(path)
    return damaged


@pytest.mark.parametrize("num_workers", [0, 2])
def test_unreadable_images_are_replaced_with_a_warning(images, num_workers, tmp_path, caplog):
    good = Path(images[4]["file_name"]).read_bytes()
    damaged = damage(images, tmp_path, _4=good[: len(good) // 2], _5=None, _8=b"no image")
    batches = list(islice(make_loader(damaged, max_unreadable=3, num_workers=num_workers), 18))
    expected = list(islice(make_loader(images), 18))
    # The next one of the same orientation steps in; nothing else changes.
    instead = {4: 7, 5: 7, 8: 10}
    assert ids(batches) == [[instead.get(i, i) for i in batch] for batch in ids(expected)]
    for batch, other in zip(batches, expected, strict=True):
        for item, same in zip(batch, other, strict=True):
            if same["image_id"] not in instead:
                assert torch.equal(item["image"], same["image"])
    assert len(caplog.messages) == 3  # once per image
    for name in ("_4.png", "_5.png", "_8.png"):
        assert sum(name in message for message in caplog.messages) == 1


@pytest.mark.parametrize("num_workers", [0, 1])
def test_too_many_unreadable_images_end_the_training(images, num_workers, tmp_path):
    damaged = damage(images, tmp_path, _4=None, _8=b"no image")
    loader = make_loader(damaged, max_unreadable=1, num_workers=num_workers)
    with pytest.raises(InputError, match=r"DATALOADER\.MAX_UNREADABLE") as error:
        list(islice(loader, 18))
    for name in ("_4.png", "_8.png"):
        assert str(tmp_path / name) in str(error.value)
    assert "Traceback" not in str(error.value)


def test_all_images_unreadable(images, tmp_path):
    damaged = damage(images, tmp_path, **{f"_{number}": None for number in range(12)})
    with pytest.raises(InputError, match="can't be read"):
        next(iter(make_loader(damaged, max_unreadable=10)))


def test_image_of_another_size_than_stated_is_not_used(images, caplog):
    wrong = [dict(image) for image in images]
    wrong[1]["width"] = 31
    batches = ids(islice(make_loader(wrong, max_unreadable=1), 12))
    assert all(1 not in batch for batch in batches)
    assert "1.png" in caplog.text


def test_other_errors_are_not_swallowed(images, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("a bug in an augmentation")

    monkeypatch.setattr(detection_utils, "read_image", fail)
    with pytest.raises(ValueError, match="a bug"):
        next(iter(make_loader(images, max_unreadable=9)))


def test_image_that_pillow_refuses_in_its_own_way(images, tmp_path, caplog):
    """Text that takes too much memory is a ValueError, like a bug in an augmentation."""
    text = PngInfo()
    text.add_text("comment", "x" * 5_000_000, zip=True)
    path = tmp_path / "wordy.png"
    Image.open(images[1]["file_name"]).save(path, pnginfo=text)
    wordy = [dict(image) for image in images]
    wordy[1]["file_name"] = str(path)
    batches = ids(islice(make_loader(wordy, max_unreadable=1), 12))
    assert all(1 not in batch for batch in batches)
    assert "wordy.png: Decompressed data too large" in caplog.text


class TestSkippingMapper:
    """detectron2 lets a mapper return None to skip an image."""

    def test_the_next_one_takes_its_place(self, images, caplog):
        def mapper(image):
            return None if image["image_id"] in (4, 5) else image

        sampler = [1, 4, 3, 0, 5, 2, 6, 9]
        loader = TrainLoader(images, mapper, sampler, batch_size=2, seed=0)
        assert ids(loader) == [[1, 7], [3, 0], [7, 2], [6, 9]]
        assert not caplog.messages

    def test_all_are_skipped(self, images):
        loader = TrainLoader(images, lambda image: None, [0, 1], batch_size=2, seed=0,
                             aspect_ratio_grouping=False)  # fmt: skip
        with pytest.raises(InputError, match="the mapper returns None for every image"):
            next(iter(loader))


class TestFromConfig:
    @pytest.fixture
    def cfg(self, own_config):
        register_from_config(own_config)
        return own_config

    def test_batches(self, cfg):
        batch = next(iter(build_train_loader(cfg)))
        assert len(batch) == 2
        assert {"image", "instances", "file_name"} <= set(batch[0])

    @pytest.mark.parametrize("wanted", [{}, {"sqrt": False}])
    def test_rare_categories_come_as_often_as_is_wanted(self, cfg, monkeypatch, wanted):
        """A key of newer detectron2s decides whether it is the root that counts."""
        asked = []

        def factors(dataset, thresh, **more):
            asked.append((thresh, more))
            return torch.ones(len(dataset))

        monkeypatch.setattr(
            RepeatFactorTrainingSampler,
            "repeat_factors_from_category_frequency",
            staticmethod(factors),
        )
        cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
        cfg.DATALOADER.REPEAT_THRESHOLD = 0.5
        if wanted:
            cfg.DATALOADER.REPEAT_SQRT = False
        build_train_loader(cfg)
        assert asked == [(0.5, wanted)]

    @pytest.mark.parametrize("sampler", ["TrainingSampler", "RepeatFactorTrainingSampler"])
    def test_seed_decides(self, cfg, sampler):
        cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATALOADER.REPEAT_THRESHOLD = sampler, 1.0

        def order(seed):
            cfg.SEED = seed
            return ids(islice(build_train_loader(cfg), 8))

        assert order(1) == order(1) != order(2)

    def test_images_of_rare_categories_come_more_often(self, cfg, own_data, tmp_path):
        """One of four images has a dog: it comes sqrt(1.0 / 0.25) = 2 times per epoch."""
        data = json.loads((own_data / "annotations.json").read_text())
        for x in data["annotations"]:
            x["category_id"] = 7 if x["image_id"] == 4 and x["category_id"] == 7 else 3
        (tmp_path / "rare.json").write_text(json.dumps(data))
        register_coco("rare", tmp_path / "rare.json", own_data / "images")
        cfg.merge_from_list(
            [
                "DATASETS.TRAIN", ["rare"],
                "DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler",
                "DATALOADER.REPEAT_THRESHOLD", 1.0,
                "SOLVER.IMS_PER_BATCH", 1,
            ]
        )  # fmt: skip
        counts = Counter(image for (image,) in ids(islice(build_train_loader(cfg), 10 * 5)))
        assert counts == {1: 10, 2: 10, 3: 10, 4: 20}

    def test_number_of_unreadable_images(self, cfg, own_data, tmp_path):
        shutil.copytree(own_data / "images", tmp_path / "images")
        (tmp_path / "images" / f"{1:012}.jpg").write_bytes(b"no image")
        register_coco("damaged", own_data / "annotations.json", tmp_path / "images")
        cfg.DATASETS.TRAIN = ["damaged"]
        cfg.DATALOADER.MAX_UNREADABLE = 1
        assert len(list(islice(build_train_loader(cfg), 4))) == 4
        cfg.DATALOADER.MAX_UNREADABLE = 0
        with pytest.raises(InputError, match=r"raise DATALOADER\.MAX_UNREADABLE:\n.*0001\.jpg"):
            list(islice(build_train_loader(cfg), 4))

    def test_number_of_workers_below_0(self, cfg):
        cfg.DATALOADER.NUM_WORKERS = -1
        with pytest.raises(InputError, match=r"DATALOADER\.NUM_WORKERS is -1; it must be at"):
            build_train_loader(cfg)

    def test_unknown_sampler(self, cfg):
        cfg.DATALOADER.SAMPLER_TRAIN = "Random"
        with pytest.raises(InputError, match=r"SAMPLER_TRAIN is 'Random'"):
            build_train_loader(cfg)

    def test_categories_of_several_data_sets(self, cfg, own_data, tmp_path):
        data = json.loads((own_data / "annotations.json").read_text())
        data["categories"][0]["name"] = "another"
        (tmp_path / "other.json").write_text(json.dumps(data))
        register_coco("other", tmp_path / "other.json", own_data / "images")
        cfg.DATASETS.TRAIN = (*cfg.DATASETS.TRAIN, "other")
        with pytest.raises(InputError, match=r"other\.json\) are not the same: number 1 .*another"):
            build_train_loader(cfg)

    @pytest.mark.parametrize("size", [0, -2])
    def test_batch_size(self, cfg, size):
        cfg.SOLVER.IMS_PER_BATCH = size
        with pytest.raises(InputError, match=f"IMS_PER_BATCH is {size};.*1, and at least that$"):
            build_train_loader(cfg)

    def test_images_without_size_cannot_be_grouped(self, images):
        nameless = [{"file_name": "a.jpg", "annotations": []}]
        with pytest.raises(InputError, match=r"a\.jpg .* set DATALOADER\.ASPECT_RATIO"):
            make_loader(nameless)
        make_loader(nameless, aspect_ratio_grouping=False)


def test_finished_images_without_objects_are_trained_on(tmp_path):
    """Where nothing is annotated, only what is known of all classes makes it a background."""
    box = {"bbox": [2, 2, 9, 9], "area": 81, "iscrowd": 0, "category_id": 1}
    known = [{}, {}, {"neg_category_ids": [1]}, {"neg_category_ids": [1, 2]}]
    known += [{"exhaustive_category_ids": "all"}, {"exhaustive_category_ids": [1]}]
    dataset = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": 24, "height": 24, **more}
            for number, more in enumerate(known)
        ],
        "annotations": [{"id": 1, "image_id": 0, **box}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (tmp_path / "known.json").write_text(json.dumps(dataset))
    for number in range(len(known)):
        Image.new("RGB", (24, 24)).save(tmp_path / f"{number}.png")
    register_coco("partly_finished", tmp_path / "known.json", tmp_path)
    records = load_datasets("partly_finished")
    assert [x["image_id"] for x in records] == [0, 3, 4]
    assert len(load_datasets(["partly_finished"], filter_empty=False)) == 6


def test_finished_means_all_registered_categories(tmp_path):
    """Also a category of which the file neither shows an object nor says anything."""
    box = {"bbox": [2, 2, 9, 9], "area": 81, "iscrowd": 0, "category_id": 1}
    size = {"width": 24, "height": 24}
    dataset = {
        "images": [
            {"id": 1, "file_name": "1.png", **size, "exhaustive_category_ids": [1]},
            *({"id": x, "file_name": f"{x}.png", **size} for x in (2, 3, 4)),
        ],
        "annotations": [{"id": x, "image_id": x, **box} for x in (1, 2, 3, 4)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }

    for number in (1, 2, 3, 4):
        Image.new("RGB", (24, 24)).save(tmp_path / f"{number}.png")

    def seen(name):
        (tmp_path / f"{name}.json").write_text(json.dumps(dataset))
        register_coco(name, tmp_path / f"{name}.json", tmp_path)
        loader = build_train_loader(
            load_datasets(name),
            mapper=lambda x: x,
            total_batch_size=1,
            seed=0,
            finished_share=0.5,
        )
        return Counter(image["image_id"] for (image,) in islice(loader, 6 * 5))

    with pytest.raises(InputError, match="no training image is finished"):
        seen("cats_alone")
    dataset["images"][0]["neg_category_ids"] = [2]
    assert seen("dogs_too") == {1: 15, 2: 5, 3: 5, 4: 5}
