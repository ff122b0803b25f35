"""``comining convert``: other formats as COCO files."""

import json

import pytest
from PIL import Image

VOC = """<annotation><filename>a.jpg</filename><object><name>{}</name><bndbox><xmin>10</xmin>
<ymin>20</ymin><xmax>60</xmax><ymax>90</ymax></bndbox></object></annotation>"""


@pytest.fixture
def voc(tmp_path):
    """Two images of 200 x 100 pixels, one of which has a file that boxes a cat."""
    for folder in ("images", "voc"):
        (tmp_path / folder).mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (200, 100)).save(tmp_path / "images" / name)
    (tmp_path / "voc" / "a.xml").write_text(VOC.format("cat"))
    return tmp_path


def test_a_folder_becomes_a_file_that_other_commands_take(command_line, voc):
    output = voc / "all.json"
    words = "convert", voc / "images", voc / "voc", "--output", output
    done = command_line(*words)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f"1 image is not listed: added from {voc / 'images'}, with no box yet",
        f"{output}: 2 images, 1 annotation, 1 category",
    ]
    dataset = json.loads(output.read_text())
    assert dataset["images"] == [
        {"id": 1, "file_name": "a.jpg", "width": 200, "height": 100},
        {"id": 2, "file_name": "b.jpg", "width": 200, "height": 100},
    ]
    assert dataset["categories"] == [{"id": 1, "name": "cat"}]
    (annotation,) = dataset["annotations"]
    assert (annotation["image_id"], annotation["category_id"]) == (1, 1)
    assert annotation["bbox"] == [10, 20, 50, 70]
    assert command_line("check", output, "--images", voc / "images", "--no-decode").exit_code == 0
    assert command_line(*words, "--listed-only", "--quiet").output == ""
    assert len(json.loads(output.read_text())["images"]) == 1


def test_images_that_a_coco_file_lacks_are_listed(command_line, tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    for name, size in (("listed.png", (4, 3)), ("new.png", (5, 4))):
        Image.new("RGB", size).save(folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (3, 6)).save(folder / "turned.JPG", exif=exif)
    (folder / "notes.txt").touch()
    before = {
        "images": [{"id": 7, "file_name": "listed.png", "width": 4, "height": 3, "rain": True}],
        "annotations": [
            {"id": 9, "image_id": 7, "category_id": 5, "bbox": [0, 0, 2, 2], "area": 4,
             "iscrowd": 0}
        ],
        "categories": [{"id": 5, "name": "shape"}],
    }  # fmt: skip
    (tmp_path / "half.json").write_text(json.dumps(before))
    output = tmp_path / "all.json"
    done = command_line("convert", folder, tmp_path / "half.json", "--output", output)
    assert done.exit_code == 0, done.output
    new = [
        {"id": 1, "file_name": "new.png", "width": 5, "height": 4},
        {"id": 2, "file_name": "turned.JPG", "width": 6, "height": 3},
    ]
    after = {**before, "images": [*before["images"], *new]}
    assert json.loads(output.read_text()) == after
    checked = command_line("check", output, "--images", folder)
    assert "not listed" not in checked.output
    unlisted = command_line("check", tmp_path / "half.json", "--images", folder, "--no-decode")
    assert "2 images are not listed" in unlisted.output
    assert "unless `comining convert` lists them" in unlisted.output


def test_categories_are_those_of_the_training(command_line, voc):
    training = {
        "images": [{"id": 1, "file_name": "t.jpg", "width": 9, "height": 9}],
        "annotations": [],
        "categories": [{"id": 7, "name": "ant"}, {"id": 3, "name": "cat"}],
    }
    (voc / "train.json").write_text(json.dumps(training))
    output = voc / "val.json"
    words = ("convert", voc / "images", voc / "voc", "--output", output,
             "--categories-of", voc / "train.json")  # fmt: skip
    assert command_line(*words).exit_code == 0
    dataset = json.loads(output.read_text())
    assert dataset["categories"] == [{"id": 3, "name": "cat"}, {"id": 7, "name": "ant"}]
    assert [x["category_id"] for x in dataset["annotations"]] == [3]
    (voc / "voc" / "a.xml").write_text(VOC.format("dog"))
    done = command_line(*words)
    assert done.exit_code == 2
    assert "train.json lacks the category 'dog': its categories are cat, ant" in done.stderr


def test_what_is_known_of_images_has_the_ids_of_the_other_file(command_line, voc):
    """The lists of category ids that images and the whole file may have."""
    dataset = {
        "info": {"exhaustive_category_ids": [1]},
        "images": [
            {"id": 5, "file_name": "a.jpg", "width": 200, "height": 100, "neg_category_ids": [2]},
            {"id": 6, "file_name": "b.jpg", "width": 200, "height": 100,
             "exhaustive_category_ids": "all"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": None, "bbox": [1, 1, 9, 9], "ignore": 1}
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "ant"}],
    }  # fmt: skip
    (voc / "given.json").write_text(json.dumps(dataset))
    dataset["categories"] = [{"id": 7, "name": "ant"}, {"id": 8, "name": "cat"}]
    (voc / "train.json").write_text(json.dumps({**dataset, "info": {}, "annotations": []}))
    done = command_line("convert", voc / "images", voc / "given.json", "--output", voc / "o.json",
                        "--categories-of", voc / "train.json")  # fmt: skip
    assert done.exit_code == 0, done.output
    after = json.loads((voc / "o.json").read_text())
    assert after["info"] == {"exhaustive_category_ids": [8]}
    assert after["images"][0]["neg_category_ids"] == [7]
    assert after["images"][1]["exhaustive_category_ids"] == "all"
    assert after["annotations"][0]["category_id"] is None


def test_no_file_is_written_over_or_left_by_a_mistake(command_line, voc):
    done = command_line("convert", voc / "photos", voc / "voc", "--output", voc / "o.json")
    assert done.exit_code == 2
    assert "photos is not there: give the folder of the images" in done.stderr
    assert not (voc / "o.json").exists()
    (voc / "given.json").write_text(json.dumps({"images": [], "annotations": []}))
    before = (voc / "given.json").read_bytes()
    words = voc / "images", voc / "given.json", "--output", voc / "given.json"
    assert "is the input file" in command_line("convert", *words).stderr
    assert (voc / "given.json").read_bytes() == before
