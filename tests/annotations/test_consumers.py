"""What the check lets pass, everything that reads annotations can use."""

import json
import math

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from comining.annotations.coco_file import read_coco, read_repaired
from comining.annotations.completion import complete
from comining.annotations.sparse import encode, make_sparse
from comining.annotations.withheld import withheld_annotations
from comining.data import register_coco
from comining.errors import InputError
from comining.evaluation import COCOBoxEvaluator, box_metrics

NAMES = ["a.png", "./a.png", "b.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("consumers")
    for name in NAMES:
        Image.new("RGB", (40, 30)).save(folder / name)
    return folder


def forms(number):
    """A number as exporters write it, and now and then something else."""
    return st.sampled_from([number] * 12 + [str(number), float(number), f"{number}.0"])


odd = st.one_of(
    st.sampled_from([None, True, False, "", "x", "0", "\ud800", "1e9", "٣", [], {}, [1]]),
    st.sampled_from([-1, 0, 0.5, 2, math.nan, math.inf, -(2**31), 2**32 + 1]),
    st.sampled_from([2**53, 2**53 + 2, 2**63, 10**400]),
)


@st.composite
def datasets(draw):
    """COCO data sets of whatever quality: three in four fields are as they should be."""

    def field(*good):
        return draw(st.one_of(*good))

    images = [
        {
            "id": field(forms(number)),
            "file_name": draw(st.sampled_from(NAMES)) if number > 2 else NAMES[2 * number - 2],
            "width": field(forms(40)),
            "height": field(forms(30)),
        }
        for number in range(1, draw(st.integers(1, 4)) + 1)
    ]
    category_ids = draw(
        st.lists(st.sampled_from([0, 1, 7, -3, 2**31, 2**32 + 1, 2**53]), min_size=1, max_size=3)
    )
    categories = [{"id": field(forms(id_)), "name": f"c{id_}"} for id_ in category_ids]
    coordinate = st.one_of(
        st.integers(-3, 45), st.floats(-3, 45), st.sampled_from(["5", "7.5", 0, 20, math.nan])
    )
    sound_box = st.tuples(*[st.sampled_from([2, 3.5, 4.25, "5", 10.0, 19])] * 4).map(list)
    annotations = []
    for id_ in range(draw(st.integers(0, 6))):
        annotation = {
            "image_id": field(forms(draw(st.integers(1, len(images))))),
            "category_id": field(forms(draw(st.sampled_from(category_ids)))),
            "bbox": field(sound_box, sound_box, st.lists(coordinate, min_size=4, max_size=4)),
            "id": field(forms(id_)),
            "area": field(st.sampled_from([1.0, 400]), odd),
            "iscrowd": field(st.sampled_from([0, 1, 0.0, False, True, None, "0", "1"])),
            "segmentation": draw(odd),
            "ignore": draw(odd),
            "score": draw(odd),
        }
        for name in ("area", "iscrowd", "segmentation", "ignore", "score"):
            if draw(st.booleans()):
                del annotation[name]
        annotations.append(annotation)
    dataset = {"images": images, "categories": categories, "annotations": annotations}
    if draw(st.booleans()):
        dataset["info"] = draw(odd)
    if draw(st.integers(0, 3)) == 0:
        records = dataset[draw(st.sampled_from(list(dataset)))]
        if isinstance(records, list) and records:
            record = records[draw(st.integers(0, len(records) - 1))]
            if isinstance(record, dict):
                record[draw(st.sampled_from(sorted(record)))] = draw(odd)
    return dataset


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(datasets())
def test_what_passes_the_check_can_be_used(folder, monkeypatch, dataset):
    path = folder / "a.json"
    path.write_text(json.dumps(dataset))
    _, report = read_coco(path, folder)
    register_coco("checked", path, folder)
    try:
        if report.is_fatal:
            with pytest.raises(InputError, match="can't be used"):
                DatasetCatalog.get("checked")
            return
        records = DatasetCatalog.get("checked")
        everything_goes_on(path, folder, records)
    finally:
        DatasetCatalog.remove("checked")
        MetadataCatalog.remove("checked")


def everything_goes_on(path, folder, records):
    dataset, _ = read_coco(path, folder)
    assert sorted(x["image_id"] for x in records) == sorted(x["id"] for x in dataset["images"])
    assert all(x["iscrowd"] in (0, 1) for record in records for x in record["annotations"])

    categories = {x["id"]: x["name"] for x in dataset["categories"]}
    objects = [x for x in dataset["annotations"] if not x.get("iscrowd")]
    perfect = [
        {
            "image_id": x["image_id"],
            "category_id": x["category_id"],
            "bbox": x["bbox"],
            "score": 0.5,
        }
        for x in objects
    ]
    metrics = box_metrics(dataset, perfect, categories)
    if objects and len(objects) == len({(x["image_id"], x["category_id"]) for x in objects}):
        assert metrics["AP"] == pytest.approx(100)
    evaluator = COCOBoxEvaluator("checked", folder)
    box_metrics(evaluator.ground_truth, perfect, categories)

    # As `comining mine` does it.
    repaired, _ = read_repaired(path)
    mined = {"category_id": next(iter(categories)), "score": 0.9, "box": [1, 1, 9, 9]}
    found = {x["image_id"]: [mined] for x in records}
    completed = complete(repaired, found, {})
    (folder / "completed.json").write_bytes(b"".join(encode(completed)))
    again, report = read_coco(folder / "completed.json", folder)
    assert not report.is_fatal
    assert len(again["annotations"]) == len(dataset["annotations"]) + len(records)

    numbered = {
        **dataset, "annotations": [{**x, "id": n} for n, x in enumerate(dataset["annotations"])]
    }  # fmt: skip
    sparse = make_sparse(numbered, "hard", seed=0, file_name="full.json")
    (folder / "full.json").write_bytes(b"".join(encode(numbered)))
    withheld = withheld_annotations(sparse, folder / "full.json")
    assert sum(map(len, withheld.values())) == len(numbered["annotations"]) - len(
        sparse["annotations"]
    )
