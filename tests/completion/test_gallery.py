import base64
import errno
import json
import os
import re
from io import BytesIO

import pytest
from click.testing import CliRunner
from PIL import Image

from comining.cli import main
from comining.completion import gallery, reviewing
from comining.completion.gallery_data import gallery_data, read_completed
from comining.errors import InputError

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]


def annotation(id_, image_id, category_id, bbox, score=None):
    record = {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": bbox}
    return record if score is None else {**record, "origin": "mined", "score": score}


@pytest.fixture
def folder(tmp_path):
    """Two images in ``images``; ``mined.json`` names ``full.json``, which lies beside it."""
    (tmp_path / "images").mkdir()
    images = []
    for image_id in (1, 2):
        name = f"{image_id}.png"
        Image.new("RGB", (100, 80), "gray").save(tmp_path / "images" / name)
        images.append({"id": image_id, "file_name": name, "width": 100, "height": 80})
    annotated = [annotation(1, 1, 3, [10, 10, 20, 20])]
    withheld = [
        annotation(2, 1, 3, [50, 40, 20, 20]),
        annotation(3, 2, 7, [50, 40, 20, 20]),
    ]
    mined = [
        # Numbered from the sparse file's highest id: what the original calls 2 is another box.
        annotation(2, 1, 3, [52, 40, 20, 20], score=0.9),
        annotation(3, 2, 3, [50, 40, 20, 20], score=0.7),
        annotation(4, 1, 3, [10, 12, 20, 20], score=0.8),
        annotation(5, 2, 7, [60, 40, 20, 20], score=0.95),
    ]
    crowd = {**annotation(9, 1, 3, [0, 0, 90, 70]), "iscrowd": 1}
    rest = {"images": images, "categories": CATEGORIES}
    (tmp_path / "full.json").write_text(
        json.dumps({**rest, "annotations": [*annotated, *withheld, crowd]})
    )
    info = {"sparse": {"input": "full.json"}}
    (tmp_path / "mined.json").write_text(
        json.dumps({**rest, "annotations": [*annotated, *mined, crowd], "info": info})
    )
    return tmp_path


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def read(folder, **options):
    json_file = folder / "mined.json"
    return gallery_data(read_completed(json_file, folder / "images"), json_file, **options)


def make_page(*arguments):
    return CliRunner().invoke(main, ["review", *map(str, arguments)])


def boxes(data):
    """By file name: kind, class, corner, score, found."""
    return {
        image["name"]: sorted(
            (data["kinds"][kind], data["classes"][label], x, y, score, found)
            for kind, label, x, y, _, _, score, found, _ in image["boxes"]
        )
        for image in data["images"]
    }


def test_mined_boxes_are_judged_by_the_full_original(folder):
    data = read(folder)
    assert data["kinds"] == ["annotated", "mined", "wrong", "withheld"]
    assert boxes(data) == {
        "1.png": [
            ("annotated", "cat", 10, 10, None, 0),
            ("mined", "cat", 10, 12, 0.8, 0),  # on an annotated one: not wrong
            ("mined", "cat", 52, 40, 0.9, 0),
            ("withheld", "cat", 50, 40, None, 1),
        ],
        # The place is right, the class isn't.
        "2.png": [
            ("withheld", "dog", 50, 40, None, 0),
            ("wrong", "cat", 50, 40, 0.7, 0),
            ("wrong", "dog", 60, 40, 0.95, 0),  # of an IoU of 1/3
        ],
    }


def test_lowest_score_comes_first(folder):
    assert [image["name"] for image in read(folder)["images"]] == ["2.png", "1.png"]


def test_full_original_elsewhere(folder, caplog):
    elsewhere = folder / "elsewhere.json"
    (folder / "full.json").rename(elsewhere)
    assert read(folder)["kinds"] == ["annotated", "mined"]
    assert "name it with --full" in caplog.text
    assert boxes(read(folder, full_file=elsewhere))["2.png"][1][0] == "wrong"


def test_in_the_folder_of_a_completion_no_full_original_is_missed(folder, caplog):
    (folder / "full.json").unlink()
    (folder / "source.json").write_text("{}")
    assert read(folder)["kinds"] == ["annotated", "mined"]
    assert not caplog.text


def test_what_is_repaired_is_told(folder, capsys):
    change(folder / "mined.json", annotations=[annotation(1, 1, 3, [90, 10, 20, 20])])
    assert boxes(read(folder))["1.png"][0][:4] == ("annotated", "cat", 90, 10)
    told = capsys.readouterr().err
    assert "mined.json" in told
    assert "clipped (1)" in told


@pytest.mark.parametrize("score", [None, "high", "1.5", 1.5, float("nan"), True])
def test_mined_annotation_without_a_score(folder, score):
    bad = {**annotation(5, 1, 3, [0, 0, 9, 9], score=0.5), "score": score}
    change(folder / "mined.json", annotations=[bad])
    with pytest.raises(InputError, match=r"no 'score' from 0 to 1 \(5\)"):
        read(folder)


def test_original_of_another_data_set(folder):
    change(
        folder / "full.json",
        categories=[{"id": 4, "name": "owl"}],
        annotations=[annotation(2, 1, 4, [0, 0, 9, 9])],
    )
    with pytest.raises(InputError, match=r"ids 4\): it is not its full original"):
        read(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mined.json", r"the sparse version of .*full\.json: 1 annotation has no 'id'"),
        ("full.json", r"\S*full\.json: 1 annotation has no 'id'"),
    ],
)
def test_annotations_without_ids_beside_an_original(folder, name, message):
    without = annotation(1, 1, 3, [10, 10, 20, 20])
    del without["id"]
    change(folder / name, annotations=[without])
    with pytest.raises(InputError, match=message):
        read(folder)


def test_reviewed_file_has_no_original(folder):
    """The mined boxes that were accepted have the ids 2 and 3, which are those of withheld ones."""
    dataset = json.loads((folder / "mined.json").read_text())
    accepted = [{k: v for k, v in x.items() if k not in ("origin", "score")}
                for x in dataset["annotations"]]  # fmt: skip
    info = {**dataset["info"], "mined": {}, "reviewed": {}}
    change(folder / "mined.json", annotations=accepted, info=info)
    assert read(folder)["kinds"] == ["annotated", "mined"]
    with pytest.raises(InputError, match=r"mined\.json was reviewed"):
        read(folder, full_file=folder / "full.json")


def test_missing_image_is_named(folder):
    (folder / "images" / "2.png").unlink()
    with pytest.raises(InputError, match=r"2\.png"):
        read(folder)


def test_thumbnail_is_small_and_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # held to the left
    Image.new("RGB", (200, 100), "red").save(tmp_path / "turned.jpg", exif=exif)
    data = base64.b64decode(gallery.thumbnail(tmp_path / "turned.jpg", 50))
    with Image.open(BytesIO(data)) as image:
        assert (image.format, image.size) == ("WEBP", (25, 50))


def test_16_bit_image_that_would_be_white_is_refused(tmp_path):
    Image.new("I;16", (200, 100), 4000).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"deep\.png has the mode I;16, of more than 8 bits"):
        gallery.thumbnail(tmp_path / "deep.png", 50)


def test_damaged_image_is_grey_and_named(folder, caplog):
    (folder / "images" / "2.png").write_bytes(b"no image")
    page = folder / "page.html"
    gallery.write_gallery(page, "title", read(folder), folder / "images", 64)
    head, line = caplog.messages[-1].splitlines()
    assert head == "1 image is grey in the page: repair it and make the page again"
    assert "2.png can't be read as an image" in line
    # The image of the lowest score comes first.
    assert thumbnail_sizes(page) == [(1, 1), (64, 51)]


def thumbnail_sizes(page):
    sizes = []
    for text in re.findall(r'id="thumbnail-\d">(.*?)<', page.read_text()):
        with Image.open(BytesIO(base64.b64decode(text))) as image:
            sizes.append(image.size)
    return sizes


def test_page_that_can_not_be_written_leaves_the_former_one(folder, monkeypatch):
    page = folder / "page.html"
    page.write_text("former")
    monkeypatch.setattr(gallery, "thumbnail", full_disk)
    with pytest.raises(InputError, match="No space left"):
        gallery.write_gallery(page, "title", read(folder), folder / "images", 64)
    assert page.read_text() == "former"
    assert not list(folder.glob(".page*"))


def full_disk(path, size):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_names_can_not_leave_their_place(folder):
    evil = '</script><script>alert("1")</script><!--'
    change(folder / "mined.json", categories=[{"id": 3, "name": evil}, {"id": 7, "name": "dog"}])
    page = folder / "page.html"
    gallery.write_gallery(page, evil, read(folder), folder / "images", None)
    assert evil not in page.read_text()
    # The data and the script.
    assert page.read_text().count("</script>") == 2


def test_links_are_relative_and_quoted(tmp_path):
    path = tmp_path / "my images" / 'a:"ü"#?%.png'
    assert gallery.link(path, tmp_path / "pages") == (
        "../my%20images/a%3A%22%C3%BC%22%23%3F%25.png"
    )


def test_boxes_have_the_ids_that_decisions_name(folder):
    """Boxes without an id, or with that of another, get free ones; withheld ones have none."""
    path = folder / "mined.json"
    dataset = json.loads(path.read_text())
    twice = annotation(4, 2, 7, [1, 1, 9, 9])
    without = annotation(None, 2, 3, [2, 2, 9, 9])
    del without["id"]
    change(path, annotations=[*dataset["annotations"][:4], twice, without], info={})
    rows = [row for image in read(folder)["images"] for row in image["boxes"]]
    ids = {tuple(row[2:4]): row[8] for row in rows}
    assert ids == {
        (10, 10): 1, (52, 40): 2, (50, 40): 3, (10, 12): 4, (1, 1): 5, (2, 2): 6
    }  # fmt: skip
    change(path, annotations=dataset["annotations"], info=dataset["info"])
    data = read(folder)
    withheld = data["kinds"].index("withheld")
    rows = [row for image in data["images"] for row in image["boxes"]]
    assert {row[8] for row in rows if row[0] == withheld} == {None}
    assert sorted(row[8] for row in rows if row[0] != withheld) == [1, 2, 3, 4, 5]


def test_key_tells_data_sets_apart(folder):
    key = read(folder)["key"]
    assert read(folder)["key"] == key
    annotations = json.loads((folder / "mined.json").read_text())["annotations"]
    change(folder / "mined.json", annotations=annotations[:-2])
    assert read(folder)["key"] != key


def test_command(folder, monkeypatch):
    monkeypatch.chdir(folder)
    arguments = ["mined.json", "--images", "images", "--html", "page.html"]
    assert make_page(*arguments).output.splitlines()[-2] == "page.html"
    assert thumbnail_sizes(folder / "page.html") == [(100, 80)] * 2
    make_page(*arguments, "--thumbnail-size", 50)
    assert thumbnail_sizes(folder / "page.html") == [(50, 40)] * 2
    result = make_page(*arguments, "--full", "absent.json")
    assert result.exit_code == 2
    assert "absent.json can't be read" in result.output


@pytest.mark.parametrize("name", ["mined.json", "full.json"])
def test_inputs_are_not_overwritten(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    before = (folder / name).read_text()
    result = make_page("mined.json", "--images", "images", "--full", "full.json", "--html", name)
    assert result.exit_code == 2
    assert f"{name} is the input file" in result.output
    assert (folder / name).read_text() == before


@pytest.mark.parametrize(("number", "hints"), [(2, 1), (3, 0)])
def test_hint_for_many_images(folder, number, hints, monkeypatch, caplog):
    monkeypatch.setattr(reviewing, "MANY_IMAGES", number)
    monkeypatch.chdir(folder)
    command = ["mined.json", "--images", "images", "--html", "page.html"]
    make_page(*command)
    assert caplog.text.count("2 thumbnails make a large page: --link-images") == hints
    caplog.clear()
    make_page(*command, "--link-images")
    assert "--link-images" not in caplog.text
