"""The sparse protocols: what they keep, on what that depends, and which input is refused."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comining.annotations.sparse import (
    PROTOCOLS,
    content_hash,
    encode,
    make_sparse,
    sparsify,
)
from comining.annotations.sparse_input import check_dataset
from comining.errors import InputError


def annotation(id_, image_id=1, category_id=1, **fields):
    return {"id": id_, "image_id": image_id, "category_id": category_id, "iscrowd": 0, **fields}


@st.composite
def datasets(draw):
    """COCO data sets with empty images, crowds, scattered ids and fields of the user's own."""
    image_ids = draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=5, unique=True))
    category_ids = draw(st.lists(st.integers(0, 90), min_size=1, max_size=3, unique=True))
    ids = draw(st.lists(st.integers(-5, 10**12), max_size=30, unique=True))
    return {
        "info": {"description": "drawn"},
        "images": [{"id": i, "file_name": f"{i}.jpg", "note": "ä"} for i in image_ids],
        "annotations": [
            {
                "id": i,
                "image_id": draw(st.sampled_from(image_ids)),
                "category_id": draw(st.sampled_from(category_ids)),
                "iscrowd": draw(st.sampled_from([0, 0, 0, 1])),
                "bbox": [0.1, 0, 1e-3, 20],
                "segmentation": [[1.5, 2.25, 3.0]],
                "mine": {"id": i},
            }
            for i in ids
        ],
        "categories": [{"id": i, "name": f"c{i}"} for i in category_ids],
        "licenses": [],
        "own": None,
    }


def counts(annotations, *fields):
    """The number of annotations, crowds apart, per value of the fields."""
    return Counter(tuple(a[f] for f in fields) for a in annotations if not a["iscrowd"])


# Anything that a JSON file may hold.
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
any_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
seeds = st.integers(-(2**70), 2**70)


class TestSparsify:
    @any_protocol
    def test_nothing_in_nothing_out(self, protocol):
        assert sparsify([], protocol, seed=0) == []

    # Kept of 0 to 5 annotations of one image and category, worked out by hand.
    @pytest.mark.parametrize(
        ("protocol", "kept"),
        [
            ("easy", [0, 1, 1, 2, 3, 4]),
            ("hard", [0, 1, 1, 2, 2, 3]),
            ("extreme", [0, 1, 1, 1, 1, 1]),
            ("keep1", [0, 1, 1, 1, 1, 1]),
            ("miss", [0, 1, 1, 2, 2, 3]),
        ],
    )
    def test_numbers_kept_of_one_image(self, protocol, kept):
        for number, expected in enumerate(kept):
            annotations = [annotation(id_) for id_ in range(number)]
            assert sum(sparsify(annotations, protocol, seed=3)) == expected

    @pytest.mark.parametrize(
        ("percent", "number", "kept"),
        [
            (0, 10, 10),
            (100, 10, 0),
            (30, 10, 7),
            (35, 10, 7),  # drops 3.5, rounded down
            (99, 1, 1),
            (14.3, 1000, 857),
            (0.7, 1000, 993),  # 1000 * (0.7 / 100) is below 7 in floating point
            (None, 9, 5),  # 50 per cent
        ],
    )
    def test_miss_drops_the_percentage_rounded_down(self, percent, number, kept):
        annotations = [annotation(id_, image_id=id_) for id_ in range(number)]
        assert sum(sparsify(annotations, "miss", seed=0, percent=percent)) == kept

    @given(datasets(), seeds)
    def test_per_image_and_category(self, dataset, seed):
        annotations = dataset["annotations"]

        def kept(protocol, *fields):
            flags = sparsify(annotations, protocol, seed=seed)
            return counts([a for a, keep in zip(annotations, flags, strict=True) if keep], *fields)

        images = counts(annotations, "image_id")
        assert kept("easy", "image_id") == {i: n - 1 if n > 1 else n for i, n in images.items()}
        assert kept("hard", "image_id") == {i: math.ceil(n / 2) for i, n in images.items()}
        assert kept("extreme", "image_id") == dict.fromkeys(images, 1)
        pairs = counts(annotations, "image_id", "category_id")
        assert kept("keep1", "image_id", "category_id") == dict.fromkeys(pairs, 1)
        categories = counts(annotations, "category_id")
        assert kept("miss", "category_id") == {i: math.ceil(n / 2) for i, n in categories.items()}

    @any_protocol
    @given(dataset=datasets(), seed=seeds)
    def test_crowds_stay(self, protocol, dataset, seed):
        annotations = dataset["annotations"]
        flags = sparsify(annotations, protocol, seed=seed)
        assert all(keep for a, keep in zip(annotations, flags, strict=True) if a["iscrowd"])

    def test_iscrowd_may_be_left_out(self):
        annotations = [{"id": i, "image_id": 1, "category_id": 1} for i in range(4)]
        assert sum(sparsify(annotations, "hard", seed=0)) == 2

    @any_protocol
    def test_each_annotation_has_the_same_chance(self, protocol):
        annotations = [annotation(id_) for id_ in range(4)]
        seeds_tried = 4000
        times_kept = [0] * 4
        for seed in range(seeds_tried):
            for id_, keep in enumerate(sparsify(annotations, protocol, seed=seed)):
                times_kept[id_] += keep
        chance = sum(times_kept) / 4 / seeds_tried
        deviation = math.sqrt(seeds_tried * chance * (1 - chance))
        assert all(abs(n - seeds_tried * chance) < 4.5 * deviation for n in times_kept)

    def test_images_are_independent_of_each_other(self):
        # Which of two annotations stays must not go along between images.
        annotations = [annotation(id_, image_id=id_ // 2) for id_ in range(4000)]
        flags = sparsify(annotations, "extreme", seed=0)
        first = flags[::2]
        repeated = sum(a == b for a, b in pairwise(first))
        assert sum(first) == pytest.approx(1000, abs=100)
        assert repeated == pytest.approx(1000, abs=100)

    @pytest.mark.parametrize(("protocol", "kept"), [("easy", 5), ("hard", 3), ("extreme", 1)])
    def test_choice_is_the_same_for_ever(self, protocol, kept):
        """So that a file can be made again that results were published of."""
        # By printf '0 1' | b2sum -l 128 and so on: 0a49..., 716f..., 2cb4..., 11d6..., 44db...,
        # fc71...
        ascending = (1, 4, 3, 5, 2, 6)
        ids = range(1, 7)
        flags = sparsify([annotation(id_) for id_ in ids], protocol, seed=0)
        assert flags == [id_ in ascending[:kept] for id_ in ids]

    @any_protocol
    def test_seeds_differ(self, protocol):
        annotations = [annotation(id_) for id_ in range(50)]
        choices = {tuple(sparsify(annotations, protocol, seed=seed)) for seed in range(10)}
        assert len(choices) > 5

    @given(datasets(), seeds)
    def test_other_images_do_not_matter(self, dataset, seed):
        annotations = dataset["annotations"]
        flags = sparsify(annotations, "hard", seed=seed)
        kept = {a["id"] for a, keep in zip(annotations, flags, strict=True) if keep}
        for image in dataset["images"]:
            alone = [a for a in annotations if a["image_id"] == image["id"]]
            flags = sparsify(alone, "hard", seed=seed)
            assert [a["id"] in kept for a in alone] == flags

    @given(datasets(), seeds)
    def test_protocols_are_nested(self, dataset, seed):
        annotations = dataset["annotations"]
        extreme, hard, easy, keep1 = (
            sparsify(annotations, protocol, seed=seed)
            for protocol in ("extreme", "hard", "easy", "keep1")
        )
        for smaller, larger in ((extreme, hard), (hard, easy), (extreme, keep1)):
            assert all(b for a, b in zip(smaller, larger, strict=True) if a)

    @pytest.mark.parametrize("percent", [-1, 100.5, math.nan, math.inf])
    def test_percentage_out_of_range(self, percent):
        with pytest.raises(InputError, match="0 to 100"):
            sparsify([], "miss", seed=0, percent=percent)

    def test_percentage_without_meaning(self):
        with pytest.raises(InputError, match="only for 'miss'"):
            sparsify([], "easy", seed=0, percent=50)

    def test_unknown_protocol(self):
        with pytest.raises(InputError, match="easy, hard, extreme, keep1, miss"):
            sparsify([], "none", seed=0)


def as_bytes(dataset):
    return b"".join(encode(dataset))


class TestMakeSparse:
    @any_protocol
    @given(dataset=datasets(), seed=seeds, data=st.data())
    def test_order_of_the_input_does_not_matter(self, protocol, dataset, seed, data):
        shuffled = {
            **dataset,
            "images": data.draw(st.permutations(dataset["images"])),
            "annotations": data.draw(st.permutations(dataset["annotations"])),
        }
        one, other = (
            make_sparse(d, protocol, seed=seed, file_name=name)
            for d, name in ((dataset, "a.json"), (shuffled, "b.json"))
        )
        assert as_bytes(one) == as_bytes(other)

    @any_protocol
    @given(dataset=datasets(), seed=seeds)
    def test_kept_annotations_and_all_else_are_unchanged(self, protocol, dataset, seed):
        before = copy.deepcopy(dataset)
        sparse = json.loads(as_bytes(make_sparse(dataset, protocol, seed=seed, file_name="a.json")))
        assert dataset == before
        originals = {a["id"]: a for a in dataset["annotations"]}
        ids = [a["id"] for a in sparse["annotations"]]
        assert ids == sorted(set(ids))
        assert sparse["annotations"] == [originals[id_] for id_ in ids]
        assert sparse["images"] == sorted(dataset["images"], key=lambda image: image["id"])
        assert list(sparse) == list(dataset)
        for key in ("categories", "licenses", "own"):
            assert sparse[key] == dataset[key]
        assert sparse["info"]["description"] == "drawn"

    def test_record(self):
        dataset = {"images": [], "annotations": [], "categories": []}
        sparse = make_sparse(dataset, "miss", seed=7, percent=20, file_name="full.json")
        assert sparse["info"]["sparse"] == {
            "protocol": "miss",
            "percent": 20.0,
            "seed": 7,
            # printf '{"images":[],"annotations":[],"categories":[]}' | sha256sum
            "input_sha256": "2cb25d442aab25cf8898cb75025004807875c1a3e6e019000251cf5a06fcb2f5",
        }
        sparse = make_sparse(dataset, "hard", seed=7, file_name="full.json")
        assert sparse["info"]["sparse"]["percent"] is None

    def test_info_may_be_null(self):
        dataset = {"info": None, "images": [], "annotations": [], "categories": []}
        sparse = make_sparse(dataset, "hard", seed=7, file_name="full.json")
        assert list(sparse["info"]) == ["sparse"]

    def test_sparse_input_keeps_its_record(self):
        dataset = {"images": [], "annotations": [], "categories": []}
        once = make_sparse(dataset, "easy", seed=7, file_name="full.json")
        twice = make_sparse(once, "hard", seed=8, file_name="easy.json", record_name=True)
        assert twice["info"]["sparse"]["input_sparse"] == once["info"]["sparse"]
        assert twice["info"]["sparse"]["input"] == "easy.json"


class TestContentHash:
    @given(datasets(), st.data())
    def test_order_does_not_matter(self, dataset, data):
        shuffled = {
            **dataset,
            "images": data.draw(st.permutations(dataset["images"])),
            "annotations": data.draw(st.permutations(dataset["annotations"])),
        }
        assert content_hash(shuffled) == content_hash(dataset)

    def test_every_value_matters(self):
        dataset = {
            "images": [{"id": 1, "file_name": "a"}],
            "annotations": [annotation(1, bbox=[0, 0, 1, 1])],
            "categories": [{"id": 1, "name": "c"}],
        }
        changed = copy.deepcopy(dataset)
        changed["annotations"][0]["bbox"][3] = 1.0000001
        assert content_hash(changed) != content_hash(dataset)


class TestEncode:
    @pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 2500])
    def test_pieces_make_up_the_usual_compact_json(self, number):
        dataset = {"info": {"a b": ["ä", None]}, "images": [{"id": i} for i in range(number)]}
        assert as_bytes(dataset) == json.dumps(dataset, separators=(",", ":")).encode()


def valid():
    return {
        "images": [{"id": 10}, {"id": 11}],
        "annotations": [annotation(id_, image_id=10, bbox=[0, 0, 5, 5]) for id_ in (100, 101)],
        "categories": [{"id": 1, "name": "cat"}],
    }


class TestCheckDataset:
    @given(datasets())
    def test_accepts_what_is_right(self, dataset):
        check_dataset(dataset, "a.json")

    @pytest.mark.parametrize("box", [[-5, 900, 1e9, 1], [1.5, 2, 1.03, 0.0], [0, 0, 0, 3]], ids=str)
    def test_accepts_boxes_outside_and_without_height(self, box):
        dataset = valid()
        dataset["annotations"][0]["bbox"] = box
        check_dataset(dataset, "a.json")

    @pytest.mark.parametrize(
        ("kind", "index", "change", "message"),
        [
            ("images", 1, {"id": 10}, "1 id that several images share: 10"),
            ("images", 1, {"id": "11"}, "1 image without an 'id' (integer): #1"),
            ("annotations", 1, {"id": 100}, "1 id that several annotations share: 100"),
            ("annotations", 1, {"id": None}, "1 annotation without an 'id' (integer): #1"),
            ("annotations", 1, {"image_id": 12}, "1 annotation of an image that is missing: 101"),
            ("annotations", 1, {"image_id": [10]}, "without 'image_id' (integer): 101"),
            ("annotations", 1, {"image_id": 10.0}, "without 'image_id' (integer): 101"),
            ("annotations", 0, {"category_id": 2}, "of a category that is missing: 100"),
            ("annotations", 0, {"category_id": True}, "without 'category_id' (integer): 100"),
            ("annotations", 0, {"iscrowd": 2}, "'iscrowd' is not 0 or 1: 100"),
            ("annotations", 0, {"iscrowd": None}, "'iscrowd' is not 0 or 1: 100"),
            ("annotations", 0, {"bbox": None}, "without 'bbox' (four numbers"),
            ("annotations", 0, {"bbox": [0, 0, 1]}, "without 'bbox' (four numbers"),
            ("annotations", 0, {"bbox": [0, 0, "1", 1]}, "without 'bbox' (four numbers"),
            ("annotations", 0, {"bbox": [0, 0, math.nan, 1]}, "1 box without finite numbers: 100"),
            ("annotations", 0, {"bbox": [math.inf, 0, 1, 1]}, "1 box without finite numbers: 100"),
            ("annotations", 0, {"bbox": [0, 0, -1, 1]}, "1 box without an extent"),
            ("annotations", 0, {"bbox": [4, 4, 0, 0]}, "1 box without an extent"),
            ("categories", 0, {"name": 5}, "1 category without a 'name' (text): 1"),
        ],
    )
    def test_names_the_offenders(self, kind, index, change, message):
        dataset = valid()
        dataset[kind][index].update(change)
        with pytest.raises(InputError) as caught:
            check_dataset(dataset, "a.json")
        assert str(caught.value).startswith("a.json: ")
        assert message in str(caught.value)

    @pytest.mark.parametrize("key", ["id", "image_id", "category_id", "bbox"])
    def test_missing_keys(self, key):
        dataset = valid()
        del dataset["annotations"][1][key]
        with pytest.raises(InputError, match=f"1 annotation without .*'{key}'.*: (101|#1)"):
            check_dataset(dataset, "a.json")

    def test_lists_each_kind_with_count_and_first_ids(self):
        dataset = valid()
        dataset["annotations"] = [
            annotation(id_, image_id=99, category_id=8, bbox=[0, 0, 1, 1]) for id_ in range(7)
        ]
        dataset["images"].append("a.jpg")
        with pytest.raises(InputError) as caught:
            check_dataset(dataset, "a.json")
        assert str(caught.value).splitlines()[1:] == [
            "  1 image in another form than an object: #2",
            "  7 annotations of an image that is missing: 0, 1, 2, 3, 4, ...",
            "  7 annotations of a category that is missing: 0, 1, 2, 3, 4, ...",
        ]

    @pytest.mark.parametrize("dataset", [None, 3, "text", [], [{"id": 1}]])
    def test_not_an_object(self, dataset):
        with pytest.raises(InputError, match=r"a\.json: .* JSON object"):
            check_dataset(dataset, "a.json")

    @pytest.mark.parametrize("key", ["images", "annotations", "categories"])
    @pytest.mark.parametrize("value", [None, {}, "list"])
    def test_not_a_list(self, key, value):
        with pytest.raises(InputError, match=rf"a\.json: .*'{key}', a list"):
            check_dataset({**valid(), key: value}, "a.json")

    def test_info_of_the_wrong_type(self):
        with pytest.raises(InputError, match="'info'"):
            check_dataset({**valid(), "info": []}, "a.json")

    @any_protocol
    @given(dataset=datasets(), value=junk, data=st.data())
    def test_any_damage_gives_a_result_or_our_error(self, protocol, dataset, value, data):
        key = data.draw(st.sampled_from(["info", "images", "annotations", "categories", "all"]))
        if key == "all":
            dataset = value
        elif key == "info" or not dataset[key] or data.draw(st.booleans()):
            dataset[key] = value
        else:
            index = data.draw(st.integers(0, len(dataset[key]) - 1))
            field = data.draw(st.sampled_from([*dataset[key][index], "record"]))
            if field == "record":
                dataset[key][index] = value
            else:
                dataset[key][index][field] = value
        with contextlib.suppress(InputError):
            as_bytes(make_sparse(dataset, protocol, seed=0, file_name="a.json"))
