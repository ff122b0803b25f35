"""Omissions as people make them: how many, which ones, and on what that depends."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from comining.annotations.omissions import PROTOCOLS, WEIGHTS
from comining.annotations.sparse import encode, make_sparse, sparsify
from comining.annotations.visibility import contrast, crowding, measure
from comining.errors import InputError

any_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def data_set(num_images: int, per_image: int, num_categories: int = 1, size: int = 100) -> dict:
    """Boxes of random place and size; every image has a crowd as well."""
    rng = random.Random(0)
    annotations = []
    for image_id in range(1, num_images + 1):
        for index in range(per_image + 1):
            x, y, w, h = rng.randint(0, 60), rng.randint(0, 60), rng.randint(3, 40), 10
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1 + index % num_categories,
                    "bbox": [x, y, w, h],
                    "iscrowd": int(index == per_image),
                }
            )
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": size, "height": size}
            for i in range(1, num_images + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": f"c{i}"} for i in range(1, num_categories + 1)],
    }


def make(dataset: dict, protocol: str, percent: float | None = None, seed: int = 0, **options):
    return make_sparse(
        dataset, protocol, seed=seed, percent=percent, file_name="full.json", **options
    )


def omitted(dataset: dict, *arguments, **options) -> list[dict]:
    """The annotations that the protocol drops."""
    kept = {a["id"] for a in make(dataset, *arguments, **options)["annotations"]}
    return [a for a in dataset["annotations"] if a["id"] not in kept]


def shares(dataset: dict, dropped: list[dict], key) -> dict:
    """The share that is dropped of the annotations, crowds apart, by a function of them."""
    of = Counter(key(a) for a in dataset["annotations"] if not a["iscrowd"])
    number = Counter(map(key, dropped))
    return {name: number[name] / of[name] for name in sorted(of)}


class TestAll:
    # 30 images of 7: 210. Single annotations of categories let "class" fit into any number, too.
    @any_protocol
    @pytest.mark.parametrize(
        ("percent", "number"), [(0, 0), (0.5, 1), (30, 63), (None, 105), (99.9, 209), (100, 210)]
    )
    def test_number_is_exact_and_crowds_stay(self, protocol, percent, number):
        dropped = omitted(data_set(30, 7, num_categories=7), protocol, percent)
        assert len(dropped) == number
        assert not any(a["iscrowd"] for a in dropped)

    @any_protocol
    def test_order_of_the_input_does_not_matter(self, protocol):
        dataset = data_set(20, 6, num_categories=3)
        shuffled = {**dataset}
        for key in ("images", "annotations"):
            shuffled[key] = random.Random(1).sample(dataset[key], len(dataset[key]))
        one, other = (b"".join(encode(make(d, protocol, 40))) for d in (dataset, shuffled))
        assert one == other

    @any_protocol
    def test_seeds_differ(self, protocol):
        dataset = data_set(20, 6, num_categories=3)
        choices = {
            tuple(a["id"] for a in omitted(dataset, protocol, 40, seed=seed)) for seed in range(8)
        }
        assert len(choices) == 8

    @any_protocol
    def test_record(self, protocol):
        record = make(data_set(4, 3), protocol, seed=5)["info"]["sparse"]
        assert (record["protocol"], record["percent"], record["seed"]) == (protocol, 50.0, 5)
        assert json.loads(json.dumps(record["parameters"])) == record["parameters"]
        assert record["parameters"]

    @any_protocol
    def test_nothing_in_nothing_out(self, protocol):
        dataset = {"images": [], "annotations": [], "categories": []}
        assert make(dataset, protocol)["annotations"] == []

    @pytest.mark.parametrize("protocol", ["hard-to-see", "tired"])
    def test_larger_percentage_drops_the_same_and_more(self, protocol):
        dataset = data_set(20, 6)
        few, many = ({a["id"] for a in omitted(dataset, protocol, percent)} for percent in (20, 60))
        assert few < many

    @any_protocol
    def test_percentage_out_of_range(self, protocol):
        with pytest.raises(InputError, match="0 to 100"):
            make(data_set(1, 1), protocol, 101)

    @pytest.mark.parametrize("protocol", ["tired", "class", "session", "miss"])
    def test_images_without_meaning(self, protocol, tmp_path):
        with pytest.raises(InputError, match=f"no meaning for '{protocol}', only for 'hard-to-see"):
            make(data_set(1, 1), protocol, image_root=tmp_path)

    def test_annotations_alone_are_not_enough(self):
        with pytest.raises(InputError, match="'tired' looks at images, too: use `make_sparse`"):
            sparsify([], "tired", seed=0)


class TestHardToSee:
    @staticmethod
    def two_sizes(number: int) -> dict:
        """Single objects, half of them of a fourth of the others' edge, in the images' middle."""
        dataset = data_set(number, 0)
        dataset["annotations"] = [
            {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [40, 40, edge, edge]}
            for i, edge in zip(range(1, number + 1), [5, 20] * (number // 2), strict=True)
        ]
        return dataset

    def test_chances_are_those_of_the_logistic_formula(self):
        dataset = self.two_sizes(6000)
        # Smallness lies one standard deviation below or above its mean; all else is the same.
        for percent in (50, 20):
            sparse = make(dataset, "hard-to-see", percent)
            parameters = sparse["info"]["sparse"]["parameters"]
            chances = [
                1 / (1 + math.exp(-(parameters["intercept"] + sign * WEIGHTS["smallness"])))
                for sign in (1, -1)
            ]
            assert sum(chances) / 2 == pytest.approx(percent / 100, abs=1e-6)
            dropped = omitted(dataset, "hard-to-see", percent)
            found = shares(dataset, dropped, lambda a: a["bbox"][2])
            assert [found[5], found[20]] == pytest.approx(chances, abs=0.03)
        assert parameters["features"]["crowding"]["deviation"] == 0

    def test_crowded_and_cut_off_ones_are_dropped_more_often(self):
        dataset = data_set(1000, 0)
        places = {"alone": (20, 20), "one": (60, 60), "other": (64, 60), "cut": (0, 85)}
        dataset["annotations"] = [
            {
                "id": 10 * image_id + index,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [*place, 12, 12],
            }
            for image_id in range(1, 1001)
            for index, place in enumerate(places.values())
        ]
        found = np.mean(
            [
                list(shares(dataset, dropped, lambda a: a["id"] % 10).values())
                for seed in range(4)
                for dropped in [omitted(dataset, "hard-to-see", 30, seed=seed)]
            ],
            axis=0,
        )
        # Half of them are crowded, by the same, and a fourth are cut off: standardised, crowding
        # is -1 and 1, being cut off -0.577 and 1.732. With the intercept -0.95 the log-odds
        # -0.8 - 0.2 * 0.577, 0.8 - 0.2 * 0.577 and -0.8 + 0.2 * 1.732 give chances of 1.2 in all.
        assert found == pytest.approx([0.134, 0.434, 0.434, 0.197], abs=0.02)

    def test_low_contrast_counts_if_there_are_images(self, tmp_path):
        dataset = self.two_sizes(400)
        for annotation in dataset["annotations"]:
            annotation["bbox"] = [40, 40, 10, 10]
            pixels = np.full((100, 100, 3), 100, np.uint8)
            pixels[40:50, 40:50] = 105 if annotation["id"] % 2 else 250
            Image.fromarray(pixels).save(tmp_path / f"{annotation['image_id']}.png")
        dropped = omitted(dataset, "hard-to-see", 50, image_root=tmp_path)
        found = shares(dataset, dropped, lambda a: a["id"] % 2)
        expected = 1 / (1 + math.exp(-WEIGHTS["low_contrast"]))
        assert found[1] == pytest.approx(expected, abs=0.08)
        assert found[0] == pytest.approx(1 - expected, abs=0.08)

        without = make(dataset, "hard-to-see", 50)["info"]["sparse"]["parameters"]
        assert without["left_out"] == "low_contrast: no images were given"
        assert "low_contrast" not in without["features"]
        record = make(dataset, "hard-to-see", 50, image_root=tmp_path)["info"]["sparse"]
        assert "left_out" not in record["parameters"]
        assert record["parameters"]["features"]["low_contrast"]["weight"] == WEIGHTS["low_contrast"]

    def test_images_are_looked_at_as_the_camera_was_held(self, tmp_path):
        dataset = data_set(1, 2)
        dataset["images"][0] |= {"width": 80, "height": 100}
        image = Image.new("RGB", (100, 80))
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(tmp_path / "1.png", exif=exif)
        record = make(dataset, "hard-to-see", image_root=tmp_path)["info"]["sparse"]
        assert "low_contrast" in record["parameters"]["features"]

    def test_images_that_cannot_be_used(self, tmp_path):
        dataset = data_set(1, 2)
        with pytest.raises(InputError, match=r"1\.png can't be read"):
            make(dataset, "hard-to-see", image_root=tmp_path)
        (tmp_path / "1.png").write_bytes(b"no image")
        with pytest.raises(InputError, match=r"1\.png can't be read"):
            make(dataset, "hard-to-see", image_root=tmp_path)
        Image.new("RGB", (90, 100)).save(tmp_path / "1.png")
        with pytest.raises(InputError, match=r"1\.png has 90x100 pixels.* says 100x100"):
            make(dataset, "hard-to-see", image_root=tmp_path)

    @pytest.mark.parametrize("width", [None, 0, "wide", True])
    def test_images_without_size(self, width):
        dataset = data_set(2, 2)
        dataset["images"][1]["width"] = width
        with pytest.raises(InputError, match=r"1 image without 'width' and 'height'.*: 2"):
            make(dataset, "hard-to-see")


class TestMeasure:
    def test_by_hand(self):
        images = [{"id": 1, "width": 200, "height": 50}]
        boxes = [[20, 20, 5, 20], [0.5, 10, 5, 5], [100, 44, 5, 5], [100, 10, 1, 0]]
        found = measure(images, [{"image_id": 1, "bbox": box} for box in boxes], None)
        assert list(found) == ["smallness", "crowding", "cut_off"]
        # Edges: the image's is 100; the boxes' 10, 5, 5 and 1, as no height counts as a pixel.
        assert found["smallness"] == pytest.approx(np.log([10, 20, 20, 100]))
        assert found["cut_off"].tolist() == [0, 1, 1, 0]

    def test_crowding(self):
        # The first, grown to -2.5..12.5, is 225; the second covers 2.5 x 10 of it, the third none.
        boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [50, 50, 60, 60]])
        assert crowding(boxes) == pytest.approx([1 / 9, 1 / 9, 0])
        assert crowding(np.array([[0, 0, 10, 10]] * 4)).tolist() == [1, 1, 1, 1]  # 3 * 100 / 225

    def test_contrast(self):
        pixels = np.zeros((40, 60, 3), np.uint8)
        pixels[10:20, 20:30] = (30, 0, 40)
        # Grown by 2 on either side, the second box of 8 is surrounded by 12 * 12 - 8 * 8 = 80
        # pixels, of which 10 * 10 - 8 * 8 = 36 have the colour.
        boxes = np.array([[20, 10, 30, 20], [21, 11, 29, 19], [-9, -9, 90, 90]], float)
        assert contrast(pixels, boxes) == pytest.approx([50, 50 * (1 - 36 / 80), 0])


class TestTired:
    def test_the_lower_or_the_right_part_stays_empty(self):
        dataset = data_set(60, 8)
        gone = {a["id"] for a in omitted(dataset, "tired")}
        ways = Counter()
        by_image = defaultdict(list)
        for annotation in dataset["annotations"]:
            if not annotation["iscrowd"]:
                by_image[annotation["image_id"]].append(annotation)
        for of_image in by_image.values():
            is_gone = [a["id"] in gone for a in of_image]
            if len(set(is_gone)) == 1:
                continue
            x, y = (
                [a["bbox"][axis] + a["bbox"][axis + 2] / 2 for a in of_image] for axis in (0, 1)
            )
            lines = {
                way: max(v for v, g in zip(values, is_gone, strict=True) if not g)
                <= min(v for v, g in zip(values, is_gone, strict=True) if g)
                for way, values in (("right", x), ("below", y))
            }
            assert any(lines.values())
            ways.update(way for way in lines if sum(lines.values()) == 1 and lines[way])
        assert min(ways["right"], ways["below"]) > 10

    def test_of_later_images_more(self):
        dataset = data_set(200, 8)
        found = shares(dataset, omitted(dataset, "tired"), lambda a: (a["image_id"] - 1) // 50)
        # From the first quarter of the images to the last, less is done by half of that per cent.
        assert list(found.values()) == pytest.approx([0.3125, 0.4375, 0.5625, 0.6875], abs=0.06)


class TestClass:
    def test_all_of_a_category_in_an_image_or_nothing(self):
        dataset = data_set(50, 9, num_categories=4)
        dropped = omitted(dataset, "class", 30)
        found = shares(dataset, dropped, lambda a: (a["image_id"], a["category_id"]))
        assert set(found.values()) == {0, 1}
        parameters = make(dataset, "class", 30)["info"]["sparse"]["parameters"]
        assert parameters == {"pairs": sum(found.values()), "pairs_of": 200}
        assert min(shares(dataset, dropped, lambda a: a["category_id"]).values()) > 0.2

    def test_no_more_than_the_percentage(self):
        dataset = data_set(10, 4)  # pairs of 4; 30 % of 40 are 12, 35 % are 14
        assert len(omitted(dataset, "class", 30)) == 12
        assert len(omitted(dataset, "class", 35)) == 12


class TestSession:
    @pytest.mark.parametrize("percent", [20, 50, 80])
    def test_some_images_finished_and_some_barely_begun(self, percent):
        dataset = data_set(400, 10)
        found = shares(dataset, omitted(dataset, "session", percent), lambda a: a["image_id"])
        finished = sum(share <= 0.1 for share in found.values()) / 400
        begun = sum(share >= 0.9 for share in found.values()) / 400
        # Dropped one by one, 1 % of the images at most would be at one end and the other at 50 %.
        assert finished + begun > 0.5
        assert finished == pytest.approx(1 - percent / 100, abs=0.2)
        parameters = make(dataset, "session", percent)["info"]["sparse"]["parameters"]
        assert parameters["beta"] == pytest.approx([percent / 200, 0.5 - percent / 200])
