"""Open Images as its authors publish it."""

import pytest

from comining.annotations.formats import read_annotations, write_annotations
from comining.annotations.known import known_of
from comining.errors import InputError

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside\n"
)
ROWS = [
    "a,xclick,/m/01g317,1,0.05,0.3,0.2,0.9,0,1,0,0,0\n",
    "a,activemil,/m/0dzct,1,0.5,0.75,0.5,0.6,1,0,1,0,0\n",
    "b ü,xclick,/m/01g317,1,0,1,0,1,0,0,0,0,0\n",
]
NAMES = "/m/011k07,Tortoise\n/m/01g317,Person\n/m/0dzct,Face\n"


@pytest.fixture
def file(tmp_path, helpers):
    files = {"train-annotations-bbox.csv": HEADER + "".join(ROWS), "classes.csv": NAMES}
    return helpers.write_files(tmp_path / "csv", files) / "train-annotations-bbox.csv"


def test_rows_are_read_with_the_names_beside_them(file, images, helpers):
    source = read_annotations(file, images)
    assert source.format == "openimages"
    assert helpers.boxes(source) == {
        "a.jpg": [("Person", [10, 20, 50, 70]), ("Face", [100, 50, 50, 10])],
        "sub dir/b ü.png": [("Person", [0, 0, 100, 80])],
        "c.jpg": [],
    }
    assert [x["iscrowd"] for x in source.dataset["annotations"]] == [0, 1, 0]
    assert [x["name"] for x in source.dataset["categories"]] == ["Face", "Person"]
    assert helpers.boxes(read_annotations(file.parent, images)) == helpers.boxes(source)


def test_labels_of_whole_images_tell_what_is_known(file, images):
    """Face is 1, Person 2; a tortoise is boxed nowhere, and of b's face a machine is unsure."""
    (file.parent / "train-annotations-human-imagelabels.csv").write_text(
        "ImageID,Source,LabelName,Confidence\n"
        "a,verification,/m/01g317,1\na,verification,/m/0dzct,0\na,verification,/m/011k07,0\n"
        "b ü,verification,/m/011k07,1\nb ü,machine,/m/01g317,0.7\nb ü,verification,/m/0dzct,0\n"
        "elsewhere,verification,/m/0dzct,1\n"
    )
    source = read_annotations(file, images)
    assert [x["name"] for x in source.dataset["categories"]] == ["Face", "Person"]
    known = known_of(source.dataset)
    a, b, c = (x["id"] for x in source.dataset["images"])
    assert known.exhaustive == {a: {2}, b: set(), c: set()}
    assert known.absent == {a: set(), b: {1}, c: set()}
    assert "1 label has boxes, though verified as absent: taken as present" in source.notes


def test_labels_with_too_few_columns(file, images):
    (file.parent / "labels.csv").write_text("ImageID,LabelName,Confidence\na,/m/01g317\n")
    with pytest.raises(InputError, match=r"labels\.csv has lines with too few columns"):
        read_annotations(file, images)


def test_names_with_a_header_are_read_and_ambiguous_ones_keep_their_codes(file, images, helpers):
    names = "LabelName,DisplayName\n/m/01g317,Person\n/m/0dzct,Person\n"
    (file.parent / "classes.csv").write_text(names)
    source = read_annotations(file, images)
    assert [x["name"] for x in source.dataset["categories"]] == [
        "Person (/m/01g317)",
        "Person (/m/0dzct)",
    ]


def test_labels_may_be_names_already(file, images, tmp_path):
    text = file.read_text().replace("/m/01g317", "Person").replace("/m/0dzct", "Face")
    file.write_text(text)
    (file.parent / "classes.csv").write_text("Person,Person\nFace,Face\n")
    source = read_annotations(file, images)
    assert [x["name"] for x in source.dataset["categories"]] == ["Face", "Person"]
    assert not any("codes" in x for x in source.notes)


def test_without_names_codes_are_the_names_and_a_note_says_so(file, images):
    (file.parent / "classes.csv").unlink()
    source = read_annotations(file, images)
    assert [x["name"] for x in source.dataset["categories"]] == ["/m/01g317", "/m/0dzct"]
    assert source.notes[0].startswith("2 labels have no name, only a code: put class-descr")


def test_edits_change_rows_and_leave_the_others(file, images, tmp_path, helpers):
    source = read_annotations(file, images)
    dataset = helpers.changed(
        source,
        add=[
            ("a.jpg", "Face", [150, 50, 20, 10], 0.87),
            ("c.jpg", "Person", [0, 0, 25, 40], None),
        ],
        remove=[3],
        move={1: [0, 0, 20, 10]},
    )
    written = write_annotations(source, dataset, tmp_path / "out")
    assert written.name == "completed.csv"
    assert written.read_text().splitlines(keepends=True) == [
        HEADER,
        "a,xclick,/m/01g317,1,0.000000,0.100000,0.000000,0.100000,0,1,0,0,0\n",
        ROWS[1],
        "a,comining,/m/0dzct,0.87,0.750000,0.850000,0.500000,0.600000,-1,-1,-1,-1,-1\n",
        "c,freeform,/m/01g317,1,0.000000,0.500000,0.000000,1.000000,-1,-1,-1,-1,-1\n",
    ]
    (written.parent / "classes.csv").write_text(NAMES)
    again = read_annotations(written, images)
    assert helpers.boxes(again) == helpers.boxes(dataset)
    assert [x for x in helpers.marks(again) if x[0]] == [("mined", 0.87)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + ROWS[0].replace("0.3", "60"), r"line 2 has coordinates that are not fractions"),
        (HEADER + ROWS[0].replace("0.3", ""), r"line 2: XMax is '', not a number"),
        (HEADER + ROWS[0][1:], r"line 2 has no ImageID"),
        (HEADER + ROWS[0].replace("/m/01g317", ""), r"line 2 has no LabelName"),
        (
            "ImageID,Source,LabelName,Confidence\na,verification,/m/1,1\n",
            r"holds labels of whole images, .*: give the file of the boxes",
        ),
        (HEADER, r"has no box with a label: annotate some objects first"),
    ],
)
def test_a_fault_is_named(text, message, file, images):
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_annotations(file, images)


def test_new_images_that_differ_in_their_suffix_are_told_apart(file, tmp_path, helpers):
    for name in ("a.jpg", "d.jpg", "d.png"):
        helpers.write_image(tmp_path / "two" / name, (200, 100))
    file.write_text(HEADER + ROWS[0])
    source = read_annotations(file, tmp_path / "two")
    label = source.dataset["categories"][0]["name"]
    new = [(name, label, [0, 0, 20, 10], None) for name in ("d.jpg", "d.png")]
    dataset = helpers.changed(source, add=new)
    written = write_annotations(source, dataset, tmp_path / "out")
    (written.parent / "classes.csv").write_text(NAMES)
    assert helpers.boxes(read_annotations(written, tmp_path / "two")) == helpers.boxes(dataset)
