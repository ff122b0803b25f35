"""YOLO as Ultralytics, labelImg and CVAT write it."""

import pytest

from comining.annotations.formats import read_annotations, write_annotations
from comining.errors import InputError

# Of 200 x 100: x from 20 to 60, y from 10 to 30.
BOX = "1 0.2 0.2 0.2 0.2\n"
DATA = "path: .\ntrain: images\nnames:\n  0: zebra\n  1: ant\n  2: unused\n"


@pytest.fixture
def labels(tmp_path, helpers):
    return helpers.write_files(
        tmp_path / "labels", {"a.txt": BOX + "\n0 0.5 0.5 1 1", "sub dir/b ü.txt": ""}
    )


def test_names_come_from_the_data_yaml_above_and_keep_their_order(
    labels, images, tmp_path, helpers
):
    helpers.write_files(tmp_path, {"data.yaml": DATA, "README.roboflow.txt": "Exported with love"})
    expected = {
        "a.jpg": [("ant", [20, 10, 40, 20]), ("zebra", [0, 0, 200, 100])],
        "sub dir/b ü.png": [],
        "c.jpg": [],
    }
    for path in (labels, tmp_path / "data.yaml", tmp_path):
        source = read_annotations(path, images)
        assert source.format == "yolo"
        assert helpers.boxes(source) == expected
        assert [x["name"] for x in source.dataset["categories"]] == ["zebra", "ant", "unused"]
        assert source.unlisted == 1
    told = "1 text file without an image: left out (the first: README.roboflow.txt)"
    assert told in source.notes


@pytest.mark.parametrize("name", ["classes.txt", "names.txt", "obj.names"])
def test_names_come_from_a_list(name, labels, images, helpers):
    helpers.write_files(labels, {name: "zebra\nant\n"})
    assert helpers.boxes(read_annotations(labels, images))["a.jpg"][0][0] == "ant"


def test_without_names_numbers_are_the_names_and_a_note_says_so(labels, images):
    source = read_annotations(labels, images)
    assert [x["name"] for x in source.dataset["categories"]] == ["0", "1"]
    assert source.notes[0] == (
        "2 classes have no name, only a number: put a classes.txt beside the labels"
    )


def test_what_is_written_names_its_classes_wherever_it_lies(labels, images, tmp_path, helpers):
    helpers.write_files(tmp_path, {"data.yaml": DATA})
    for path, where, name in ((labels, "far/off", "classes.txt"), (tmp_path, "other", "data.yaml")):
        source = read_annotations(path, images)
        written = write_annotations(source, source.dataset, tmp_path.parent / where)
        assert (written / name).is_file()
        assert not (written / ({"classes.txt", "data.yaml"} - {name}).pop()).exists()
        again = read_annotations(written, images)
        assert again.dataset["categories"] == source.dataset["categories"]


def test_outlines_are_taken_by_their_boxes_and_confidences_left_out(labels, images, helpers):
    helpers.write_files(
        labels, {"a.txt": "0 0.1 0.1 0.3 0.2 0.2 0.5\n" + BOX.replace("\n", " 0.9\n")}
    )
    source = read_annotations(labels, images)
    assert helpers.boxes(source)["a.jpg"] == [("0", [20, 10, 40, 40]), ("1", [20, 10, 40, 20])]
    assert source.notes[1:3] == [
        "1 outline: taken by its box",
        "1 box has a confidence: left out",
    ]


def test_the_first_file_with_a_box_outside_of_its_image_is_named(labels, images, helpers):
    helpers.write_files(labels, {"a.txt": "0 0.1 0.1 0.1 0.1\n" + 2 * "0 1.005 0.5 0.005 0.1\n"})
    where = f"(first in {labels / 'a.txt'})"
    assert f"2 boxes lie outside their image: left out {where}" in (
        read_annotations(labels, images).notes
    )


def test_edits_change_lines_and_leave_the_others_as_they_are(labels, images, tmp_path, helpers):
    text = "0 0.1 0.1 0.3 0.2 0.2 0.5\n1 .2 .2 .2 .2\n1 0.5 0.5 0.1 0.1\n"
    helpers.write_files(labels, {"a.txt": text, "classes.txt": "zebra\nant\n"})
    source = read_annotations(labels, images)
    dataset = helpers.changed(
        source,
        add=[("a.jpg", "zebra", [100, 50, 20, 10], 0.9), ("c.jpg", "ant", [0, 0, 25, 40], 0.4)],
        remove=[2],
        move={3: [0, 0, 20, 10]},
    )
    written = write_annotations(source, dataset, tmp_path / "out")
    assert (written / "a.txt").read_text() == (
        "0 0.1 0.1 0.3 0.2 0.2 0.5\n"
        "1 0.050000 0.050000 0.100000 0.100000\n"
        "0 0.550000 0.550000 0.100000 0.100000\n"
    )
    assert (written / "c.txt").read_text() == "1 0.250000 0.500000 0.500000 1.000000\n"
    assert (written / "sub dir/b ü.txt").read_text() == ""
    assert helpers.boxes(read_annotations(written, images)) == helpers.boxes(dataset)


def test_new_labels_lie_in_the_folder_that_is_called_as_the_images(tmp_path, helpers):
    for name in ("train/a.jpg", "train/c.jpg", "val/b.jpg"):
        helpers.write_image(tmp_path / "images" / name, (200, 100))
    files = {"labels/train/a.txt": BOX, "labels/val/b.txt": BOX, "data.yaml": DATA}
    helpers.write_files(tmp_path / "set", files)
    source = read_annotations(tmp_path / "set", tmp_path / "images")
    dataset = helpers.changed(source, add=[("train/c.jpg", "ant", [20, 10, 40, 20], 0.9)])
    written = write_annotations(source, dataset, tmp_path / "out")
    assert (written / "labels/train/c.txt").read_text() == "1 0.200000 0.200000 0.200000 0.200000\n"
    assert (written / "data.yaml").read_text() == DATA.replace("path: .\n", "")


@pytest.mark.parametrize("lies_in_it", [True, False])
def test_a_written_data_yaml_is_about_its_own_folder(lies_in_it, tmp_path, helpers):
    """A trainer, like the reader here, must not find the labels of the original by it."""
    root = tmp_path / "set"
    helpers.write_image(root / "images/train/a.jpg", (200, 100))
    data = (
        f"path: {root}  # where it lies\n# of 2024\ntrain:\n  - images/train\n"
        f"  - {root}/images/more\nval: '{root}'\ntest: {root}2/images\nnames: [zebra, ant]\n"
    )
    place = root if lies_in_it else tmp_path / "configs"
    helpers.write_files(root, {"labels/train/a.txt": BOX})
    helpers.write_files(place, {"zebras.yaml": data})
    source = read_annotations(place / "zebras.yaml", root / "images")
    written = write_annotations(source, helpers.changed(source, remove=[1]), tmp_path / "out")
    assert (written / "zebras.yaml").read_text() == (
        "# of 2024\ntrain:\n  - images/train\n  - ./images/more\nval: '.'\n"
        f"test: {root}2/images\nnames: [zebra, ant]\n"
    )
    moved = written.rename(tmp_path / "moved")
    again = read_annotations(moved / "zebras.yaml", root / "images")
    assert helpers.boxes(again) == {"train/a.jpg": []}
    assert again.dataset["categories"] == source.dataset["categories"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.1\n", r"a\.txt: line 1 has 4 columns"),
        (BOX + "0 50 50 20 10\n", r"a\.txt: line 2 has coordinates that are not fractions"),
        ("7 0.5 0.5 0.1 0.1\n", r"a\.txt: line 1: the class number 7 has no name: there are 2"),
        ("cat 0.5 0.5 0.1 0.1\n", r"a\.txt: line 1 begins with 'cat', not with a class number"),
        ("0 0.5 x 0.1 0.1\n", r"a\.txt: line 1: a coordinate is 'x', not a number"),
    ],
)
def test_a_faulty_line_is_named(text, message, images, tmp_path, helpers):
    helpers.write_files(tmp_path / "labels", {"a.txt": text, "classes.txt": "zebra\nant\n"})
    with pytest.raises(InputError, match=message):
        read_annotations(tmp_path / "labels", images)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images\n", "data.yaml is not the data.yaml of a YOLO data set: it needs 'names'"),
        ("names: [a, a]\n", "data.yaml: the names of the classes must differ"),
        ("names: {1: a, 2: b}\n", "data.yaml: 'names' must be a list of names"),
        ("names: [a\n", "data.yaml is not a YAML file"),
        ("names: !!python/object/apply:os.system [ls]\n", "data.yaml is not a YAML file"),
    ],
)
def test_a_faulty_data_yaml_is_named(text, message, labels, images, tmp_path, helpers):
    helpers.write_files(tmp_path, {"data.yaml": text})
    with pytest.raises(InputError, match=message):
        read_annotations(tmp_path / "data.yaml", images)


def test_labels_of_other_images_are_refused(images, tmp_path, helpers):
    helpers.write_files(tmp_path / "labels", {"x.txt": BOX, "y.txt": BOX})
    with pytest.raises(
        InputError,
        match=r"labels lists 2 images missing from .*images: x, y\. "
        "Give the folder of its images$",
    ):
        read_annotations(tmp_path / "labels", images)


def test_a_single_file_is_refused(labels, images):
    with pytest.raises(InputError, match=r"a\.txt is the YOLO annotation of a single image"):
        read_annotations(labels / "a.txt", images)


@pytest.mark.parametrize(
    ("files", "image", "expected"),
    [
        # Images and labels in folders beside each other, and the root of both is given.
        ({"train/labels/a.txt": BOX}, "train/images/new.jpg", "train/labels/new.txt"),
        ({"labels/train/a.txt": BOX}, "images/test/new.jpg", "labels/test/new.txt"),
    ],
)
def test_a_new_file_lies_where_labels_of_such_images_do(files, image, expected, tmp_path, helpers):
    root = helpers.write_files(tmp_path / "set", {"data.yaml": "names: [ant, zebra]", **files})
    listed = next(iter(files)).replace("labels", "images").replace(".txt", ".jpg")
    for name in (listed, image):
        helpers.write_image(root / name, (200, 100))
    source = read_annotations(root / "data.yaml", root)
    dataset = helpers.changed(source, add=[(image, "zebra", [0, 0, 20, 10], 0.9)])
    written = write_annotations(source, dataset, tmp_path / "out")
    assert (written / next(iter(files))).read_text() == BOX
    assert (written / expected).read_text() == "1 0.050000 0.050000 0.100000 0.100000\n"


def test_new_images_that_differ_in_their_suffix_have_files_of_their_own(tmp_path, helpers):
    helpers.write_files(tmp_path / "labels", {"a.txt": BOX, "classes.txt": "ant\nzebra"})
    for name in ("a.jpg", "b.jpg", "b.png"):
        helpers.write_image(tmp_path / "images" / name, (200, 100))
    source = read_annotations(tmp_path / "labels", tmp_path / "images")
    new = [(name, "zebra", [0, 0, 20, 10], None) for name in ("b.jpg", "b.png")]
    dataset = helpers.changed(source, add=new)
    written = write_annotations(source, dataset, tmp_path / "out")
    again = read_annotations(written, tmp_path / "images")
    assert helpers.boxes(again) == helpers.boxes(dataset)

    # Of two cameras, whose folders are called alike, one file is where it would be sought.
    helpers.write_files(tmp_path / "two", {"train/x.txt": BOX, "classes.txt": "ant\nzebra"})
    new = [f"cam{number}/train/1.jpg" for number in (1, 2)]
    for name in (*new, "x.jpg"):
        helpers.write_image(tmp_path / "of two" / name, (200, 100))
    source = read_annotations(tmp_path / "two", tmp_path / "of two")
    added = [(name, "zebra", [0, 0, 20, 10], None) for name in new]
    written = write_annotations(source, helpers.changed(source, add=added), tmp_path / "out2")
    assert len(list(written.rglob("1.txt"))) == 2
