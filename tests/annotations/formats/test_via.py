"""VIA 2 projects, its JSON and CSV of annotations, and JSON of VIA 1."""

import json

import pytest

from comining.annotations.formats import read_annotations, write_annotations
from comining.errors import InputError


def region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


RECT = {"name": "rect", "x": 10, "y": 20, "width": 50, "height": 70}
ELLIPSE = {"name": "ellipse", "cx": 50, "cy": 50, "rx": 20, "ry": 10, "theta": 1.5707963267948966}
REGIONS = [
    region(RECT, label="ant", colour="red"),
    region(
        {"name": "polygon", "all_points_x": [1, 31, 16], "all_points_y": [2, 2, 42]}, label="zebra"
    ),
    region({"name": "circle", "cx": 50, "cy": 50, "r": 5}, label="zebra"),
    region(ELLIPSE, label="zebra"),
    region({"name": "point", "cx": 50, "cy": 50}, label="zebra"),
    region(RECT),
]
IMAGES = {
    "a.jpg1234": {
        "filename": "a.jpg",
        "size": 1234,
        "regions": REGIONS,
        "file_attributes": {"x": 1},
    },
    "b ü.png5": {"filename": "b ü.png", "size": 5, "regions": [], "file_attributes": {}},
}
PROJECT = {
    "_via_settings": {"project": {"name": "p"}},
    "_via_img_metadata": IMAGES,
    "_via_attributes": {
        "region": {
            "colour": {"type": "text"},
            "label": {"type": "dropdown", "options": {"zebra": "", "ant": "", "unused": ""}},
        },
        "file": {},
    },
    "_via_data_format_version": "2.0.10",
    "_via_image_id_list": list(IMAGES),
}
BOXES = {
    "a.jpg": [
        ("ant", [10, 20, 50, 70]),
        ("zebra", [1, 2, 30, 40]),
        ("zebra", [45, 45, 10, 10]),
        ("zebra", [40, 30, 20, 40]),
    ],
    "sub dir/b ü.png": [],
    "c.jpg": [],
}
HEADER = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    "region_attributes\n"
)


def csv_row(name, count, number, shape, attributes):
    cells = [json.dumps(x).replace('"', '""') for x in (shape, attributes)]
    return f'{name},12,"{{}}",{count},{number},"{cells[0]}","{cells[1]}"\n'


CSV = (
    HEADER
    + csv_row("a.jpg", 2, 0, RECT, {"label": "ant"})
    + csv_row("a.jpg", 2, 1, {"name": "point", "cx": 1, "cy": 2}, {"label": "ant"})
    + csv_row("b ü.png", 0, 0, {}, {})
)


@pytest.fixture
def write(tmp_path):
    def write_json(content):
        path = tmp_path / "via.json"
        path.write_text(json.dumps(content))
        return path

    return write_json


def test_a_project_is_read_with_its_declared_labels(write, images, helpers):
    source = read_annotations(write(PROJECT), images)
    assert source.format == "via"
    assert helpers.boxes(source) == BOXES
    assert [x["name"] for x in source.dataset["categories"]] == ["zebra", "ant", "unused"]
    assert source.notes[:5] == [
        "1 region of the kind 'polygon': taken by its box",
        "1 region of the kind 'circle': taken by its box",
        "1 region of the kind 'ellipse': taken by its box",
        "1 region of the kind 'point': left out",
        "1 region has no 'label', or several: left out",
    ]


def test_annotations_alone_and_those_of_version_1_are_read(write, images, helpers):
    assert helpers.boxes(read_annotations(write(IMAGES), images)) == BOXES
    numbered = {str(i): x for i, x in enumerate(REGIONS)}
    first = {**IMAGES["a.jpg1234"], "regions": numbered}
    source = read_annotations(write({**IMAGES, "a.jpg1234": first}), images)
    assert helpers.boxes(source) == BOXES
    assert [x["name"] for x in source.dataset["categories"]] == ["ant", "zebra"]


def test_ticked_boxes_are_labels(write, images, tmp_path, helpers):
    content = {"k": {**IMAGES["a.jpg1234"], "regions": [region(RECT, kind={"cat": True, "x": 0})]}}
    source = read_annotations(write(content), images)
    assert helpers.boxes(source)["a.jpg"] == [("cat", [10, 20, 50, 70])]
    dataset = helpers.changed(source, add=[("a.jpg", "cat", [1, 2, 3, 4], 0.5)])
    again = json.loads(write_annotations(source, dataset, tmp_path / "out").read_text())
    assert again["k"]["regions"][1]["region_attributes"] == {
        "kind": {"cat": True},
        "origin": "mined",
        "score": "0.5",
    }


def test_edits_change_regions_and_leave_all_else(write, images, tmp_path, helpers):
    source = read_annotations(write(PROJECT), images)
    dataset = helpers.changed(
        source,
        add=[("a.jpg", "zebra", [150.4, 50, 20.25, 10], 0.87), ("c.jpg", "ant", [0, 0, 25, 4], 1)],
        remove=[2],
        move={1: [0, 1, 2, 3]},
    )
    written = write_annotations(source, dataset, tmp_path / "out")
    content = json.loads(written.read_text())
    metadata = content.pop("_via_img_metadata")
    rest = {k: v for k, v in PROJECT.items() if k != "_via_img_metadata"}
    assert content == {**rest, "_via_image_id_list": [*IMAGES, "c.jpg-1"]}
    assert metadata["b ü.png5"] == IMAGES["b ü.png5"]
    moved = {"name": "rect", "x": 0, "y": 1, "width": 2, "height": 3}
    mined = {"name": "rect", "x": 150.4, "y": 50, "width": 20.25, "height": 10}
    assert metadata["a.jpg1234"] == {
        **IMAGES["a.jpg1234"],
        "regions": [
            region(moved, label="ant", colour="red"),
            *REGIONS[2:],
            region(mined, label="zebra", origin="mined", score="0.87"),
        ],
    }
    again = read_annotations(written, images)
    assert helpers.boxes(again) == helpers.boxes(dataset)
    assert [x for x in helpers.marks(again) if x[0]] == [("mined", 0.87), ("mined", 1)]


@pytest.mark.parametrize("header", [HEADER, f"#{HEADER}"])
def test_csv_is_read_and_edited_by_rows(header, images, tmp_path, helpers):
    path = helpers.write_files(tmp_path, {"via.csv": CSV.replace(HEADER, header)}) / "via.csv"
    source = read_annotations(path, images)
    assert source.format == "via"
    assert helpers.boxes(source)["a.jpg"] == [("ant", [10, 20, 50, 70])]
    assert source.unlisted == 1
    dataset = helpers.changed(
        source,
        add=[("sub dir/b ü.png", "ant", [1, 2, 3, 4], 0.5), ("c.jpg", "ant", [5, 6, 7, 8], 0.25)],
        move={1: [0, 1, 2, 3]},
    )
    written = write_annotations(source, dataset, tmp_path / "out")
    assert written.name == "completed.csv"
    lines = written.read_text().splitlines()
    assert lines[0] == header.strip()
    assert len(lines) == 5
    assert lines[2].startswith('a.jpg,12,{},2,1,"{""name"": ""point""')
    again = read_annotations(written, images)
    assert helpers.boxes(again) == helpers.boxes(dataset)
    assert helpers.marks(again) == [(None, None), ("mined", 0.5), ("mined", 0.25)]


def test_an_image_whose_last_region_is_removed_stays_in_the_csv(images, tmp_path, helpers):
    text = HEADER + csv_row("a.jpg", 1, 0, RECT, {"label": "ant"})
    path = helpers.write_files(tmp_path, {"via.csv": text}) / "via.csv"
    source = read_annotations(path, images)
    written = write_annotations(source, helpers.changed(source, remove=[1]), tmp_path / "out")
    assert written.read_text() == HEADER + "a.jpg,12,{},0,0,{},{}\n"


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([region(RECT, colour="red", size="big")], r"attributes 'colour', 'size': name the one"),
        ([region({**RECT, "x": None}, label="a")], r"a\.jpg1234: region 1: x is None, not a num"),
        ([region({"name": "polygon"}, label="a")], r"region 1 is a polygon without points"),
        ([{"shape_attributes": RECT}], r"'regions' must hold objects"),
        ([region(RECT)], r"no box with a label \(1 region has no 'label', or several: left out"),
    ],
)
def test_a_fault_is_named(regions, message, write, images):
    path = write({"a.jpg1234": {**IMAGES["a.jpg1234"], "regions": regions}})
    with pytest.raises(InputError, match=message):
        read_annotations(path, images)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("b ü.png,12", "b ü.png,12,13", r"via\.csv: line 4 has 8 columns, but the header has 7"),
        ("file_size", "filename", r"via\.csv: the header names a column twice"),
        ('"{""name"": ""rect""', '"{name', r"line 2: region_shape_attributes is not JSON"),
    ],
)
def test_a_faulty_row_is_named(old, new, message, images, tmp_path, helpers):
    path = helpers.write_files(tmp_path, {"via.csv": CSV.replace(old, new)}) / "via.csv"
    with pytest.raises(InputError, match=message):
        read_annotations(path, images)
