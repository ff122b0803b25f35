"""What exporters write in place of a value, and what it is read as."""

import json
import math

import pytest

from comining.annotations.coco_file import read_categories, read_coco
from comining.annotations.sparse import make_sparse
from comining.errors import InputError

SINGULAR = {"images": "image", "annotations": "annotation", "categories": "category"}
DATASET = {
    "images": [{"id": 1, "file_name": "a.png", "width": 640, "height": 480}],
    "annotations": [
        {"id": 4, "image_id": 1, "category_id": 0, "bbox": [10, 20, 300, 200], "iscrowd": 0}
    ],
    "categories": [{"id": 0, "name": "cat"}],
}


@pytest.fixture
def read(tmp_path):
    """Reads the data set with fields of a record changed."""

    def read_changed(key, **fields):
        path = tmp_path / "a.json"
        changed = {**DATASET, key: [{**DATASET[key][0], **fields}]}
        path.write_text(json.dumps(changed))
        return read_coco(path)

    return read_changed


@pytest.mark.parametrize(
    ("key", "field", "written", "meant"),
    [
        ("images", "id", "1", 1),
        ("images", "id", 1.0, 1),
        ("images", "id", "001", 1),
        ("images", "id", "1.0", 1),
        ("images", "width", 640.0, 640),
        ("images", "width", "640", 640),
        ("images", "height", "480.0", 480),
        ("annotations", "id", "4", 4),
        ("annotations", "image_id", "1", 1),
        ("annotations", "image_id", 1.0, 1),
        ("annotations", "category_id", "0", 0),
        ("annotations", "category_id", 0.0, 0),
        ("annotations", "category_id", -0.0, 0),
        ("annotations", "bbox", ["10", "20.0", 300, "2e2"], [10, 20, 300, 200]),
        ("annotations", "iscrowd", False, 0),
        ("annotations", "iscrowd", True, 1),
        ("annotations", "iscrowd", None, 0),
        ("annotations", "iscrowd", 0.0, 0),
        ("annotations", "iscrowd", 1.0, 1),
        ("annotations", "iscrowd", "0", 0),
        ("annotations", "iscrowd", "1", 1),
        ("annotations", "iscrowd", "False", 0),
        ("annotations", "score", "0.5", 0.5),
        ("categories", "id", "0", 0),
        ("categories", "id", 0.0, 0),
        ("categories", "name", 7, "7"),
    ],
)
def test_what_has_one_meaning_is_repaired_and_counted(key, field, written, meant, read):
    dataset, report = read(key, **{field: written})
    (record,) = dataset[key]
    assert record[field] == meant
    assert type(record[field]) is type(meant)
    assert {k: v for k, v in record.items() if k != field} == {
        k: v for k, v in DATASET[key][0].items() if k != field
    }
    (finding,) = report.findings
    assert str(finding).startswith(f"repaired: 1 {SINGULAR[key]} has {field!r} in another form")
    assert repr(written) in str(finding)
    # Whatever refers to it is still found.
    assert len(dataset["annotations"]) == 1


@pytest.mark.parametrize("field", ["id", "score"])
def test_optional_fields_that_are_null_are_left_out(field, read):
    dataset, report = read("annotations", **{field: None})
    assert field not in dataset["annotations"][0]
    assert not report.is_fatal


@pytest.mark.parametrize("value", [None, [], ""])
@pytest.mark.parametrize("field", ["segmentation", "keypoints", "attributes", "license"])
def test_fields_that_nobody_reads_may_hold_anything(field, value, read):
    dataset, report = read("annotations", **{field: value})
    assert dataset["annotations"][0][field] == value
    assert not report.findings


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        ("images", "id", None),
        ("images", "id", "a0"),
        ("images", "id", 1.5),
        ("images", "id", True),
        ("images", "id", math.nan),
        ("images", "id", 2**53 + 1),
        ("images", "id", "9" * 20),
        ("images", "id", -(2**60)),
        ("images", "id", "1_0"),
        ("images", "id", [1]),
        ("images", "width", 640.5),
        ("images", "width", None),
        ("images", "width", {}),
        ("images", "file_name", None),
        ("images", "file_name", ""),
        ("images", "file_name", 3),
        ("images", "file_name", "\ud800.png"),
        ("annotations", "id", "uuid"),
        ("annotations", "image_id", None),
        ("annotations", "category_id", "cat"),
        ("annotations", "category_id", 2**64),
        ("annotations", "category_id", 1e300),
        ("annotations", "bbox", None),
        ("annotations", "bbox", []),
        ("annotations", "bbox", [1, 2, 3]),
        ("annotations", "bbox", "1,2,3,4"),
        ("annotations", "bbox", [1, 2, None, 4]),
        ("annotations", "bbox", [1, 2, "wide", 4]),
        ("annotations", "bbox", [1, 2, "nan", 4]),
        ("annotations", "bbox", [1, 2, True, 4]),
        ("annotations", "bbox", [1, 2, 3, 10**400]),
        ("annotations", "iscrowd", 2),
        ("annotations", "iscrowd", 0.5),
        ("annotations", "iscrowd", "no"),
        ("annotations", "iscrowd", []),
        ("categories", "id", None),
        ("categories", "id", 2**70),
        ("categories", "name", None),
        ("categories", "name", 1.5),
        ("categories", "name", "\udcff"),
    ],
)
def test_what_has_no_clear_meaning_is_an_error_that_names_it(key, field, value, read):
    _, report = read(key, **{field: value})
    errors = [x for x in report.findings if x.severity == "error"]
    assert any(f"1 {SINGULAR[key]} has no usable {field!r}: it must be " in str(x) for x in errors)
    str(report).encode()  # can be printed


def test_an_id_in_two_types_is_no_id(tmp_path):
    images = [DATASET["images"][0], {**DATASET["images"][0], "id": "1", "file_name": "b.png"}]
    (tmp_path / "a.json").write_text(json.dumps({**DATASET, "images": images}))
    _, report = read_coco(tmp_path / "a.json")
    assert report.is_fatal
    assert "1 image id occurs twice (1)" in str(report)


@pytest.mark.parametrize(
    ("info", "meant"),
    [
        ("my own", {"description": "my own"}),
        ([], {}),
        ([{"year": 1}], {"description": [{"year": 1}]}),
    ],
)
def test_info_that_is_no_object(info, meant, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({**DATASET, "info": info}))
    dataset, report = read_coco(tmp_path / "a.json")
    assert dataset["info"] == meant
    assert "repaired: 'info' is no object" in str(report)
    assert not report.is_fatal


def test_categories_are_repaired_where_they_are_read_alone(tmp_path):
    categories = [{"id": "2", "name": "dog"}, {"id": 1.0, "name": "cat"}, {"id": 2, "name": "dog"}]
    (tmp_path / "a.json").write_text(json.dumps({"categories": categories}))
    assert read_categories(tmp_path / "a.json") == [
        {"id": 1, "name": "cat"},
        {"id": 2, "name": "dog"},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"categories": [{"id": "dog", "name": 0.5}]}))
    with pytest.raises(InputError, match=r"(?s)no usable 'id'.*no usable 'name'"):
        read_categories(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("area", "text"),
    [
        (None, "1 area is not between 0 and 1e10: that of the box counts (4)"),
        ("60000", "1 area is not between 0 and 1e10"),
        (0, "1 area is not between 0 and 1e10"),
        (-5.0, "1 area is not between 0 and 1e10"),
        (math.nan, "1 area is not between 0 and 1e10"),
        (2e10, "1 area is not between 0 and 1e10"),
        (math.inf, "1 area is not between 0 and 1e10"),
        (10**400, "1 area is not between 0 and 1e10"),
        (True, "1 area is not between 0 and 1e10"),
        (600_000, "1 area is far above that of the box, and APs, APm, APl go by it (4)"),
        (1.0, "all areas are 1, so that all objects count as small"),
    ],
)
def test_areas_that_an_evaluation_can_not_use_are_noted(area, text, read):
    _, report = read("annotations", area=area)
    (finding,) = report.findings
    assert str(finding).startswith(f"note: {text}")


def test_a_sparse_version_is_made_of_the_repaired_values():
    """What the check accepts, the protocols accept, and what they write needs no repair."""
    full = {
        "info": "of my own",
        "images": [{**DATASET["images"][0], "id": "1"}],
        "annotations": [
            {**DATASET["annotations"][0], "id": id_, "image_id": "1", "iscrowd": iscrowd}
            for id_, iscrowd in enumerate([False, None, "0", 0.0, "1", True])
        ],
        "categories": [*DATASET["categories"], {"id": 0.0, "name": "cat"}],
    }
    sparse = make_sparse(full, "extreme", seed=0, file_name="full.json")
    assert [x["id"] for x in sparse["images"]] == [1]
    assert sparse["categories"] == DATASET["categories"]
    assert sorted(x["iscrowd"] for x in sparse["annotations"]) == [0, 1, 1]
    assert {x["image_id"] for x in sparse["annotations"]} == {1}
    assert all(type(x["iscrowd"]) is int for x in sparse["annotations"])
    assert full["images"][0]["id"] == "1"
