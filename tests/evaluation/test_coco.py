"""Metrics, judged by pycocotools and by detectron2's own evaluator."""

import builtins
import importlib
import json
import math
import sys

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, BoxMode, Instances

import comining.evaluation.coco as coco
from comining.data import register_coco
from comining.errors import InputError
from comining.evaluation import COCOBoxEvaluator, box_metrics

CATEGORIES = {3: "cat", 7: "dog", 9: "bird"}


@pytest.fixture
def without_faster_coco_eval(monkeypatch):
    """The module as it is where only pycocotools is installed."""
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("faster_coco_eval"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    module = importlib.reload(coco)
    yield module
    monkeypatch.undo()
    importlib.reload(coco)


def make_dataset(num_images=30, seed=0):
    """Random boxes of all sizes with crowds, and detections near some of them."""
    rng = np.random.default_rng(seed)
    images = [{"id": i + 1, "file_name": f"{i}.png", "height": 400, "width": 400}
              for i in range(num_images)]  # fmt: skip
    annotations, predictions = [], []
    for image in images:
        for _ in range(rng.integers(0, 12)):
            x, y = rng.uniform(0, 250, 2)
            width, height = rng.uniform(10, 150, 2)
            category = int(rng.choice([3, 7]))  # nothing is a bird
            annotations.append({
                "id": len(annotations) + 1, "image_id": image["id"], "category_id": category,
                "bbox": [x, y, width, height], "area": width * height,
                "iscrowd": int(rng.random() < 0.1),
            })  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                box = np.array([x, y, width, height]) + rng.normal(0, 8, 4)
                predictions.append({
                    "image_id": image["id"], "category_id": int(rng.choice([category, 3, 7, 9])),
                    "bbox": [*box[:2], *box[2:].clip(1)], "score": round(rng.random(), 2),
                })  # fmt: skip
    categories = [{"id": id_, "name": name} for id_, name in CATEGORIES.items()]
    return {"images": images, "annotations": annotations, "categories": categories}, predictions


def run(evaluator, predictions, num_images):
    """Feed COCO-format predictions to an evaluator as a model's output."""
    contiguous = {id_: index for index, id_ in enumerate(CATEGORIES)}
    evaluator.reset()
    for image_id in range(1, num_images + 1):
        own = [p for p in predictions if p["image_id"] == image_id]
        instances = Instances((400, 400))
        boxes = torch.tensor([p["bbox"] for p in own], dtype=torch.float64).reshape(-1, 4)
        instances.pred_boxes = Boxes(torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1))
        instances.scores = torch.tensor([p["score"] for p in own])
        instances.pred_classes = torch.tensor([contiguous[p["category_id"]] for p in own])
        evaluator.process([{"image_id": image_id}], [{"instances": instances}])
    return evaluator.evaluate()


def test_the_fast_judge_is_installed_and_agrees_with_pycocotools(without_faster_coco_eval):
    ground_truth, predictions = make_dataset()
    slow = without_faster_coco_eval.box_metrics(ground_truth, predictions, CATEGORIES)
    assert without_faster_coco_eval.COCOeval.__module__.startswith("pycocotools")
    fast = box_metrics(*make_dataset(), CATEGORIES)
    assert "faster_coco_eval" in sys.modules
    assert slow.keys() == fast.keys()
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, abs=1e-10, nan_ok=True), name
    assert 5 < slow["AP"] < 95
    assert math.isnan(slow["AP-bird"])


def test_same_results_as_detectron2(tmp_path):
    ground_truth, predictions = make_dataset()
    # As some editors write it, with a byte-order mark.
    (tmp_path / "marked.json").write_text(json.dumps(ground_truth), encoding="utf-8-sig")
    (tmp_path / "val.json").write_text(json.dumps(ground_truth))
    register_coco("judged", tmp_path / "val.json", tmp_path)
    coco.MetadataCatalog.get("judged").set(
        thing_classes=list(CATEGORIES.values()),
        thing_dataset_id_to_contiguous_id={id_: i for i, id_ in enumerate(CATEGORIES)},
    )
    theirs = run(COCOEvaluator("judged", output_dir=str(tmp_path / "theirs")), predictions, 30)
    coco.MetadataCatalog.get("marked").set(
        json_file=str(tmp_path / "marked.json"),
        thing_classes=list(CATEGORIES.values()),
        thing_dataset_id_to_contiguous_id={id_: i for i, id_ in enumerate(CATEGORIES)},
    )
    ours = run(COCOBoxEvaluator("marked", tmp_path / "ours"), predictions, 30)
    assert ours["bbox"].keys() == theirs["bbox"].keys()
    for name, value in theirs["bbox"].items():
        assert ours["bbox"][name] == pytest.approx(value, abs=1e-10, nan_ok=True), name
    files = [tmp_path / side / "coco_instances_results.json" for side in ("ours", "theirs")]
    assert json.loads(files[0].read_text()) == json.loads(files[1].read_text())


def test_data_set_that_a_function_makes(tmp_path):
    """As detectron2's tutorial registers one, without a file."""
    data, predictions = make_dataset()
    contiguous = {id_: index for index, id_ in enumerate(CATEGORIES)}

    def records():
        return [
            {
                "file_name": "none.jpg", "image_id": x["id"],
                "height": x["height"], "width": x["width"],
                "annotations": [
                    {"bbox": a["bbox"], "bbox_mode": BoxMode.XYWH_ABS, "iscrowd": a["iscrowd"],
                     "category_id": contiguous[a["category_id"]]}
                    for a in data["annotations"] if a["image_id"] == x["id"]
                ],
            }
            for x in data["images"]
        ]  # fmt: skip

    DatasetCatalog.register("made", records)
    MetadataCatalog.get("made").set(thing_classes=list(CATEGORIES.values()))
    results = run(COCOBoxEvaluator("made", tmp_path), predictions, 30)["bbox"]
    for annotation in data["annotations"]:  # what such records do not tell
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
    assert results == pytest.approx(box_metrics(data, predictions, CATEGORIES), nan_ok=True)


def test_by_hand():
    ground_truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": [50 * i, 0, 40, 40], "area": 1600,
             "iscrowd": 0}
            for i in (1, 2)
        ],
    }  # fmt: skip
    # One of two objects is found exactly: precision 1 up to recall 0.5, 51 of COCO's 101 points.
    found = {"image_id": 1, "category_id": 1, "bbox": [50, 0, 40, 40], "score": 0.9}
    metrics = box_metrics(ground_truth, [found], {1: "cat"})
    assert metrics["AP"] == pytest.approx(100 * 51 / 101)
    assert metrics["AP50"] == pytest.approx(100 * 51 / 101)
    assert metrics["APm"] == pytest.approx(100 * 51 / 101)
    assert math.isnan(metrics["APl"])
    assert "AP-cat" not in metrics


def test_annotation_ids_may_start_at_0():
    boxes = [[0, 10, 20, 20], [40, 10, 20, 20]]
    ground_truth = {
        "images": [{"id": 0, "file_name": "0.png", "height": 100, "width": 100}],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": 0, "bbox": box, "area": 400, "iscrowd": 0}
            for i, box in enumerate(boxes)
        ],
    }
    predictions = [{"image_id": 0, "category_id": 0, "bbox": b, "score": 0.9} for b in boxes]

    assert box_metrics(ground_truth, predictions, {0: "cat"})["AP"] == pytest.approx(100)
    assert [x["id"] for x in ground_truth["annotations"]] == [0, 1]


def test_images_may_have_names_as_ids():
    """As detectron2 allows; as numbers, "1_11" and "11_1" would be the same."""
    box = [10, 10, 20, 20]
    ground_truth = {
        "images": [{"id": "1_11"}, {"id": "11_1"}, {"id": "a.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": i, "image_id": image_id, "category_id": 1, "bbox": box, "area": 400,
             "iscrowd": 0}
            for i, image_id in enumerate(("1_11", "11_1"))
        ],
    }  # fmt: skip
    found = [{"image_id": "1_11", "category_id": 1, "bbox": box, "score": 0.9}]
    elsewhere = [{"image_id": "a.jpg", "category_id": 1, "bbox": box, "score": 0.8}]
    metrics = box_metrics(ground_truth, found * 2 + elsewhere, {1: "cat"})
    # Of two objects one is found, and found first.
    assert metrics["AP"] == pytest.approx(100 * 51 / 101)
    assert found[0]["image_id"] == "1_11"


def one_object(image_id=1, category_id=1, **fields):
    """A data set of one object of 300 x 300 pixels, and its perfect detection."""
    ids = {"image_id": image_id, "category_id": category_id, "bbox": [10, 10, 300, 300]}
    ground_truth = {
        "images": [{"id": image_id, "file_name": "a.png", "height": 480, "width": 640}],
        "categories": [{"id": category_id, "name": "cat"}],
        "annotations": [{"id": 1, **ids, **fields}],
    }
    return ground_truth, [{**ids, "score": 0.9}]


UNUSABLE_AREAS = [None, "90000", 0, -90000, math.nan, math.inf, 1e11, 10**400, True, [], {}]


@pytest.mark.parametrize("area", UNUSABLE_AREAS, ids=repr)
def test_unusable_areas_count_as_missing(area):
    ground_truth, found = one_object(area=area)
    metrics = box_metrics(ground_truth, found, {1: "cat"})
    assert metrics["AP"] == metrics["APl"] == pytest.approx(100)
    assert math.isnan(metrics["APs"])
    assert math.isnan(metrics["APm"])


def test_unusable_areas_count_as_missing_with_pycocotools(without_faster_coco_eval):
    for area in UNUSABLE_AREAS:
        ground_truth, found = one_object(area=area, ignore="x", segmentation=3, iscrowd=None)
        metrics = without_faster_coco_eval.box_metrics(ground_truth, found, {1: "cat"})
        assert metrics["AP"] == metrics["APl"] == pytest.approx(100), area


def test_areas_that_can_be_used_decide_on_the_size():
    ground_truth, found = one_object(area=2000)
    metrics = box_metrics(ground_truth, found, {1: "cat"})
    assert metrics["APm"] == pytest.approx(100)
    assert math.isnan(metrics["APl"])


@pytest.mark.parametrize("iscrowd", [True, 1, 1.0, "1"])
def test_crowds_in_all_forms(iscrowd):
    """A crowd is no object to be found."""
    ground_truth, found = one_object(iscrowd=iscrowd)
    assert math.isnan(box_metrics(ground_truth, found, {1: "cat"})["AP"])


@pytest.mark.parametrize("id_", [0, -1, 2**31, 2**32 + 1, 2**53, -(2**40)])
def test_ids_of_any_size(id_):
    ground_truth, found = one_object(image_id=id_, category_id=id_)
    # A second category with the same low 32 bits.
    ground_truth["categories"].append({"id": id_ + 2**32, "name": "dog"})
    metrics = box_metrics(ground_truth, found, {id_: "cat", id_ + 2**32: "dog"})
    assert metrics["AP"] == metrics["AP-cat"] == pytest.approx(100)
    assert math.isnan(metrics["AP-dog"])


@pytest.mark.parametrize("box", [[10, 10, -5, 20], [math.nan, 0, 5, 5], [0, 0, math.inf, 5]])
def test_boxes_that_are_none_do_not_count(box):
    ground_truth, found = one_object()
    ground_truth["annotations"].append({**ground_truth["annotations"][0], "id": 2, "bbox": box})
    assert box_metrics(ground_truth, found, {1: "cat"})["AP"] == pytest.approx(100)


@pytest.mark.parametrize("image_id", ["0", "12_a"])
def test_file_with_texts_for_values(image_id, tmp_path):
    """Image ids may be names; detectron2, which reads such files too, takes texts as they are."""
    ground_truth, _ = one_object(image_id, "7", iscrowd=False, area=None)
    (tmp_path / "val.json").write_text(json.dumps(ground_truth))
    MetadataCatalog.get(f"texts {image_id}").set(
        json_file=str(tmp_path / "val.json"),
        thing_classes=["cat"],
        thing_dataset_id_to_contiguous_id={7: 0},
    )
    evaluator = COCOBoxEvaluator(f"texts {image_id}", tmp_path)
    instances = Instances((480, 640))
    instances.pred_boxes = Boxes(torch.tensor([[10.0, 10, 310, 310]]))
    instances.scores, instances.pred_classes = torch.tensor([0.9]), torch.tensor([0])
    evaluator.process([{"image_id": image_id}], [{"instances": instances}])
    assert evaluator.evaluate()["bbox"]["AP"] == pytest.approx(100)


def test_file_that_can_not_be_used_is_refused_at_once(tmp_path):
    ground_truth, _ = one_object(category_id="cat")
    (tmp_path / "val.json").write_text(json.dumps(ground_truth))
    MetadataCatalog.get("unusable").set(json_file=str(tmp_path / "val.json"), thing_classes=["cat"])
    with pytest.raises(InputError, match=r"val\.json(?s:.*)no usable 'category_id'"):
        COCOBoxEvaluator("unusable", tmp_path)


def test_data_set_that_nothing_has_loaded_yet(own_data, tmp_path):
    """As where a training can't tell the number of classes of somebody's own detector."""
    register_coco("own", own_data / "annotations.json", own_data / "images")
    evaluator = COCOBoxEvaluator("own", tmp_path)
    assert dict(zip(evaluator.category_ids, evaluator.category_names, strict=True)) == {
        3: "cat",
        7: "dog",
    }


def test_no_predictions():
    ground_truth, _ = make_dataset()
    assert all(math.isnan(value) for value in box_metrics(ground_truth, [], CATEGORIES).values())
