"""Dirty annotation files: what is repaired, what is refused, and that nothing else happens."""

import json
import math
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from comining.annotations.coco_file import read_coco
from comining.annotations.image_files import leads_outside
from comining.errors import InputError


def make_dataset(boxes=(), **changes):
    """One image of 40 x 30 pixels with the given XYWH boxes, ids from 1."""
    dataset = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 5, "name": "cat"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 5, "bbox": box}
            for number, box in enumerate(boxes, start=1)
        ],
    }
    return {**dataset, **changes}


def read(dataset, folder, **options):
    path = folder / "a.json"
    path.write_text(json.dumps(dataset))
    return read_coco(path, **options)


def kept(dataset):
    return {x["id"]: x["bbox"] for x in dataset["annotations"]}


def test_sound_file_is_left_alone(tmp_path):
    original = make_dataset([[0, 0, 40, 30], [1.5, 2.5, 3, 4]], info={"year": 2020})
    dataset, report = read(original, tmp_path)
    assert dataset == original
    assert not report.findings
    assert str(report).endswith("a.json: 1 image, 2 annotations, 1 category")


@pytest.mark.parametrize(
    ("box", "rule"),
    [
        ([math.nan, 0, 1, 1], "not finite: dropped"),
        ([0, 0, math.inf, 1], "not finite: dropped"),
        ([5, 5, 0, 3], "no area: dropped"),
        ([5, 5, 3, -2], "no area: dropped"),
        ([40, 5, 3, 3], "outside its image: dropped"),
        ([5, -9, 3, 9], "outside its image: dropped"),
        ([1e300, 0, 1e300, 5], "outside its image: dropped"),
    ],
)
def test_boxes_without_meaning_are_dropped_and_counted(box, rule, tmp_path):
    dataset, report = read(make_dataset([[1, 2, 3, 4], box]), tmp_path)
    assert kept(dataset) == {1: [1, 2, 3, 4]}
    (finding,) = report.findings
    assert finding.severity == "repaired"
    assert str(finding).startswith("repaired: 1 ")
    assert rule in str(finding)
    assert finding.offenders == [2]


def test_boxes_beyond_the_image_are_clipped(tmp_path):
    boxes = [[-4, -6, 10, 10], [35, 25, 10, 10], [-1, -1, 99, 99], [39.8, 0, 0.4, 1]]
    dataset, report = read(make_dataset(boxes), tmp_path)
    assert kept(dataset) == {
        1: [0, 0, 6, 4],
        2: [35, 25, 5, 5],
        3: [0, 0, 40, 30],
        4: pytest.approx([39.8, 0, 0.2, 1]),
    }
    # The last is a matter of rounding.
    assert [finding.offenders for finding in report.findings] == [[1, 2, 3]]


def test_annotations_without_id_are_named_by_their_entry(tmp_path):
    broken = make_dataset([[1, 2, 3, 4], [5, 5, 0, 3]])
    del broken["annotations"][1]["id"]
    _, report = read(broken, tmp_path)
    assert "1 box has no area: dropped (entry 1)" in str(report)


def test_repeated_annotation_ids_are_told_and_left_alone(tmp_path):
    broken = make_dataset([[1, 2, 3, 4], [5, 5, 2, 3]])
    broken["annotations"][1]["id"] = 1
    dataset, report = read(broken, tmp_path)
    assert "note: 1 annotation id occurs twice" in str(report)
    assert not report.is_fatal
    assert dataset == broken


def test_annotations_of_unlisted_images_are_dropped(tmp_path):
    broken = make_dataset([[1, 2, 3, 4], [1, 2, 3, 4]])
    broken["annotations"][1]["image_id"] = 9
    dataset, report = read(broken, tmp_path)
    assert list(kept(dataset)) == [1]
    assert "1 annotation of an image that is not listed: dropped (2)" in str(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["annotations"][0].update(category_id=6),
            "1 annotation has a category that is not listed: 6. Listed are 5 (cat): correct the "
            "category_id, or list the category (1)",
        ),
        (
            lambda d: d["images"].append({**d["images"][0], "file_name": "b.png"}),
            "1 image id occurs twice (1)",
        ),
        (
            lambda d: d["categories"].append({"id": 5, "name": "dog"}),
            "1 category id occurs twice (5)",
        ),
        (
            lambda d: d["categories"].extend([{"id": 9, "name": "dog"}, {"id": 7, "name": "cat"}]),
            "1 category name occurs twice: rename or merge it ('cat': ids 5, 7)",
        ),
        (lambda d: d["images"][0].update(width=0), "1 image has no area (1)"),
        (lambda d: d["images"][0].update(width=10**6, height=10**6), "cut it into tiles (1)"),
        (lambda d: d["images"][0].update(file_name="../x.png"), "outside the image folder (../x"),
    ],
)
def test_errors(change, message, tmp_path):
    dataset = make_dataset([[1, 2, 3, 4]])
    change(dataset)
    _, report = read(dataset, tmp_path)
    assert report.is_fatal
    assert message in str(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(images=[]), "error: the file lists no images"),
        (lambda d: d.update(categories=[]), "error: the file lists no categories"),
        (lambda d: d.update(annotations={}), "needs a list 'annotations'"),
        (lambda d: d.pop("images"), "needs a list 'images'"),
        (lambda d: d["images"].append(3), "1 image has another form than an object (entry 1: 3)"),
    ],
)
def test_wrong_lists_are_told(change, message, tmp_path):
    dataset = make_dataset([[1, 2, 3, 4]])
    change(dataset)
    _, report = read(dataset, tmp_path)
    assert report.is_fatal
    assert message in str(report)


def test_all_kinds_of_faults_are_told_at_once(tmp_path):
    dataset = make_dataset([[1, 2, 3, 4], [1, 2, 3], [5, 5, 0, 3], [-9, 0, 20, 9]])
    dataset["images"].append({"id": "x", "file_name": "b.png", "width": 4.5, "height": 30})
    dataset["categories"].append({"id": 6})
    dataset["annotations"][0]["iscrowd"] = 2
    dataset["annotations"][3].update(image_id="1", iscrowd=False)
    _, report = read(dataset, tmp_path)
    assert str(report).splitlines()[1:] == [
        "  error: 1 image has no usable 'id': it must be a whole number of at most 2^53 (x: 'x')",
        "  error: 1 image has no usable 'width': it must be a whole number of at most 2^53 "
        "(x: 4.5)",
        "  error: 1 annotation has no usable 'iscrowd': it must be 0 or 1 (1: 2)",
        "  error: 1 annotation has no usable 'bbox': it must be a list of four numbers: x, y, "
        "width and height (2: [1, 2, 3])",
        "  repaired: 1 annotation has 'image_id' in another form: read as what it stands for "
        "(4: '1')",
        "  repaired: 1 annotation has 'iscrowd' in another form: read as what it stands for "
        "(4: False)",
        "  error: 1 category has no usable 'name': it must be a text (6: None)",
        "  repaired: 1 box has no area: dropped (3)",
        "  repaired: 1 box reaches beyond its image: clipped (4)",
    ]


def test_only_the_first_offenders_are_named(tmp_path):
    _, report = read(make_dataset([[1, 2, 0, 0]] * 9), tmp_path)
    assert "9 boxes have no area: dropped (1, 2, 3, 4, 5, ...)" in str(report)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\ufeff", '"x"', "[" * 100_000])
def test_other_files(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_coco(tmp_path / "a.json")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json can't be read"):
        read_coco(tmp_path / "gone.json")


def test_missing_images_are_found_in_their_folders(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").touch()
    names = ["sub/a.png", "sub/b.png", "gone/a.png", "c.png"]
    images = [
        {"id": id_, "file_name": name, "width": 4, "height": 4} for id_, name in enumerate(names)
    ]
    _, report = read(make_dataset(images=images), tmp_path, image_root=tmp_path)
    assert report.findings[0].offenders == ["c.png", "gone/a.png", "sub/b.png"]
    assert report.is_fatal


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "..\\a", "a\0b", ".."])
def test_names_that_lead_outside(name):
    assert leads_outside(name)


@pytest.mark.parametrize("name", ["a", "a/b", "a/../b", "..a/b", "./a"])
def test_names_that_stay_inside(name):
    assert not leads_outside(name)


number = st.one_of(
    st.floats(-60, 60),
    st.integers(-60, 60),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e308]),
)


@settings(max_examples=300)
@given(st.lists(st.lists(number, min_size=4, max_size=4), max_size=6))
def test_what_is_left_lies_in_the_image_and_is_what_a_plain_loop_leaves(tmp_path_factory, boxes):
    dataset, _ = read(make_dataset(boxes), tmp_path_factory.getbasetemp())
    expected = {}
    for id_, (x, y, w, h) in enumerate(boxes, start=1):
        if not all(math.isfinite(v) for v in (x, y, w, h)) or w <= 0 or h <= 0:
            continue
        x0, x1 = max(x, 0), min(x + w, 40)
        y0, y1 = max(y, 0), min(y + h, 30)
        if x1 > x0 and y1 > y0:
            expected[id_] = [x0, y0, x1 - x0, y1 - y0]
    assert kept(dataset).keys() == expected.keys()
    for id_, box in expected.items():
        assert kept(dataset)[id_] == pytest.approx(box, abs=1e-9)


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["images", "annotations", "categories", "id", "bbox", "file_name"]),
            inner,
        )
    ),
    max_leaves=12,
)


def gives_a_result_or_an_input_error(value, folder):
    message = ""
    try:
        message = str(read(value, folder, image_root=folder)[1])
    except InputError as error:
        message = str(error)
    assert "a.json" in message


@settings(max_examples=300)
@given(json_value)
def test_any_json_gives_a_result_or_an_input_error(tmp_path_factory, value):
    gives_a_result_or_an_input_error(value, tmp_path_factory.getbasetemp())


@settings(max_examples=300)
@given(
    st.sampled_from(["images", "annotations", "categories"]),
    st.sampled_from(
        ["id", "image_id", "category_id", "bbox", "width", "height", "file_name", "iscrowd"]
    ),
    json_value,
)
def test_any_field_may_be_anything(tmp_path_factory, key, field, value):
    dataset = make_dataset([[1, 2, 3, 4]])
    dataset[key][0][field] = value
    gives_a_result_or_an_input_error(dataset, tmp_path_factory.getbasetemp())


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path):
        """Four images: sound, cut off, of another size, and turned by its EXIF data."""
        for name, size in (("good", (4, 3)), ("cut", (60, 50)), ("size", (5, 3))):
            Image.effect_noise(size, 50).save(tmp_path / f"{name}.png")
        content = (tmp_path / "cut.png").read_bytes()
        (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (3, 4)).save(tmp_path / "turned.jpg", exif=exif)
        names = {"good.png": (4, 3), "cut.png": (60, 50), "size.png": (4, 3), "turned.jpg": (4, 3)}
        images = [
            {"id": id_, "file_name": name, "width": width, "height": height}
            for id_, (name, (width, height)) in enumerate(names.items())
        ]
        (tmp_path / "a.json").write_text(json.dumps(make_dataset([[0, 0, 2, 2]], images=images)))
        return tmp_path

    @pytest.fixture
    def run(self, command_line):
        """Runs the command."""
        return partial(command_line, "check")

    def test_metadata_alone(self, folder, run):
        done = run(folder / "a.json", "--images", folder, "--no-decode")
        out = done.stdout
        assert "training can use it" in out
        assert "not listed" not in out

    def test_images(self, folder, run):
        done = run(folder / "a.json", "--images", folder)
        assert done.exit_code == 1
        out = done.stdout
        assert "1 image file is damaged (cut.png: " in out
        assert "1 image has another size than the file says (size.png: 5x3, not 4x3)" in out

    def test_missing_image_is_told_once(self, folder, run):
        (folder / "cut.png").unlink()
        (folder / "size.png").unlink()
        done = run(folder / "a.json", "--images", folder)
        assert done.exit_code == 1
        (finding,) = done.stdout.splitlines()[1:]
        assert finding == f"  error: 2 image files are not in {folder} (cut.png, size.png)"

    def test_names_that_take_a_detour(self, folder, run):
        data = json.loads((folder / "a.json").read_text())
        (folder / "b").mkdir()
        data["images"][0]["file_name"] = "b/../good.png"
        (folder / "a.json").write_text(json.dumps(data))
        done = run(folder / "a.json", "--images", folder, "--no-decode")
        assert "not listed" not in done.stdout

    def test_images_that_are_not_listed(self, folder, run):
        for name in ("more.JPG", "b/other.png", "notes.txt"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
        done = run(folder / "a.json", "--images", folder, "--no-decode")
        out = done.stdout
        assert f"note: 1 image is not listed, though in {folder}: " in out
        assert "(more.JPG)\n" in out
        assert "training can use it" in out

    def test_what_is_named_like_an_image_but_is_none(self, folder, run):
        for name in ("._good.png", ".hidden.png"):
            (folder / name).write_bytes(b"\0\5\x16\7")
        (folder / "folder.png").mkdir()
        (folder / "dangling.png").symlink_to(folder / "gone.png")
        done = run(folder / "a.json", "--images", folder, "--no-decode")
        assert "not listed" not in done.stdout
        data = json.loads((folder / "a.json").read_text())
        for number, name in enumerate(["folder.png", "dangling.png", "._good.png"], start=10):
            data["images"].append({"id": number, "file_name": name, "width": 4, "height": 3})
        (folder / "a.json").write_text(json.dumps(data))
        done = run(folder / "a.json", "--images", folder, "--no-decode")
        assert done.exit_code == 1
        assert done.stdout.splitlines()[1:] == [
            "  error: 1 image file is none, but what macOS leaves beside images: remove its "
            "entries (._good.png)",
            f"  error: 2 image files are not in {folder} (dangling.png, folder.png)",
        ]

    @pytest.mark.parametrize("options", [[], ["--no-decode"]])
    def test_images_that_would_be_white_or_black(self, options, folder, run):
        data = json.loads((folder / "a.json").read_text())
        Image.new("I;16", (4, 3), 3000).save(folder / "good.png")
        data["images"] = data["images"][:1]
        (folder / "a.json").write_text(json.dumps(data))
        done = run(folder / "a.json", "--images", folder, *options)
        assert done.exit_code == 1
        (finding,) = [x for x in done.stdout.splitlines() if "  error: 1 image" in x]
        assert finding.startswith("  error: 1 image file has more than 8 bits a pixel")
        assert finding.endswith("(good.png)")

    def test_mined_boxes_without_a_score(self, folder, run):
        data = json.loads((folder / "a.json").read_text())
        data["annotations"][0].update(origin="mined", score=7)
        (folder / "a.json").write_text(json.dumps(data))
        done = run(folder / "a.json")
        assert done.exit_code == 1
        assert "1 mined annotation has no 'score' from 0 to 1 (1)" in done.stdout

    def test_nothing_outside_the_image_folder_is_looked_at(self, folder, run):
        """Neither the damaged image that the file names, nor those beside it."""
        (folder / "images").mkdir()
        outside = {"id": 1, "file_name": "../cut.png", "width": 60, "height": 50}
        (folder / "a.json").write_text(json.dumps(make_dataset([[0, 0, 2, 2]], images=[outside])))
        done = run(folder / "a.json", "--images", folder / "images")
        assert done.exit_code == 1
        (finding,) = done.stdout.splitlines()[1:]
        assert finding == "  error: 1 file is outside the image folder (../cut.png)"

    @pytest.mark.parametrize("crowds", [0, 1])
    def test_nothing_to_train_on(self, crowds, folder, run):
        data = json.loads((folder / "a.json").read_text())
        annotations = [{**x, "iscrowd": 1} for x in data["annotations"]][:crowds]
        (folder / "a.json").write_text(json.dumps({**data, "annotations": annotations}))
        done = run(folder / "a.json")
        assert done.exit_code == 1
        assert "no single object is annotated" in done.stdout

    def test_bad_file(self, tmp_path, run):
        done = run(tmp_path / "gone.json")
        assert done.exit_code == 2
        assert "gone.json can't be read" in done.stderr
