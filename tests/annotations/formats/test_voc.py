"""Pascal VOC as labelImg and CVAT write it."""

import xml.etree.ElementTree as ET

import pytest

from comining.annotations.formats import read_annotations, write_annotations
from comining.errors import InputError

LABELIMG = """<annotation>
\t<folder>images</folder>
\t<filename>a.jpg</filename>
\t<path>C:\\Users\\me\\images\\a.jpg</path>
\t<source>
\t\t<database>Unknown</database>
\t</source>
\t<size>
\t\t<width>200</width>
\t\t<height>100</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
\t<!-- checked twice -->
\t<object>
\t\t<name>cat</name>
\t\t<pose>Left</pose>
\t\t<truncated>1</truncated>
\t\t<difficult>1</difficult>
\t\t<bndbox>
\t\t\t<xmin>10</xmin>
\t\t\t<ymin>20</ymin>
\t\t\t<xmax>60</xmax>
\t\t\t<ymax>90</ymax>
\t\t</bndbox>
\t\t<part>
\t\t\t<name>head</name>
\t\t\t<bndbox>
\t\t\t\t<xmin>1</xmin>
\t\t\t\t<ymin>1</ymin>
\t\t\t\t<xmax>2</xmax>
\t\t\t\t<ymax>2</ymax>
\t\t\t</bndbox>
\t\t</part>
\t</object>
\t<object>
\t\t<name>ant</name>
\t\t<bndbox>
\t\t\t<xmin>100</xmin>
\t\t\t<ymin>0</ymin>
\t\t\t<xmax>120</xmax>
\t\t\t<ymax>30</ymax>
\t\t</bndbox>
\t</object>
</annotation>
"""
EMPTY = """<annotation><filename>b ü.png</filename>
<size><width>0</width><height>0</height><depth>0</depth></size></annotation>
"""


@pytest.fixture
def folder(tmp_path, helpers):
    return helpers.write_files(
        tmp_path / "voc", {"a.xml": LABELIMG, "sub dir/b ü.xml": EMPTY, ".hidden.xml": "<"}
    )


def test_boxes_names_and_images_without_objects_are_read(folder, images, helpers):
    source = read_annotations(folder, images)
    assert source.format == "voc"
    assert helpers.boxes(source) == {
        "a.jpg": [("cat", [10, 20, 50, 70]), ("ant", [100, 0, 20, 30])],
        "sub dir/b ü.png": [],
        "c.jpg": [],
    }
    assert [(x["id"], x["name"]) for x in source.dataset["categories"]] == [(1, "ant"), (2, "cat")]
    assert [(x["width"], x["height"]) for x in source.dataset["images"]] == [
        (200, 100),
        (100, 80),
        (50, 40),
    ]
    first = source.dataset["annotations"][0]
    assert (first["area"], first["iscrowd"], first["difficult"]) == (3500, 0, 1)
    assert source.unlisted == 1
    assert len(read_annotations(folder, images, listed_only=True).dataset["images"]) == 2


def test_an_unchanged_data_set_is_written_byte_for_byte(folder, images, tmp_path):
    source = read_annotations(folder, images)
    written = write_annotations(source, source.dataset, tmp_path / "out")
    assert written == tmp_path / "out" / "completed"
    files = {x.relative_to(written).as_posix(): x.read_text() for x in written.rglob("*.xml")}
    assert files == {"a.xml": LABELIMG, "sub dir/b ü.xml": EMPTY}


def test_a_mined_box_is_one_more_object_and_all_else_is_as_it_was(
    folder, images, tmp_path, helpers
):
    source = read_annotations(folder, images)
    completed = helpers.changed(source, add=[("a.jpg", "ant", [150.4, 50, 20.2, 10], 0.87)])
    written = write_annotations(source, completed, tmp_path / "out")
    added = """\t<object>
\t\t<name>ant</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>150</xmin>
\t\t\t<ymin>50</ymin>
\t\t\t<xmax>171</xmax>
\t\t\t<ymax>60</ymax>
\t\t</bndbox>
\t\t<origin>mined</origin>
\t\t<score>0.87</score>
\t</object>
</annotation>
"""
    assert (written / "a.xml").read_text() == LABELIMG.replace("</annotation>\n", added)
    assert (folder / "a.xml").read_text() == LABELIMG
    again = read_annotations(written, images)
    assert helpers.marks(again) == [(None, None), (None, None), ("mined", 0.87)]


def test_what_a_review_removed_and_moved_is_removed_and_moved(folder, images, tmp_path, helpers):
    source = read_annotations(folder, images)
    reviewed = helpers.changed(source, remove=[2], move={1: [0, 10, 50, 70]})
    root = ET.parse(write_annotations(source, reviewed, tmp_path / "out") / "a.xml").getroot()
    assert [x.findtext("name") for x in root.iter("object")] == ["cat"]
    kept = root.find("object")
    assert [x.text for x in kept.find("bndbox")] == ["0", "10", "50", "80"]
    assert (kept.findtext("pose"), kept.findtext("part/name")) == ("Left", "head")


def test_a_box_of_an_unlisted_image_gets_a_file_of_its_own(folder, images, tmp_path, helpers):
    source = read_annotations(folder, images)
    completed = helpers.changed(source, add=[("c.jpg", "cat", [1, 2, 30, 20], 0.5)])
    written = write_annotations(source, completed, tmp_path / "out")
    again = read_annotations(written, images)
    assert helpers.boxes(again)["c.jpg"] == [("cat", [1, 2, 30, 20])]
    assert again.unlisted == 0
    assert ET.parse(written / "c.xml").findtext("folder") == "images"  # as in the others


def test_an_accepted_box_is_an_annotation_like_the_others(folder, images, tmp_path, helpers):
    source = read_annotations(folder, images)
    completed = helpers.changed(source, add=[("a.jpg", "ant", [150, 50, 20, 10], 0.87)])
    mined = read_annotations(write_annotations(source, completed, tmp_path / "out"), images)
    accepted = helpers.changed(mined)
    for annotation in accepted["annotations"]:
        annotation.pop("origin", None)
        annotation.pop("score", None)
    again = read_annotations(write_annotations(mined, accepted, tmp_path / "accepted"), images)
    assert helpers.boxes(again) == helpers.boxes(mined)
    assert helpers.marks(again) == [(None, None)] * 3


def test_decimals_are_written_where_there_are_some(folder, images, tmp_path, helpers):
    (folder / "a.xml").write_text(LABELIMG.replace(">10<", ">10.25<"))
    source = read_annotations(folder, images)
    completed = helpers.changed(source, add=[("a.jpg", "ant", [150.4, 50, 20.25, 10], 0.87)])
    again = read_annotations(write_annotations(source, completed, tmp_path / "out"), images)
    assert helpers.boxes(again)["a.jpg"][2] == ("ant", [150.4, 50, 20.25, 10])


def test_images_may_lie_beside_their_annotations(images, helpers, tmp_path):
    helpers.write_files(images, {"a.xml": LABELIMG, "sub dir/b ü.xml": EMPTY})
    source = read_annotations(images, images)
    assert len(helpers.boxes(source)["a.jpg"]) == 2
    assert source.unlisted == 1


def test_an_image_that_was_renamed_with_its_file_is_found_by_that(images, tmp_path, helpers):
    text = LABELIMG.replace("a.jpg</filename>", "IMG 1.jpg</filename>")
    source = read_annotations(helpers.write_files(tmp_path / "voc", {"a.xml": text}), images)
    assert len(helpers.boxes(source)["a.jpg"]) == 2
    assert source.notes[0].startswith("1 image is named otherwise")
    (tmp_path / "voc/a.xml").rename(tmp_path / "voc/x.xml")
    with pytest.raises(InputError, match=r"voc lists 1 image missing from .*images: IMG 1\.jpg"):
        read_annotations(tmp_path / "voc", images)


def test_lists_of_images_beside_the_annotations_are_no_labels(images, tmp_path, helpers):
    lists = {"ImageSets/Main/train.txt": "000001\n000002\n" * 3, "cat.txt": "000001 -1\n" * 9}
    helpers.write_files(tmp_path / "voc", {"Annotations/a.xml": LABELIMG, **lists})
    assert read_annotations(tmp_path / "voc", images).format == "voc"


def test_of_images_of_one_name_the_one_that_lies_alike_is_meant(tmp_path, helpers):
    for folder in ("train", "val"):
        helpers.write_image(tmp_path / "images" / folder / "a.jpg", (200, 100))
    helpers.write_files(tmp_path / "voc", {"train/a.xml": LABELIMG})
    source = read_annotations(tmp_path / "voc", tmp_path / "images")
    assert {k: len(v) for k, v in helpers.boxes(source).items()} == {
        "train/a.jpg": 2,
        "val/a.jpg": 0,
    }


def test_a_file_changed_in_the_meantime_is_refused(folder, images, tmp_path, helpers):
    source = read_annotations(folder, images)
    completed = helpers.changed(source, add=[("a.jpg", "ant", [150, 50, 20, 10], 0.87)])
    (folder / "a.xml").write_text(LABELIMG.replace("<name>cat", "<name>dog"))
    with pytest.raises(InputError, match=r"a\.xml was changed since it was read"):
        write_annotations(source, completed, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LABELIMG[:-20], r"a\.xml is not well-formed XML: .*line 44"),
        (LABELIMG.replace("xmin>", "left>"), r"a\.xml: object 1: xmin is '', not a number"),
        (LABELIMG.replace(">60<", ">nan<"), r"a\.xml: object 1: xmax is 'nan': it must be finite"),
        (LABELIMG.replace("<name>ant</name>", ""), r"a\.xml: object 2 has no <name>"),
        (LABELIMG.replace("bndbox", "box"), r"a\.xml: object 1 has no <bndbox>"),
        (
            LABELIMG.replace(">200<", ">400<"),
            r"a\.xml: the image a\.jpg is said to be 400x100, but .*a\.jpg is 200x100",
        ),
        (
            LABELIMG.replace(">200<", "><").replace(">10<", ">x<"),
            r"a\.xml: object 1: xmin is 'x', not a number",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + LABELIMG, r"a\.xml has a document type definition"),
        ("<kml/>", r"voc has no annotations of a known format \(it holds a\.xml: XML with <kml>"),
    ],
)
def test_a_faulty_file_is_named(text, message, images, tmp_path, helpers):
    helpers.write_files(tmp_path / "voc", {"a.xml": text})
    with pytest.raises(InputError, match=message):
        read_annotations(tmp_path / "voc", images)


def test_a_single_file_is_refused(folder, images):
    with pytest.raises(InputError, match=r"a\.xml is the Pascal VOC annotation of a single image"):
        read_annotations(folder / "a.xml", images)
