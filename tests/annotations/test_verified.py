"""Sparse versions that say what is known of their images."""

import itertools

import pytest

from comining.annotations.known import known_of
from comining.annotations.sparse import PROTOCOLS, make_sparse
from comining.annotations.verified import PROTOCOLS as VERIFIED
from comining.errors import InputError

CATEGORIES = range(1, 9)


def full(num_images=40, **image):
    """Each image shows one to six of the eight categories, twice each; some have a crowd, too."""
    ids = itertools.count(1)
    annotations = []
    for image_id in range(1, num_images + 1):
        for step in range(1 + image_id % 6):
            category_id = 1 + (image_id * 3 + step) % 8
            annotations += [
                {"id": next(ids), "image_id": image_id, "category_id": category_id,
                 "bbox": [0, 0, 9, 9], "iscrowd": int(crowd and image_id % 3 == 0)}
                for crowd in (False, False, True)[: 2 + (image_id % 3 == 0)]
            ]  # fmt: skip
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", **image} for i in range(1, num_images + 1)],
        "annotations": annotations,
        "categories": [{"id": i, "name": f"c{i}"} for i in CATEGORIES],
    }


def sparse(dataset, protocol, seed=5, **options):
    return make_sparse(dataset, protocol, seed=seed, file_name="full.json", **options)


def shown(dataset):
    found = {x["id"]: set() for x in dataset["images"]}
    for x in dataset["annotations"]:
        found[x["image_id"]].add(x["category_id"])
    return found


def of(dataset, image_id, category_id):
    pair = (image_id, category_id)
    return [x["id"] for x in dataset["annotations"] if (x["image_id"], x["category_id"]) == pair]


def check_true(made, original):
    """All that a sparse version says of its images is so."""
    known = known_of(made)
    for image_id, categories in known.exhaustive.items():
        for category_id in categories:
            assert of(made, image_id, category_id) == of(original, image_id, category_id)
    for image_id, categories in known.absent.items():
        for category_id in categories:
            assert of(original, image_id, category_id) == []
    return known


@pytest.mark.parametrize("percent", [0, 50, 80, 100])
def test_federated(percent):
    original = full()
    made = sparse(original, "federated", percent=percent)
    known = check_true(made, original)
    before, after = shown(original), shown(made)
    for image_id, present in before.items():
        number = len(present) - int(len(present) * percent / 100)
        assert len(known.exhaustive[image_id]) == number
        # Nothing is left of other categories, no crowd either.
        assert after[image_id] == known.exhaustive[image_id]
        assert len(known.absent[image_id]) == min(max(number, 1), 8 - len(present))
    # As lvis-api wants it.
    assert all(x["not_exhaustive_category_ids"] == [] for x in made["images"])
    assert made["info"]["sparse"]["percent"] == percent


@pytest.mark.parametrize("sources", [2, 3, 8])
def test_class_subsets(sources):
    original = full()
    made = sparse(original, "class-subsets", sources=sources)
    known = check_true(made, original)
    subsets = made["info"]["sparse"]["parameters"]["sources"]
    assert sorted(itertools.chain(*subsets)) == list(CATEGORIES)
    assert {len(x) for x in subsets} == ({2, 3} if sources == 3 else {8 // sources})
    numbers = [list(known.exhaustive.values()).count(frozenset(x)) for x in subsets]
    assert sum(numbers) == 40
    assert max(numbers) - min(numbers) <= 1
    before, after = shown(original), shown(made)
    for image_id, source in known.exhaustive.items():
        assert after[image_id] == before[image_id] & source
        assert known.absent[image_id] == set()


def test_two_sources_unless_told_otherwise():
    assert len(sparse(full(), "class-subsets")["info"]["sparse"]["parameters"]["sources"]) == 2


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "session", *VERIFIED])
def test_complete_images(protocol):
    original = full()
    made = sparse(original, protocol, exhaustive_share=0.26)
    known = check_true(made, original)
    everything = frozenset(CATEGORIES)
    complete = {id_ for id_, categories in known.exhaustive.items() if categories == everything}
    assert len(complete) == 10  # 26 per cent of 40, rounded down
    assert made["info"]["sparse"]["exhaustive_share"] == 0.26
    for image_id in complete:
        for category_id in CATEGORIES:
            assert of(made, image_id, category_id) == of(original, image_id, category_id)
    if protocol not in VERIFIED:
        assert all(known.exhaustive[id_] == set() for id_ in set(known.exhaustive) - complete)
    assert len(made["annotations"]) < len(original["annotations"])


def test_the_percentage_is_that_of_the_other_images():
    original = full()
    made = sparse(original, "miss", percent=100, exhaustive_share=0.5)
    complete = {x["id"] for x in made["images"] if "exhaustive_category_ids" in x}
    assert {x["image_id"] for x in made["annotations"] if not x["iscrowd"]} == complete


def test_seeds_nest_complete_images_and_order_does_not_matter():
    original = full()

    def complete(dataset, share, seed):
        made = sparse(dataset, "hard", seed=seed, exhaustive_share=share)
        return {x["id"] for x in made["images"] if "exhaustive_category_ids" in x}

    assert complete(original, 0.2, 1) < complete(original, 0.4, 1)
    assert complete(original, 0.2, 1) != complete(original, 0.2, 2)
    turned = {k: v[::-1] for k, v in original.items()}
    for protocol in VERIFIED:
        first, second = sparse(original, protocol), sparse(turned, protocol)
        assert first["images"] == second["images"]
        assert first["annotations"] == second["annotations"]


def test_nothing_is_said_where_nothing_is_known():
    original = full()
    assert sparse(original, "hard")["images"] == original["images"]
    assert "exhaustive_share" not in sparse(original, "hard")["info"]["sparse"]


@pytest.mark.parametrize("protocol", ["hard", "miss", *VERIFIED])
@pytest.mark.parametrize("stated", ["default", "lvis", "lists"])
def test_what_the_input_says_stays_as_far_as_it_is_true(protocol, stated):
    original = full()
    if stated == "default":
        original["info"] = {"exhaustive_category_ids": "all"}
    for image in original["images"]:
        absent = sorted(set(CATEGORIES) - shown(original)[image["id"]])
        if stated == "lvis":
            image.update(neg_category_ids=absent[:1], not_exhaustive_category_ids=[1, 2])
        if stated == "lists":
            image.update(neg_category_ids=absent[:1], exhaustive_category_ids=[3, 4])
    before = known_of(original)
    made = sparse(original, protocol)
    after = check_true(made, original)
    assert "exhaustive_category_ids" not in made["info"]
    for image_id, categories in after.exhaustive.items():
        assert categories <= before.exhaustive[image_id] | before.absent[image_id]
        if protocol in ("hard", "miss"):
            assert after.absent[image_id] == before.absent[image_id]
            assert categories == {
                x for x in before.exhaustive[image_id]
                if of(made, image_id, x) == of(original, image_id, x)
            }  # fmt: skip
    assert any(after.exhaustive.values())


def test_regions_of_all_categories_stay():
    original = full()
    original["annotations"].append(
        {"id": 9999, "image_id": 1, "category_id": None, "bbox": [0, 0, 5, 5], "ignore": 1}
    )
    for protocol in ("extreme", "session", *VERIFIED):
        assert sparse(original, protocol)["annotations"][-1]["id"] == 9999


@pytest.mark.parametrize(
    ("protocol", "options", "message"),
    [
        ("hard", {"exhaustive_share": 1.5}, "must be within 0 to 1, not 1.5"),
        ("hard", {"exhaustive_share": float("nan")}, "must be within 0 to 1, not nan"),
        ("federated", {"percent": 101}, "must be within 0 to 100"),
        ("federated", {"sources": 2}, "sources have no meaning for 'federated'"),
        ("class-subsets", {"percent": 50}, "a percentage has no meaning for 'class-subsets'"),
        ("class-subsets", {"sources": 9}, "8 categories can't be dealt out to 9 sources"),
        ("class-subsets", {"sources": 0}, "8 categories can't be dealt out to 0 sources"),
    ],
)
def test_refusal(protocol, options, message):
    with pytest.raises(InputError, match=message):
        sparse(full(), protocol, **options)


def test_one_category_is_not_dealt_out():
    original = full()
    (first, *_) = original["categories"]
    original["categories"] = [first]
    original["annotations"] = [
        x for x in original["annotations"] if x["category_id"] == first["id"]
    ]
    with pytest.raises(InputError, match="to sources: 1 category can't be"):
        sparse(original, "class-subsets")


def test_of_untouched_images_nothing_is_dropped_and_what_they_say_stays():
    original = full()
    first = original["images"][0]["id"]
    stated = {**original, "images": [dict(x) for x in original["images"]]}
    stated["images"][0]["exhaustive_category_ids"] = "all"
    made = sparse(stated, "miss", percent=100, untouched=[first])
    assert {x["image_id"] for x in made["annotations"] if not x["iscrowd"]} == {first}
    everything = {x["id"] for x in original["categories"]}
    assert known_of(made).finished(everything) == {first}
