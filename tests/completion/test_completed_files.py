"""What a completion and its review write, of annotations in each format."""

import copy
import json

import pytest
from PIL import Image

from comining.annotations.formats import read_annotations
from comining.completion.acceptance import accept
from comining.completion.folder import Folder
from comining.completion.gallery_data import read_completed
from comining.completion.review_files import find_review
from tests.annotations.formats.test_finished import FORMATS

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 10, 40, 20]}],
    "categories": [{"id": 1, "name": "ant"}],
}
#: By format, the name of the annotations and their files: each of a.jpg, with an ant.
GIVEN = {**FORMATS, "coco": {"set/a.json": json.dumps(COCO)}}
ANNOTATED, MINED = [20, 10, 40, 20], [100, 50, 30, 10]


def photographs(tmp_path):
    """The folder of two images, of which one is annotated."""
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "c.jpg"):
        Image.new("RGB", (200, 100)).save(tmp_path / "images" / name)
    return tmp_path / "images"


def write(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "set"


def with_mined(source, image_id):
    """The data set of a source with one box more."""
    dataset = copy.deepcopy(source.dataset)
    new = {"id": 9, "image_id": image_id, "category_id": 1, "bbox": MINED, "area": 300}
    dataset["annotations"].append({**new, "iscrowd": 0, "origin": "mined", "score": 0.75})
    return dataset


@pytest.fixture(params=GIVEN)
def written(request, tmp_path):
    """The folder of a completion that added a box, its source, and what was written."""
    images = photographs(tmp_path)
    folder = Folder(tmp_path / "out")
    source = folder.read_source(images, write(tmp_path, GIVEN[request.param]), False)
    folder.path.mkdir()
    folder.claim(source, images, False)
    dataset = with_mined(source, 1)
    return folder, source, dataset, write_completed(folder, source, dataset)


def write_completed(folder, source, dataset):
    proposals = [x for x in dataset["annotations"] if x.get("origin") == "mined"]
    folder.proposals.write_text(json.dumps(proposals))
    return folder.write_completed(source, dataset)


def boxes(dataset):
    return sorted([round(v, 1) for v in x["bbox"]] for x in dataset["annotations"])


def test_the_completed_annotations_are_there_in_their_format_and_in_coco_format(written):
    folder, source, dataset, path = written
    assert (path == folder.completed) == (source.format == "coco")
    for _ in range(2):  # a second run replaces both
        coco = read_completed(folder.completed, folder.path.parent / "images")
        assert boxes(coco) == [ANNOTATED, MINED]
        again = read_annotations(path, folder.path.parent / "images")
        assert again.format == source.format
        assert boxes(again.dataset) == [ANNOTATED, MINED]
        assert folder.write_completed(source, dataset) == path


def test_what_is_accepted_is_there_in_their_format(written):
    folder, source, _, _ = written
    images = folder.path.parent / "images"
    done = accept(find_review(folder.path, None), keep_unreviewed=True)
    again = read_annotations(done.path, images)
    assert again.format == source.format
    assert boxes(again.dataset) == [ANNOTATED, MINED]
    assert (done.path.name == "accepted.json") == (source.format == "coco")
    coco = json.loads((folder.path / "accepted.json").read_text())
    assert boxes(coco) == [ANNOTATED, MINED]
    assert [x["file_name"] for x in coco["images"]] == ["a.jpg", "c.jpg"]


@pytest.mark.parametrize("format_", ["label_studio", "label_studio as JSON-MIN"])
def test_images_that_are_no_tasks_of_label_studio_are_counted(format_, tmp_path):
    images = photographs(tmp_path)
    annotations = write(tmp_path, GIVEN[format_])
    folder = Folder(tmp_path / "out")
    source = folder.read_source(images, annotations, False)
    assert source.notes[0] == (
        "1 image is not among Label Studio's tasks, and it can't load boxes of images without one: "
        "import it into its project and export again first, or leave it out with --listed-only"
    )
    assert folder.read_source(images, annotations, True).notes == []
    folder.path.mkdir()
    folder.claim(source, images, False)
    write_completed(folder, source, with_mined(source, 2))
    hints = accept(find_review(folder.path, None), keep_unreviewed=True).hints
    assert any(
        x.startswith("1 task is new, with no more than the file name of its image,") for x in hints
    )
    write_completed(folder, source, with_mined(source, 1))
    hints = accept(find_review(folder.path, None), keep_unreviewed=True).hints
    assert hints == [f"the same as a COCO file: {folder.path / 'accepted.json'}"]
