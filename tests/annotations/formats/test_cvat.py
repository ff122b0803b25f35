"""CVAT for images 1.1 as CVAT exports it."""

import xml.etree.ElementTree as ET

import pytest

from comining.annotations.formats import read_annotations, write_annotations
from comining.errors import InputError

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>7</id>
      <labels>
        <label>
          <name>zebra</name>
          <color>#ff0000</color>
          <type>any</type>
          <attributes>
          </attributes>
        </label>
        <label>
          <name>ant</name>
          <attributes>
            <attribute>
              <name>age</name>
              <mutable>False</mutable>
              <input_type>text</input_type>
              <default_value></default_value>
              <values></values>
            </attribute>
          </attributes>
        </label>
        <label>
          <name>left eye</name>
          <attributes>
          </attributes>
          <parent>face</parent>
        </label>
      </labels>
    </task>
  </meta>
  <image id="3" name="a.jpg" width="200" height="100">
    <box label="ant" source="manual" occluded="1" xtl="10.50" ytl="20.00" xbr="60.50" ybr="90.00" \
z_order="2">
      <attribute name="age">old</attribute>
    </box>
    <!-- a note -->
    <box label="zebra" occluded="0" xtl="100" ytl="40" xbr="140" ybr="60" rotation="90.0" \
z_order="0">
    </box>
    <polygon label="zebra" occluded="0" points="1.0,2.0;31.0,2.0;16.0,42.0" z_order="0">
    </polygon>
    <ellipse label="zebra" occluded="0" cx="50" cy="50" rx="20" ry="10" z_order="0">
    </ellipse>
    <mask label="ant" occluded="0" rle="3, 5" left="5" top="6" width="4" height="2" z_order="0">
    </mask>
    <polyline label="ant" occluded="0" points="1,2;3,4" z_order="0">
    </polyline>
    <tag label="ant" source="manual">
    </tag>
  </image>
  <image id="4" name="sub dir/b ü.png" width="100" height="80">
  </image>
</annotations>
"""


@pytest.fixture
def file(tmp_path, helpers):
    return helpers.write_files(tmp_path, {"annotations.xml": CVAT}) / "annotations.xml"


def test_shapes_are_read_and_declared_labels_keep_their_order(file, images, helpers):
    source = read_annotations(file, images)
    assert source.format == "cvat"
    assert helpers.boxes(source) == {
        "a.jpg": [
            ("ant", [10.5, 20, 50, 70]),
            ("zebra", [110, 30, 20, 40]),  # about its centre (120, 50)
            ("zebra", [1, 2, 30, 40]),
            ("zebra", [30, 40, 40, 20]),
            ("ant", [5, 6, 4, 2]),
        ],
        "sub dir/b ü.png": [],
        "c.jpg": [],
    }
    assert [x["name"] for x in source.dataset["categories"]] == ["zebra", "ant"]
    assert source.notes == [
        "1 box is rotated: taken upright, large enough to hold it",
        "1 shape of the kind <polygon>: taken by its box",
        "1 shape of the kind <ellipse>: taken by its box",
        "1 shape of the kind <mask>: taken by its box",
        "1 shape of the kind <polyline>: left out",
        "1 shape of the kind <tag>: left out",
        f"1 image is not listed: added from {images}, with no box yet",
    ]


def test_an_unzipped_export_is_read_as_a_folder(tmp_path, images, helpers):
    helpers.write_files(tmp_path, {"annotations.xml": CVAT})
    assert helpers.boxes(read_annotations(tmp_path, images))["a.jpg"][0][0] == "ant"


def test_an_unchanged_data_set_is_written_as_it_was(file, images, tmp_path):
    source = read_annotations(file, images)
    written = write_annotations(source, source.dataset, tmp_path / "out")
    assert written.name == "completed.xml"
    assert written.read_text() == CVAT


def test_edits_change_elements_and_leave_the_others(file, images, tmp_path, helpers):
    source = read_annotations(file, images)
    dataset = helpers.changed(
        source,
        add=[
            ("a.jpg", "zebra", [150.4, 50, 20.25, 10], 0.87),
            ("a.jpg", "ant", [1, 1, 5, 5], None),
            ("c.jpg", "ant", [0, 0, 25, 40], 0.5),
        ],
        remove=[3],
        move={1: [0, 10, 50, 70], 2: [100, 40, 10, 10]},
    )
    written = write_annotations(source, dataset, tmp_path / "out")
    first, _, last = ET.parse(written).getroot().findall("image")
    elements = list(first)
    assert [x.tag for x in elements] == [
        *("box", "box", "ellipse", "mask", "polyline", "tag", "box", "box")
    ]
    assert elements[0].attrib == {
        **{"label": "ant", "source": "manual", "occluded": "1", "z_order": "2"},
        **{"xtl": "0.00", "ytl": "10.00", "xbr": "50.00", "ybr": "80.00"},
    }
    assert elements[0].findtext("attribute[@name='age']") == "old"
    assert "rotation" not in elements[1].attrib
    assert elements[6].get("source") == "auto"
    assert elements[6].findtext("attribute[@name='score']") == "0.87"
    assert elements[7].get("source") == "manual"
    assert last.attrib == {"id": "5", "name": "c.jpg", "width": "50", "height": "40"}
    again = read_annotations(written, images)
    assert helpers.boxes(again) == helpers.boxes(dataset)
    assert [x for x in helpers.marks(again) if x[0]] == [("mined", 0.87), ("mined", 0.5)]
    assert "<!-- a note -->" in written.read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('xtl="10.50"', 'xtl="x"', r"image a\.jpg: <box> 1: xtl is 'x', not a number"),
        ('xtl="10.50"', "", r"image a\.jpg: <box> 1: xtl is None, not a number"),
        ("1.0,2.0;31.0", "1.0;31.0", r"image a\.jpg: <polygon> 4 has the points '1\.0;31\.0,"),
        ('<box label="ant"', "<box", r"image a\.jpg: <box> 1 has no label"),
        ('name="a.jpg"', 'name="a.gif"', None),
        (
            'name="a.jpg"',
            'name="d.jpg"',
            r"annotations\.xml lists 1 image missing from .*: d\.jpg",
        ),
        ('name="a.jpg"', 'name="c.jpg"', r"c\.jpg is said to be 200x100, but .*c\.jpg is 50x40"),
        ("sub dir/b ü.png", "A.JPG", r"are annotations of the same image a\.jpg: remove one"),
        ("<image", "<track/><image", r"export as CVAT for video"),
    ],
)
def test_a_fault_is_named(old, new, message, file, images, helpers):
    file.write_text(CVAT.replace(old, new, 1))
    if message is None:  # another suffix of the same stem
        assert len(helpers.boxes(read_annotations(file, images))["a.jpg"]) == 5
        return
    with pytest.raises(InputError, match=message):
        read_annotations(file, images)
