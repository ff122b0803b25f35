"""Formats are recognised by what files hold; what is none of them gets a clear message."""

import json

import pytest

from comining.annotations.formats import completed_path, read_annotations, write_annotations
from comining.errors import InputError

VOC = """<annotation><filename>a.jpg</filename><object><name>cat</name>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"""
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 2, 2]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
)
RESULTS = '[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]'


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"set has no annotations of a known format\. Known are COCO JSON, "),
        ({"notes.txt": "hello"}, r"set has no annotations of a known format \(it holds notes\.txt"),
        ({"package.json": '{"name": "x"}'}, r"it holds package\.json: JSON with 'name'\)"),
        ({"r.json": RESULTS}, r"r\.json: detections \(COCO results\), which are no data set"),
        ({"t.csv": "x,y\n1,2\n"}, r"it holds t\.csv: CSV with the columns x, y\)"),
        ({"a.json": "{"}, r"a\.json is not a JSON file"),
        ({"a.json": "[" * 100_000}, r"a\.json is not a JSON file"),
        (
            {"a.xml": VOC, "a.txt": "0 0.5 0.5 0.1 0.1"},
            r"holds annotations of 2 formats \(Pascal VOC: a\.xml; YOLO: a\.txt\): give the file",
        ),
        ({"train.json": COCO, "val.json": COCO}, r"holds 2 COCO files \(train\.json, val\.json\)"),
    ],
)
def test_a_folder_that_is_none_is_refused(files, message, images, tmp_path, helpers):
    (tmp_path / "set").mkdir()
    helpers.write_files(tmp_path / "set", files)
    with pytest.raises(InputError, match=message):
        read_annotations(tmp_path / "set", images)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.json", RESULTS, r"r\.json holds detections \(COCO results\), which are no data set"),
        ("x.json", "[]", r"x\.json holds JSON that is no object with lists in it"),
        ("x.json", "{}", r"x\.json holds JSON with nothing in it, no annotations of a known"),
        ("x.xml", "<kml/>", r"x\.xml holds XML with <kml>, no annotations of a known format"),
        ("x.md", "hello", r"x\.md holds text, no annotations of a known format"),
        ("data.yaml", "a: 1", r"data\.yaml is not the data\.yaml of a YOLO data set"),
    ],
)
def test_a_file_that_is_none_is_refused(name, text, message, images, tmp_path, helpers):
    helpers.write_files(tmp_path, {name: text})
    with pytest.raises(InputError, match=message):
        read_annotations(tmp_path / name, images)


def test_a_missing_file_is_named(images, tmp_path):
    with pytest.raises(InputError, match=r"gone\.json doesn't exist: give the file or the folder"):
        read_annotations(tmp_path / "gone.json", images)


def test_the_content_decides_not_the_name(images, tmp_path, helpers):
    helpers.write_files(tmp_path, {"export": COCO, "labels.txt": COCO})
    assert read_annotations(tmp_path / "export", images).format == "coco"
    assert read_annotations(tmp_path / "labels.txt", images).format == "coco"


def test_other_tables_in_the_folder_of_the_images_do_not_matter(images, helpers):
    helpers.write_files(images, {"coco.json": COCO, "cameras.csv": "a,b\n1,2,3\n", "e.csv": ""})
    assert read_annotations(images, images).format == "coco"


def test_one_file_beside_the_images_is_found_in_their_folder(images, helpers):
    helpers.write_files(images, {"_annotations.coco.json": COCO})
    source = read_annotations(images, images)
    assert (source.format, source.unlisted) == ("coco", 2)


def test_the_result_neither_replaces_nor_joins_what_is_there(images, tmp_path, helpers):
    folder = helpers.write_files(tmp_path / "voc", {"a.xml": VOC})
    source = read_annotations(folder, images)
    with pytest.raises(InputError, match=r"lies in the folder of the annotations .*voc"):
        completed_path(source, folder / "out")
    with pytest.raises(InputError, match=r"a\.xml is a file: give a folder"):
        completed_path(source, folder / "a.xml")
    written = write_annotations(source, source.dataset, tmp_path / "out")
    with pytest.raises(InputError, match=r"completed is there already: remove it or choose"):
        write_annotations(source, source.dataset, tmp_path / "out")
    with pytest.raises(InputError, match=r"completed is the input: choose another --output"):
        completed_path(read_annotations(written, images), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [{"id": 1, "name": "dog"}]}, r"category 'dog' with the id 1, which .*voc"),
        (
            {"annotations": [{"id": 9, "image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 1]}]},
            r"has the image 99, which .*voc and its images lack",
        ),
    ],
)
def test_a_data_set_of_something_else_is_not_written(change, message, images, tmp_path, helpers):
    source = read_annotations(helpers.write_files(tmp_path / "voc", {"a.xml": VOC}), images)
    with pytest.raises(InputError, match=message):
        write_annotations(source, {**source.dataset, **change}, tmp_path / "out")
    assert not (tmp_path / "out").exists()
