"""Images are found by the names that annotations give them, whatever their spelling."""

import unicodedata

import pytest
from PIL import Image

from comining.annotations.formats import read_annotations
from comining.annotations.formats.images import ImageFolder
from comining.errors import InputError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub dir/b ü.png", "sub dir/b ü.png"),
        (unicodedata.normalize("NFD", "sub dir/b ü.png"), "sub dir/b ü.png"),
        ("SUB DIR/B Ü.PNG", "sub dir/b ü.png"),
        ("sub%20dir/b%20%C3%BC.png", "sub dir/b ü.png"),
        ("C:\\data\\sub dir\\b ü.png", "sub dir/b ü.png"),
        ("/elsewhere/b ü.png", "sub dir/b ü.png"),
        ("b ü.jpeg", "sub dir/b ü.png"),
        ("b ü", "sub dir/b ü.png"),
        ("./a.jpg", "a.jpg"),
        ("0123abcd-b_ü.png", "sub dir/b ü.png"),
    ],
)
def test_an_image_is_found(name, expected, images):
    assert ImageFolder(images).find([name], "x.json") == [expected]


def test_names_stored_decomposed_are_found(tmp_path, helpers):
    stored = unicodedata.normalize("NFD", "ü.png")
    helpers.write_image(tmp_path / stored, (9, 9))
    assert ImageFolder(tmp_path).find(["ü.png"], "x.json") == [stored]


def test_hidden_files_and_folders_and_other_files_are_no_images(tmp_path, helpers):
    for name in ("a.JPG", ".b.jpg", ".thumbs/c.jpg", "__MACOSX/._d.jpg"):
        helpers.write_image(tmp_path / name, (9, 9))
    (tmp_path / "a.txt").touch()
    assert ImageFolder(tmp_path).names == ["a.JPG"]


def test_links_to_folders_are_followed_and_not_in_circles(images, tmp_path):
    root = tmp_path / "linked"
    root.mkdir()
    (root / "all").symlink_to(images)
    (root / "back").symlink_to(root)
    (root / "same").symlink_to(images)
    assert ImageFolder(root).names == ["all/a.jpg", "all/c.jpg", "all/sub dir/b ü.png"]


def test_files_that_differ_in_their_suffix_or_case_are_told_apart(tmp_path, helpers):
    for name in ("a.jpg", "a.png", "B.jpg", "b.jpg"):
        helpers.write_image(tmp_path / name, (9, 9))
    folder = ImageFolder(tmp_path)
    assert folder.find(["a.png", "b.jpg", "B.jpg"], "x.json") == ["a.png", "b.jpg", "B.jpg"]
    # Without a suffix, too, as files of labels name them.
    assert folder.find(["b", "B"], "x.json") == ["b.jpg", "B.jpg"]
    with pytest.raises(InputError, match=r"the image a of x\.json may be any of a\.jpg, a\.png"):
        folder.find(["a"], "x.json")


def test_the_most_alike_path_decides_and_else_the_name_is_ambiguous(tmp_path, helpers):
    for name in ("train/a.jpg", "val/a.jpg"):
        helpers.write_image(tmp_path / name, (9, 9))
    folder = ImageFolder(tmp_path)
    assert folder.find(["data/images/val/a.jpg"], "x.json") == ["val/a.jpg"]
    with pytest.raises(InputError, match=r"may be any of train/a\.jpg, val/a\.jpg"):
        folder.find(["test/a.jpg"], "x.json")


def test_missing_images_are_counted_and_the_first_named(images):
    names = [f"{i}.jpg" for i in range(9)]
    with pytest.raises(InputError, match=r"^x\.json lists 9 images missing from .*: 0\.jpg, 1"):
        ImageFolder(images).find(names, "x.json")


def test_no_folder_no_image_and_a_damaged_image_are_named(images, tmp_path):
    with pytest.raises(InputError, match=r"nowhere is not there: give the folder of the images"):
        ImageFolder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty has no images"):
        ImageFolder(tmp_path / "empty")
    (images / "a.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"a\.jpg can't be read as an image"):
        ImageFolder(images).size("a.jpg")


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_sizes_are_those_of_the_camera_as_it_was_held(orientation, tmp_path, helpers):
    helpers.write_image(tmp_path / "a.jpg", (30, 20), orientation)
    size = ImageFolder(tmp_path).size("a.jpg")
    assert size.upright == ((20, 30) if orientation >= 5 else (30, 20))
    assert (size.stored, size.orientation) == ((30, 20), orientation)


def test_a_turned_png_is_known_too(tmp_path):
    image = Image.new("RGB", (30, 20))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    assert ImageFolder(tmp_path).size("a.png").upright == (20, 30)


def test_a_stem_may_look_like_a_name(tmp_path, helpers):
    helpers.write_image(tmp_path / "scan.tif.jpg", (9, 9))
    assert ImageFolder(tmp_path).find(["scan.tif"], "x.json") == ["scan.tif.jpg"]


def test_broken_images_are_all_named_and_those_without_annotations_left_out(
    images, tmp_path, helpers
):
    for name in ("d.jpg", "e.jpg"):
        (images / name).write_bytes(b"no image")
    listed = {"a.txt": "0 0.5 0.5 0.1 0.1\n", "d.txt": "", "classes.txt": "ant"}
    helpers.write_files(tmp_path / "labels", listed)
    with pytest.raises(InputError, match=r"d\.jpg can't be read as an image"):
        read_annotations(tmp_path / "labels", images)
    helpers.write_files(tmp_path / "labels", {"e.txt": ""})
    with pytest.raises(InputError, match=r"2 listed images in .* can't be read: d\.jpg, e\.jpg"):
        read_annotations(tmp_path / "labels", images)
    for name in ("d.txt", "e.txt"):
        (tmp_path / "labels" / name).unlink()
    source = read_annotations(tmp_path / "labels", images)
    note = "2 unlisted images can't be read: left out (d.jpg, e.jpg)"
    assert note in source.notes
    assert [x["file_name"] for x in source.dataset["images"]] == [
        "a.jpg", "c.jpg", "sub dir/b ü.png",
    ]  # fmt: skip
