import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from comining.annotations.sparse import make_sparse
from comining.data import register_coco
from comining.errors import InputError

FULL = {
    "images": [
        {"id": 1, "file_name": "1.png", "width": 20, "height": 10},
        {"id": 2, "file_name": "2.png", "width": 20, "height": 10},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 4], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 7, "bbox": [1, 2, 6, 5], "iscrowd": 0},
        {"id": 3, "image_id": 1, "category_id": 7, "bbox": [2, 1, 9, 9], "iscrowd": 0},
        {"id": 4, "image_id": 2, "category_id": 3, "bbox": [3, 3, 3, 3], "iscrowd": 0},
        {"id": 5, "image_id": 2, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1},
    ],
}


@pytest.fixture
def load(tmp_path):
    """Write the full and a sparse file, register the sparse one and load it."""
    (tmp_path / "full.json").write_text(json.dumps(FULL))
    for image in FULL["images"]:
        Image.new("RGB", (20, 10)).save(tmp_path / image["file_name"])

    def write_and_load(**options):
        sparse = make_sparse(FULL, "extreme", seed=0, file_name="full.json", **options)
        (tmp_path / "sparse.json").write_text(json.dumps(sparse))
        register_coco("half_annotated", tmp_path / "sparse.json", tmp_path)
        return DatasetCatalog.get("half_annotated")

    yield write_and_load
    DatasetCatalog.remove("half_annotated")
    MetadataCatalog.remove("half_annotated")


def boxes(annotations):
    return sorted((x["category_id"], *x["bbox"]) for x in annotations)


def test_records_have_what_the_sparse_file_lacks(load):
    first, second = load(record_name=True)
    everything = [(0, 0, 0, 5, 4), (1, 1, 2, 6, 5), (1, 2, 1, 9, 9)]
    assert len(first["annotations"]) == 1
    assert boxes(first["annotations"] + first["withheld_annotations"]) == everything
    assert second["withheld_annotations"] == []


def test_what_the_original_knows_tells_what_can_be_judged(load, tmp_path):
    """Not what the sparse version knows, which lacks the withheld ones."""
    assert all("judged" not in record for record in load(record_name=True, exhaustive_share=0.5))
    images = [
        {**FULL["images"][0], "neg_category_ids": [3], "exhaustive_category_ids": [7]},
        {**FULL["images"][1], "exhaustive_category_ids": [3]},
    ]
    annotations = [x for x in FULL["annotations"] if x["id"] != 1]
    full = {**FULL, "images": images, "annotations": annotations}
    (tmp_path / "full.json").write_text(json.dumps(full))
    assert [record["judged"] for record in DatasetCatalog.get("half_annotated")] == [[0, 1], [0]]


def test_original_not_recorded(load):
    assert all("withheld_annotations" not in record for record in load())


@pytest.mark.parametrize("tool", ["mined", "reviewed"])
def test_a_file_with_new_annotations_is_no_sparse_version(tool, load, tmp_path):
    """They have the ids of withheld ones."""
    load(record_name=True)
    sparse = json.loads((tmp_path / "sparse.json").read_text())
    sparse["info"][tool] = {}
    (tmp_path / "sparse.json").write_text(json.dumps(sparse))
    records = DatasetCatalog.get("half_annotated")
    assert all("withheld_annotations" not in record for record in records)


def test_categories_that_only_the_original_has_are_left_out(load, tmp_path):
    full = {**FULL, "categories": [*FULL["categories"], {"id": 9, "name": "cow"}]}
    other = {"id": 6, "image_id": 1, "category_id": 9, "bbox": [0, 0, 9, 9], "iscrowd": 0}
    full["annotations"] = [*FULL["annotations"], other]
    load(record_name=True)
    (tmp_path / "full.json").write_text(json.dumps(full))
    first, _ = DatasetCatalog.get("half_annotated")
    assert len(first["withheld_annotations"]) == 2


def test_annotations_without_ids(load, tmp_path):
    load(record_name=True)
    sparse = json.loads((tmp_path / "sparse.json").read_text())
    for x in sparse["annotations"]:
        del x["id"]
    (tmp_path / "sparse.json").write_text(json.dumps(sparse))
    message = r"the sparse version of .*full\.json: 3 annotations have no 'id'"
    with pytest.raises(InputError, match=message):
        DatasetCatalog.get("half_annotated")


def test_original_that_was_numbered_anew(load, tmp_path):
    load(record_name=True)
    numbers = [5, 4, 3, 2, 1]
    annotations = [{**x, "id": n} for x, n in zip(FULL["annotations"], numbers, strict=True)]
    (tmp_path / "full.json").write_text(json.dumps({**FULL, "annotations": annotations}))
    with pytest.raises(InputError, match=r"full\.json is not what its sparse version was made of"):
        DatasetCatalog.get("half_annotated")


@pytest.mark.parametrize("change", [{"image_id": 2}, {"category_id": 3}])
def test_original_with_an_annotation_of_another_image_or_category(load, tmp_path, change):
    load(record_name=True)
    (tmp_path / "sparse.json").write_text(
        json.dumps({**FULL, "info": {"sparse": {"input": "full.json"}}})
    )
    annotations = [{**x, **change} if x["id"] == 2 else x for x in FULL["annotations"]]
    (tmp_path / "full.json").write_text(json.dumps({**FULL, "annotations": annotations}))
    with pytest.raises(InputError, match=r"the annotation 2 is on another image or of another"):
        DatasetCatalog.get("half_annotated")


@pytest.mark.parametrize("name", ["", "..", None])
def test_original_without_a_name(load, tmp_path, name):
    load(record_name=True)
    sparse = json.loads((tmp_path / "sparse.json").read_text())
    sparse["info"]["sparse"]["input"] = name
    (tmp_path / "sparse.json").write_text(json.dumps(sparse))
    records = DatasetCatalog.get("half_annotated")
    assert all("withheld_annotations" not in record for record in records)


def test_original_belongs_beside_its_sparse_version_whatever_folder_is_recorded(load, tmp_path):
    records = load(record_name=True)
    sparse = json.loads((tmp_path / "sparse.json").read_text())
    sparse["info"]["sparse"]["input"] = "elsewhere/full.json"
    (tmp_path / "sparse.json").write_text(json.dumps(sparse))
    assert DatasetCatalog.get("half_annotated") == records


def test_original_not_there(load, tmp_path, caplog):
    (tmp_path / "full.json").unlink()
    with caplog.at_level("INFO"):
        records = load(record_name=True)
    assert all("withheld_annotations" not in record for record in records)
    assert "full.json is not there" in caplog.text
