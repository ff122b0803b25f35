"""What is an image, and which images a detector would see as black or white."""

import json
from io import BytesIO

import numpy as np
import pytest
from detectron2.data.detection_utils import read_image
from PIL import Image

from comining.annotations.image_files import (
    IMAGE_SUFFIXES,
    cut_off_files,
    is_image,
    missing_files,
    refuse_deep_image,
    report_deep_images,
    turned,
)
from comining.annotations.report import Report
from comining.completion.gallery import upright


@pytest.fixture
def folder(tmp_path):
    """Of everything that is named like an image, two are files to be looked at."""
    for name in ("a.png", "B.JPG", "._a.png", ".hidden.png", "notes.txt", "png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    return tmp_path


def test_images_found_in_a_folder(folder):
    found = {path.name for path in folder.iterdir() if is_image(path)}
    assert found == {"a.png", "B.JPG", "link.png"}
    assert {x.name for x in folder.iterdir() if is_image(x, IMAGE_SUFFIXES | {".txt"})} == {
        *found,
        "notes.txt",
    }


def test_only_files_are_there(folder):
    names = ["a.png", "link.png", "folder.png", "dangling.png", "gone.png", "folder.png/a.png", ""]
    assert missing_files(names, folder) == names[2:]


DEEP = {
    "grey16.png": np.full((6, 8), 3000, np.uint16),
    "grey16.tif": np.full((6, 8), 3000, np.uint16),
    "grey32.tif": np.full((6, 8), 3000, np.int32),
    "float.TIFF": np.full((6, 8), 0.5, np.float32),
}
SHALLOW = {
    "grey8.png": np.full((6, 8), 30, np.uint8),
    "colour.tif": np.full((6, 8, 3), 30, np.uint8),
    "transparent.png": np.full((6, 8, 4), 30, np.uint8),
    "bits.png": np.full((6, 8), True),
    "a.jpg": np.full((6, 8), 30, np.uint8),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_images_are_refused(name, tmp_path):
    Image.fromarray(DEEP[name]).save(tmp_path / name)
    with pytest.raises(OSError, match=rf"{name} has the mode .* as black or white: write an 8-bit"):
        refuse_deep_image(tmp_path / name)


def test_a_sample_of_a_data_set_tells_deep_images(tmp_path):
    for name, pixels in {**DEEP, **SHALLOW}.items():
        Image.fromarray(pixels).save(tmp_path / name)
        if name in SHALLOW:
            refuse_deep_image(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"no image")
    names = [*DEEP, *SHALLOW, "broken.png", "gone.png", "../grey16.png"]
    report = Report("a.json")
    report_deep_images([{"file_name": name} for name in names], tmp_path, report)
    (finding,) = report.findings
    assert finding.severity == "error"
    assert finding.offenders == list(DEEP)


def test_few_of_many_images_are_looked_at(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("comining.annotations.image_files.is_deep", asked.append)
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    report_deep_images([{"file_name": "a.png"}] * 2300, tmp_path, Report("a.json"))
    assert 400 <= len(asked) <= 500


def photograph(path, orientation, *, is_damaged=False):
    """Of 40 x 20 pixels, as they are stored, each of another grey."""
    pixels = np.arange(800, dtype=np.uint16).reshape(20, 40) // 4
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    buffer = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", exif=exif, quality=100)
    content = buffer.getvalue()
    if is_damaged:  # the maker's tag becomes that of a length, which a text is none
        place = content.index(b"Exif") + 16
        assert content[place : place + 2] == b"\x01\x0f"
        content = content[:place] + b"\x01\x01" + content[place + 2 :]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_images_are_turned_as_detectron2_turns_them(orientation, is_damaged, tmp_path):
    path = photograph(tmp_path / "a.jpg", orientation, is_damaged=is_damaged)
    expected = read_image(str(path), "RGB")
    with Image.open(path) as image:
        assert (np.asarray(turned(image).convert("RGB")) == expected).all()
    assert (np.asarray(upright(path)) == expected).all()


def test_check_of_a_turned_image_whose_exif_is_damaged(tmp_path, command_line):
    photograph(tmp_path / "a.jpg", 6, is_damaged=True)
    dataset = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(dataset))
    done = command_line("check", tmp_path / "a.json", "--images", tmp_path)
    assert done.exit_code == 0, done.output


def test_files_that_end_too_early_are_found(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for name in ("whole.jpg", "cut.jpg", "video.JPEG", "whole.png", "cut.PNG", "cut.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
    for name in ("cut.jpg", "cut.PNG", "cut.bmp"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    with (tmp_path / "video.JPEG").open("ab") as file:
        file.write(b"what a phone puts behind an image")
    (tmp_path / "empty.jpg").touch()
    names = ["whole.jpg", "cut.jpg", "video.JPEG", "whole.png", "cut.PNG", "empty.jpg"]
    assert cut_off_files(names, tmp_path) == ["cut.jpg", "cut.PNG", "empty.jpg"]
    assert cut_off_files(["cut.bmp"], tmp_path) == []  # has no end of its own
