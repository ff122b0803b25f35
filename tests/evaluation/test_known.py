"""Only what is known counts: as LVIS's own evaluation has it, and COCO's where all is known."""

import copy
import json
import random

import pycocotools.coco
import pycocotools.cocoeval
import pytest
from detectron2.data import MetadataCatalog

from comining.errors import InputError
from comining.evaluation import COCOBoxEvaluator, box_metrics, coco

IDS = (2, 3, 5, 7, 11, 13)
NAMES = {id_: f"c{id_}" for id_ in IDS}
#: What lvis-api 0.5.3 computes for `lvis_like()`, its numbers times 100.
LVIS = {
    "AP": 17.60602126,
    "AP50": 32.17893387,
    "AP75": 19.54304113,
    "APs": 4.91474147,
    "APm": 17.78711489,
    "APl": 45.61979412,
    "AP-c2": 14.10460519,
    "AP-c3": 20.63950434,
    "AP-c5": 20.04192708,
    "AP-c7": 19.23842129,
    "AP-c11": 18.3639917,
    "AP-c13": 13.24767797,
}


def lvis_like():
    """Ground truth and predictions; each image was looked through for some of the categories."""
    drawn = random.Random(7)
    uniform = drawn.uniform
    images, annotations, predictions = [], [], []

    def box():
        return [round(uniform(0, 250)), round(uniform(0, 250)), round(uniform(10, 140)),
                round(uniform(10, 140))]  # fmt: skip

    def predict(image_id, category_id, bbox):
        predictions.append({"image_id": image_id, "category_id": category_id, "bbox": bbox,
                            "score": round(uniform(0, 1), 5)})  # fmt: skip

    for image_id in range(1, 31):
        ids = sorted(IDS, key=lambda _: uniform(0, 1))
        images.append({
            "id": image_id, "file_name": f"{image_id}.jpg", "width": 400, "height": 400,
            "neg_category_ids": ids[3:5],
            "not_exhaustive_category_ids": ids[:1] if image_id % 2 else [],
        })  # fmt: skip
        for category_id in ids[:3]:
            for _ in range(round(uniform(1, 3))):
                bbox = box()
                annotations.append({"id": len(annotations) + 1, "image_id": image_id,
                                    "category_id": category_id, "bbox": bbox,
                                    "area": bbox[2] * bbox[3], "iscrowd": 0})  # fmt: skip
                if uniform(0, 1) < 0.8:
                    predict(image_id, category_id, [x + round(uniform(-6, 6)) for x in bbox])
        for _ in range(12):
            predict(image_id, IDS[int(uniform(0, 6))], box())
    categories = [{"id": id_, "name": name} for id_, name in NAMES.items()]
    return {"images": images, "annotations": annotations, "categories": categories}, predictions


@pytest.fixture(params=["installed", "pycocotools"])
def judge(request, monkeypatch):
    if request.param == "pycocotools":
        monkeypatch.setattr(coco, "COCO", pycocotools.coco.COCO)
        monkeypatch.setattr(coco, "COCOeval", pycocotools.cocoeval.COCOeval)


@pytest.mark.usefixtures("judge")
def test_as_lvis_api():
    assert box_metrics(*lvis_like(), NAMES) == pytest.approx(LVIS, abs=1e-6)


def test_the_same_said_in_our_fields():
    ground_truth, predictions = lvis_like()
    shown = {x["id"]: set() for x in ground_truth["images"]}
    for x in ground_truth["annotations"]:
        shown[x["image_id"]].add(x["category_id"])
    for x in ground_truth["images"]:
        listed = x.pop("not_exhaustive_category_ids")
        x["exhaustive_category_ids"] = sorted(shown[x["id"]].difference(listed))
    assert box_metrics(ground_truth, predictions, NAMES) == pytest.approx(LVIS, abs=1e-6)


@pytest.mark.parametrize("info", [{}, {"exhaustive_category_ids": "all"}])
def test_as_pycocotools_where_all_is_exhaustive_or_nothing_is_said(info, capsys):
    ground_truth, predictions = lvis_like()
    for x in ground_truth["images"]:
        del x["not_exhaustive_category_ids"], x["neg_category_ids"]
    ours = box_metrics({**ground_truth, "info": info}, predictions, NAMES)
    indexed = pycocotools.coco.COCO()
    indexed.dataset = {**copy.deepcopy(ground_truth), "info": {}}
    indexed.createIndex()
    judge = pycocotools.cocoeval.COCOeval(indexed, indexed.loadRes(predictions), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    expected = dict(zip(coco.METRICS, (100 * judge.stats[:6]).tolist(), strict=True))
    assert {name: ours[name] for name in coco.METRICS} == pytest.approx(expected, abs=1e-9)
    assert ours["AP"] < LVIS["AP"] - 1  # more counts as wrong


def one_image(*regions, **image):
    """A cat at the left, and three predictions: a wrong one in the middle, first, then the cat."""
    boxes = ([0, 0, 20, 20], [0, 0, 20, 20], [40, 0, 20, 20])
    ground_truth = {
        "images": [{"id": 1, **image}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": boxes[0]}, *regions],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    predictions = [
        {"image_id": 1, "category_id": 1, "bbox": boxes[2], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": boxes[0], "score": 0.5},
        {"image_id": 1, "category_id": 2, "bbox": boxes[2], "score": 0.9},
    ]
    return box_metrics(ground_truth, predictions, {1: "cat", 2: "dog"})


def region(**fields):
    return {"id": 2, "image_id": 1, "bbox": [35, 0, 30, 30], "category_id": 1, **fields}


@pytest.mark.usefixtures("judge")
@pytest.mark.parametrize(
    ("regions", "image", "expected"),
    [
        ([], {}, 50),
        ([], {"exhaustive_category_ids": [1]}, 50),
        ([], {"exhaustive_category_ids": [2]}, 100),
        ([], {"exhaustive_category_ids": [], "neg_category_ids": []}, 100),
        ([region(ignore=1)], {}, 100),
        ([region(iscrowd=1)], {"exhaustive_category_ids": "all"}, 100),
        ([region(category_id=2, ignore=1)], {}, 50),
        ([region(category_id=None, ignore=1)], {}, 100),
        ([region(category_id=None, ignore=1)], {"exhaustive_category_ids": "all"}, 100),
        # Four tenths of the prediction lie in the region; half would have to.
        ([region(category_id=None, ignore=1, bbox=[52, 0, 30, 30])], {}, 50),
    ],
)
def test_a_false_positive(regions, image, expected):
    """Precision at all recalls is that at the cat: one of two, or one of one that counts."""
    assert one_image(*regions, **image)["AP-cat"] == pytest.approx(expected)


@pytest.mark.usefixtures("judge")
@pytest.mark.parametrize(("absent", "expected"), [([1], 50), ([2], 100)])
def test_a_false_positive_in_another_image(absent, expected):
    ground_truth = {
        "images": [
            {"id": 1, "exhaustive_category_ids": [1]},
            {"id": 2, "neg_category_ids": absent},
        ],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    found = [
        {"image_id": image_id, "category_id": 1, "bbox": [0, 0, 9, 9], "score": score}
        for image_id, score in ((1, 0.5), (2, 0.9))
    ]
    assert box_metrics(ground_truth, found, {1: "cat"})["AP"] == pytest.approx(expected)


def test_predictions_that_all_count_for_nothing_are_no_error():
    ground_truth = {
        "images": [{"id": 1, "exhaustive_category_ids": []}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    found = [{"image_id": 1, "category_id": 1, "bbox": [50, 50, 9, 9], "score": 0.5}]
    assert box_metrics(ground_truth, found, {1: "cat"})["AP"] == 0


def test_a_contradiction_stops_before_anything_is_predicted(tmp_path):
    ground_truth, _ = lvis_like()
    first = ground_truth["annotations"][0]
    ground_truth["images"][0]["neg_category_ids"] = [first["category_id"]]
    (tmp_path / "a.json").write_text(json.dumps(ground_truth))
    MetadataCatalog.get("contradictory").set(
        json_file=str(tmp_path / "a.json"), thing_classes=list(NAMES.values())
    )
    with pytest.raises(InputError, match="neg_category_ids says is not in the image"):
        COCOBoxEvaluator("contradictory", tmp_path)
