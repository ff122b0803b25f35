"""Images of which a review says that all objects have a box, and that have none."""

import json

import pytest

from comining.annotations.formats import read_annotations, write_annotations

VOC = """<annotation><filename>{}</filename><object><name>ant</name><bndbox>
<xmin>20</xmin><ymin>10</ymin><xmax>60</xmax><ymax>30</ymax></bndbox></object></annotation>"""
WRITTEN_VOC = """<annotation>
\t<folder></folder>
\t<filename>c.jpg</filename>
\t<size>
\t\t<width>50</width>
\t\t<height>40</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
</annotation>"""
LABELME = {
    "imagePath": "a.jpg",
    "shapes": [{"label": "ant", "shape_type": "rectangle", "points": [[20, 10], [60, 30]]}],
}
CVAT = """<annotations><image id="0" name="a.jpg" width="200" height="100">
<box label="ant" xtl="20" ytl="10" xbr="60" ybr="30" /></image></annotations>"""
VIA = {
    "a.jpg1": {
        "filename": "a.jpg",
        "size": 1,
        "file_attributes": {},
        "regions": [
            {
                "shape_attributes": {"name": "rect", "x": 20, "y": 10, "width": 40, "height": 20},
                "region_attributes": {"label": "ant"},
            }
        ],
    }
}
VIA_CSV = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    "region_attributes\n"
    'a.jpg,1,{},1,0,"{""name"":""rect"",""x"":20,""y"":10,""width"":40,""height"":20}",'
    '"{""label"":""ant""}"\n'
)
REGION = {"original_width": 200, "original_height": 100, "rectanglelabels": ["ant"]}
PERCENT = {"x": 10, "y": 10, "width": 20, "height": 20}
RESULT = {"type": "rectanglelabels", "from_name": "label", "to_name": "image", "id": "1"}
TASK = {
    "data": {"image": "a.jpg"},
    "annotations": [{"result": [{**RESULT, "value": {**PERCENT, "rectanglelabels": ["ant"]}}]}],
}
FORMATS = {
    "yolo": {"set/a.txt": "0 0.2 0.2 0.2 0.2\n", "set/classes.txt": "ant\n"},
    "voc": {"set/a.xml": VOC.format("a.jpg")},
    "labelme": {"set/a.json": json.dumps(LABELME)},
    "cvat": {"set/a.xml": CVAT},
    "via": {"set/a.json": json.dumps(VIA)},
    "via as CSV": {"set/a.csv": VIA_CSV},
    "label_studio": {"set/a.json": json.dumps([TASK])},
    "label_studio as JSON-MIN": {
        "set/a.json": json.dumps([{"image": "a.jpg", "label": [{**PERCENT, **REGION}]}])
    },
}


@pytest.fixture
def write(tmp_path, images, helpers):
    """Writes annotations of a.jpg alone, with c.jpg finished or not."""

    def write(files, *, finished):
        folder = helpers.write_files(tmp_path, files) / "set"
        source = read_annotations(folder, images)
        dataset = helpers.changed(source)
        if finished:
            dataset["images"] = [
                {**x, "finished": x["file_name"] in ("a.jpg", "c.jpg")} for x in dataset["images"]
            ]
        return source, write_annotations(source, dataset, tmp_path / "out")

    return write


@pytest.mark.parametrize("format_", FORMATS)
def test_they_are_listed(format_, write, images, helpers):
    source, written = write(FORMATS[format_], finished=True)
    again = read_annotations(written, images)
    assert again.format == format_.split()[0]
    assert (source.unlisted, again.unlisted) == (2, 1)
    assert helpers.boxes(again) == helpers.boxes(source)
    listed = read_annotations(written, images, listed_only=True).dataset
    assert [x["file_name"] for x in listed["images"]] == ["a.jpg", "c.jpg"]
    assert listed["categories"] == source.dataset["categories"]


@pytest.mark.parametrize(("format_", "text"), [("yolo", ""), ("voc", WRITTEN_VOC)])
def test_their_file_has_no_object(format_, text, write):
    _, written = write(FORMATS[format_], finished=True)
    (file,) = written.glob("c.*")
    assert file.read_text().strip() == text


def test_others_have_no_file(write):
    """Nobody has said that they are a background."""
    _, written = write(FORMATS["yolo"], finished=False)
    assert sorted(x.name for x in written.iterdir()) == ["a.txt", "classes.txt"]
