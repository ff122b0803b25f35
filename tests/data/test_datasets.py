"""Data sets by name, and what is refused before anything is trained."""

import json
import os
import shutil

import pytest
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data.transforms import ResizeTransform
from PIL import Image

from comining import register_coco
from comining.data import (
    check_datasets,
    check_num_classes,
    check_same_categories,
    register_from_config,
)
from comining.data.datasets import ROOT
from comining.engine import Trainer
from comining.errors import InputError

FILES = {
    "coco_2017_train_full": "instances_train2017.json",
    "coco_2017_train_easy": "instances_train2017_easy.json",
    "coco_2017_train_hard": "instances_train2017_hard.json",
    "coco_2017_train_extreme": "instances_train2017_extreme.json",
    "coco_missing_50p": "coco_missing_50p.json",
}


def register(name, folder):
    register_coco(name, folder / "annotations.json", folder / "images")


def changed(own_data, tmp_path, change):
    """A copy of the user's data whose annotation file has been changed; returns its folder."""
    dataset = json.loads((own_data / "annotations.json").read_text())
    change(dataset)
    (tmp_path / "annotations.json").write_text(json.dumps(dataset))
    shutil.copytree(own_data / "images", tmp_path / "images")
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_papers_data_sets_are_registered(name):
    coco = os.path.join(
        os.path.expanduser(os.environ.get("DETECTRON2_DATASETS", "datasets")), "coco"
    )
    metadata = MetadataCatalog.get(name)
    assert name in DatasetCatalog.list()
    assert metadata.json_file == os.path.join(coco, "annotations", FILES[name])
    assert metadata.image_root == os.path.join(coco, "train2017")
    assert metadata.evaluator_type == "coco"


def test_own_data_in_one_call(own_data, own_config, tmp_path):
    register("called", own_data)
    images = DatasetCatalog.get("called")
    assert [image["image_id"] for image in images] == [1, 2, 3, 4]
    assert images[0]["file_name"] == str(own_data / "images" / "000000000001.jpg")
    assert [a["category_id"] for a in images[0]["annotations"]] == [0, 1]  # of the ids 3 and 7
    assert MetadataCatalog.get("called").thing_classes == ["cat", "dog"]

    own_config.merge_from_list(
        ["DATASETS.TRAIN", ["called"], "DATASETS.TEST", [], "SOLVER.MAX_ITER", 1]
    )
    Trainer(own_config).train()
    assert (tmp_path / "output" / "model_final.pth").is_file()


def test_boxes_of_whole_numbers_are_scaled_exactly(own_data, tmp_path):
    """By detectron2's mapper, which keeps the type that they come in."""

    def of_whole_numbers(dataset):
        for x in dataset["annotations"]:
            x["bbox"] = [3, 5, 7, 11]

    register("whole", changed(own_data, tmp_path, of_whole_numbers))
    record = DatasetCatalog.get("whole")[0]
    height, width = record["height"], record["width"]
    resize = ResizeTransform(height, width, height // 2, width // 2)
    mapper = DatasetMapper(is_train=True, augmentations=[resize], image_format="BGR")
    boxes = mapper(record)["instances"].gt_boxes.tensor.tolist()
    x, y = width // 2 / width, height // 2 / height
    assert boxes == [pytest.approx([3 * x, 5 * y, 10 * x, 16 * y])] * len(boxes)


def test_own_data_in_one_line_of_config(own_config, own_data, tmp_path):
    register_from_config(own_config)
    assert MetadataCatalog.get("own").json_file == str(own_data / "annotations.json")
    own_config.SOLVER.MAX_ITER = 1
    Trainer(own_config).train()
    assert (tmp_path / "output" / "model_final.pth").is_file()


def test_relative_file_names_are_below_the_image_folder(own_data, tmp_path):
    def into_subfolder(dataset):
        for image in dataset["images"]:
            image["file_name"] = "images/" + image["file_name"]

    folder = changed(own_data, tmp_path, into_subfolder)
    register_coco("own", folder / "annotations.json", folder)
    assert all(os.path.isfile(image["file_name"]) for image in DatasetCatalog.get("own"))


def test_crowds_stay_crowds(own_data, tmp_path):
    """Which detectron2 leaves out of training."""

    def change(dataset):
        dataset["annotations"][0]["iscrowd"] = 1
        del dataset["annotations"][1]["iscrowd"]

    register("own", changed(own_data, tmp_path, change))
    first, *_ = DatasetCatalog.get("own")
    assert [x["iscrowd"] for x in first["annotations"]] == [1, 0]


def test_what_is_known_of_images_in_classes(own_data, tmp_path):
    """The ids 3 and 7 are the classes 0 and 1; a region of one class is among the annotations."""

    def change(dataset):
        first, second, *_ = dataset["images"]
        first.update(exhaustive_category_ids="all")
        second.update(exhaustive_category_ids=[7], neg_category_ids=[3])
        region = {"image_id": second["id"], "bbox": [1, 2, 3, 4], "ignore": 1}
        dataset["annotations"] = [
            x for x in dataset["annotations"] if x["image_id"] != second["id"]
        ]
        dataset["annotations"] += [
            {**region, "id": 901, "category_id": 7}, {**region, "id": 902, "category_id": None}
        ]  # fmt: skip

    register("own", changed(own_data, tmp_path, change))
    first, second, third, _ = DatasetCatalog.get("own")
    keys = ("exhaustive", "absent", "finished", "ignored_regions")
    assert [first[key] for key in keys] == [[0, 1], [], True, []]
    assert [third[key] for key in keys] == [[], [], False, []]
    assert [second[key] for key in keys[:3]] == [[1], [0], True]
    assert second["ignored_regions"] == [
        {"bbox": [1, 2, 3, 4], "category_id": 1}, {"bbox": [1, 2, 3, 4], "category_id": None}
    ]  # fmt: skip
    assert [(x["category_id"], x["iscrowd"]) for x in second["annotations"]] == [(1, 1)]


def test_contradictions_stop_before_training(own_data, tmp_path):
    def change(dataset):
        dataset["images"][0]["neg_category_ids"] = [3]

    register("own", changed(own_data, tmp_path, change))
    with pytest.raises(InputError, match="neg_category_ids says is not in the image"):
        DatasetCatalog.get("own")


def test_repairs_are_told(own_data, tmp_path, caplog):
    def flatten(dataset):
        dataset["annotations"][2]["bbox"][2] = 0

    register("own", changed(own_data, tmp_path, flatten))
    assert [len(x["annotations"]) for x in DatasetCatalog.get("own")] == [2, 1, 2, 2]
    assert f"own: {tmp_path / 'annotations.json'}: 4 images, 8 annotations" in caplog.text
    assert "1 box has no area: dropped (3)" in caplog.text


def test_same_registration_again_is_fine(own_data):
    register("own", own_data)
    register("own", own_data)
    assert len(DatasetCatalog.get("own")) == 4


@pytest.mark.parametrize("name", ["own", "coco_2017_train_full", "coco_2017_val"])
def test_name_of_another_data_set_is_refused(name, own_data, tmp_path):
    if name == "own":
        register("own", own_data)
    with pytest.raises(InputError, match=f"'{name}' is registered already.*another name"):
        register(name, tmp_path)


def test_same_annotations_of_other_images_are_another_data_set(own_data, tmp_path):
    register("own", own_data)
    with pytest.raises(InputError, match="'own' is registered already"):
        register_coco("own", own_data / "annotations.json", tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        "abc",
        ["own", "annotations.json"],
        ["own", "annotations.json", "images", "more"],
        ["own", "annotations.json", None],
        3,
    ],
)
def test_bad_entry_is_refused(entry, own_config):
    own_config.DATASETS.REGISTER = [entry]
    with pytest.raises(InputError, match=r"DATASETS\.REGISTER.*\[name, annotation file, image fol"):
        register_from_config(own_config)


def test_files_in_place_pass(own_data):
    register("own", own_data)
    check_datasets(["own"])


def test_everything_that_is_missing_is_named_at_once(tmp_path):
    register("own", tmp_path)
    with pytest.raises(InputError) as error:
        check_datasets(["own", "unknown"])
    text = str(error.value)
    assert f"own: put its annotation file at {tmp_path / 'annotations.json'}" in text
    assert f"own: put its images into the folder {tmp_path / 'images'}" in text
    assert "no data set is called 'unknown': register it with DATASETS.REGISTER" in text
    assert "DETECTRON2_DATASETS" not in text


@pytest.mark.parametrize(
    ("name", "folder", "hint"),
    [
        (
            "trees_hard",
            "datasets/trees",
            ", which `comining prepare trees --output datasets/trees` m",
        ),
        ("my_hard", "datasets/trees", ""),
        ("my_hard", "datasets/my", ""),
    ],
)
def test_what_a_command_prepares_is_told_with_it(name, folder, hint, tmp_path):
    folder = tmp_path / folder
    register_coco(name, folder / "a.json", tmp_path)
    with pytest.raises(InputError) as error:
        check_datasets([name])
    hint = hint.replace("datasets/", f"{tmp_path}/datasets/") + ("akes" if hint else "")
    assert str(error.value).endswith(
        f"{name}: put its annotation file at {folder / 'a.json'}{hint}"
    )


def test_missing_coco_is_told_with_the_folder_variable():
    MetadataCatalog.get("here").set(json_file=f"{ROOT}/coco/no.json", image_root="no/such")
    DatasetCatalog.register("here", list)
    with pytest.raises(InputError, match=r"coco/no\.json, or set \$DETECTRON2_DATASETS"):
        check_datasets(["here"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(images=[], annotations=[]), "lists no images"),
        (lambda d: d.pop("categories"), "needs a list 'categories'"),
        (lambda d: d.update(categories=[]), "lists no categories"),
        (lambda d: d["images"][0].pop("file_name"), "file_name"),
        (
            lambda d: d["annotations"][0].update(category_id=5),
            r"1 annotation has a category that is not listed: 5\. Listed are 3 \(cat\), 7 \(dog\)",
        ),
    ],
)
def test_unusable_annotation_file_is_named(change, message, own_data, tmp_path):
    register("own", changed(own_data, tmp_path, change))
    with pytest.raises(InputError, match=message) as error:
        DatasetCatalog.get("own")
    assert str(tmp_path / "annotations.json") in str(error.value)


def test_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "annotations.json").write_text('{"images": [')
    register("own", tmp_path)
    with pytest.raises(InputError, match=r"annotations\.json is not a JSON file"):
        DatasetCatalog.get("own")


def test_number_of_classes_is_checked(own_data):
    register("own", own_data)
    check_num_classes(["own"], 2, "MODEL.RETINANET.NUM_CLASSES")
    with pytest.raises(InputError, match=r"own .* has 2 categories but .*: set M\.N 2"):
        check_num_classes(["own"], 80, "M.N")


def test_data_set_without_category_names_has_no_number_to_check():
    DatasetCatalog.register("nameless", lambda: [{"file_name": "a.jpg"}])
    check_num_classes(["nameless"], 80, "MODEL.RETINANET.NUM_CLASSES")


def test_categories_in_another_order_are_refused(own_data, tmp_path):
    def swap(dataset):
        dataset["categories"] = [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}]

    register("own", own_data)
    register("swapped", changed(own_data, tmp_path, swap))
    with pytest.raises(InputError) as error:
        check_same_categories(["own", "own", "swapped"])
    for text in (
        f"own ({own_data / 'annotations.json'})",
        f"swapped ({tmp_path / 'annotations.json'})",
        "number 1 by id is 'cat' in the first and 'dog' in the second",
        "the same names for the same ids",
    ):
        assert text in str(error.value)


def test_same_categories_pass_in_whatever_order_they_are_listed(own_data, tmp_path):
    register("own", own_data)
    register("listed", changed(own_data, tmp_path, lambda d: d["categories"].reverse()))
    check_same_categories(["own", "listed"])


def test_categories_of_coco_are_those_of_detectron2(coco_root, own_data):
    register_coco(
        "small_coco", coco_root / "coco/annotations/instances_train2017.json", coco_root / "coco"
    )
    register("own", own_data)
    check_same_categories(["coco_2017_val", "small_coco", "coco_2017_train"])
    with pytest.raises(InputError, match="number 1 by id is 'person' in the first and 'cat' in"):
        check_same_categories(["coco_2017_val", "own"])


def test_categories_are_known_whatever_else_is_wrong(own_data, tmp_path):
    """Of the training set an evaluation needs nothing else."""

    def spoil(dataset):
        dataset["annotations"][0]["bbox"] = []
        dataset["categories"][1]["name"] = "bird"

    register("own", own_data)
    register("spoilt", changed(own_data, tmp_path, spoil))
    with pytest.raises(InputError, match="number 2 by id is 'dog' in the first and 'bird' in the"):
        check_same_categories(["own", "spoilt"])


def test_categories_that_are_not_known_are_passed_over(own_data, tmp_path):
    register("own", own_data)
    register("absent", tmp_path)
    DatasetCatalog.register("nameless", lambda: [{"file_name": "a.jpg"}])
    check_same_categories(["unknown", "absent", "nameless", "own"])
    check_same_categories(["own", "nameless", "absent", "unknown"])


def test_what_exporters_write_is_loaded_as_it_is_meant(own_data, tmp_path, caplog):
    """Text for numbers, flags for 0 and 1, and an entry for each box of an image."""

    def change(dataset):
        first = dataset["images"][0]
        first["id"], first["width"] = "1", 64.0
        dataset["images"].append({**first, "id": 9, "file_name": f"./{first['file_name']}"})
        dataset["annotations"][0].update(image_id="1", category_id="3", iscrowd=True)
        dataset["annotations"][1].update(image_id=9, iscrowd=None)
        dataset["categories"].append(dict(dataset["categories"][0]))

    register("own", changed(own_data, tmp_path, change))
    records = DatasetCatalog.get("own")
    assert [x["image_id"] for x in records] == [1, 2, 3, 4]
    assert [(x["category_id"], x["iscrowd"]) for x in records[0]["annotations"]] == [(0, 1), (1, 0)]
    assert type(records[0]["width"]) is int
    assert MetadataCatalog.get("own").thing_classes == ["cat", "dog"]
    assert "1 image file is listed several times: taken for one image per file" in caplog.text


def test_images_that_would_be_read_as_white_are_refused(own_data, tmp_path):
    def deepen(dataset):
        dataset["images"][2]["file_name"] = "deep.png"

    folder = changed(own_data, tmp_path, deepen)
    Image.new("I;16", (64, 64), 3000).save(folder / "images" / "deep.png")
    register("own", folder)
    with pytest.raises(
        InputError, match=r"own can't be used(?s:.*)as black or white.*\(deep\.png\)"
    ):
        DatasetCatalog.get("own")
