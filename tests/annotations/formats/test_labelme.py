"""LabelMe as version 5 of the tool writes it."""

import json

import pytest

from comining.annotations.formats import read_annotations, write_annotations
from comining.errors import InputError


def shape(label, points, kind, **more):
    return {
        "label": label,
        "points": points,
        "group_id": 4,
        "description": "",
        "shape_type": kind,
        "flags": {},
        **more,
    }


LABELME = {
    "version": "5.4.1",
    "flags": {"night": True},
    "shapes": [
        shape("cat", [[60.0, 90.0], [10.0, 20.0]], "rectangle"),
        shape("ant", [[1, 2], [31, 2], [16, 42]], "polygon"),
        shape("ant", [[50, 50], [53, 54]], "circle"),
        shape("ant", [[5, 6]], "point"),
        shape("cat", [[5, 6], [9, 8]], "mask", mask="iVBORw0KGgo="),
    ],
    "imagePath": "..\\images\\a.jpg",
    "imageData": "aGVsbG8=",
    "imageHeight": 100,
    "imageWidth": 200,
}


@pytest.fixture
def folder(tmp_path, helpers):
    other = {**LABELME, "shapes": [], "imagePath": "b ü.png", "imageHeight": 80, "imageWidth": 100}
    files = {"a.json": LABELME, "sub dir/b ü.json": other}
    return helpers.write_files(
        tmp_path / "labelme", {k: json.dumps(v, indent=2) for k, v in files.items()}
    )


def test_shapes_are_read(folder, images, helpers):
    source = read_annotations(folder, images)
    assert source.format == "labelme"
    assert helpers.boxes(source) == {
        "a.jpg": [
            ("cat", [10, 20, 50, 70]),
            ("ant", [1, 2, 30, 40]),
            ("ant", [45, 45, 10, 10]),
            ("cat", [5, 6, 4, 2]),
        ],
        "sub dir/b ü.png": [],
        "c.jpg": [],
    }
    assert source.notes[:4] == [
        "1 shape of the kind 'polygon': taken by its box",
        "1 shape of the kind 'circle': taken by its box",
        "1 shape of the kind 'point': left out",
        "1 shape of the kind 'mask': taken by its box",
    ]


def test_edits_change_shapes_and_leave_all_else(folder, images, tmp_path, helpers):
    source = read_annotations(folder, images)
    dataset = helpers.changed(
        source,
        add=[
            ("a.jpg", "cat", [150.4, 50, 20.25, 10], 0.87),
            ("c.jpg", "ant", [0, 0, 25, 40], 1e-05),
        ],
        remove=[3],
        move={2: [0, 0, 5, 5]},
    )
    written = write_annotations(source, dataset, tmp_path / "out")
    content = json.loads((written / "a.json").read_text())
    assert {**content, "shapes": []} == {**LABELME, "shapes": []}
    cat, _, _, point, mask = LABELME["shapes"]
    assert content["shapes"] == [
        cat,
        shape("ant", [[0, 0], [5, 5]], "rectangle"),
        point,
        mask,
        {
            "label": "cat",
            "points": [[150.4, 50], [170.65, 60]],
            "shape_type": "rectangle",
            "group_id": None,
            "description": "score 0.87",
            "flags": {"mined": True},
        },
    ]
    untouched = "sub dir/b ü.json"
    assert (written / untouched).read_bytes() == (folder / untouched).read_bytes()
    again = read_annotations(written, images)
    assert helpers.boxes(again) == helpers.boxes(dataset)
    assert [x for x in helpers.marks(again) if x[0]] == [("mined", 0.87), ("mined", 1e-05)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shapes": [shape(None, [[0, 0], [1, 1]], "rectangle")]}, r"shape 1 has no 'label'"),
        ({"shapes": [shape("cat", [], "rectangle")]}, r"a\.json: shape 1 has no 'points'"),
        ({"shapes": [shape("cat", [[0, "x"]], "polygon")]}, r"shape 1: a point is 'x', not a num"),
        ({"imageWidth": 300}, r"a\.json: .*is said to be 300x100, but .*a\.jpg is 200x100"),
    ],
)
def test_a_fault_is_named(change, message, folder, images):
    (folder / "a.json").write_text(json.dumps({**LABELME, **change}))
    with pytest.raises(InputError, match=message):
        read_annotations(folder, images)


def test_a_single_file_is_refused(folder, images):
    with pytest.raises(InputError, match=r"a\.json is the LabelMe annotation of a single image"):
        read_annotations(folder / "a.json", images)
