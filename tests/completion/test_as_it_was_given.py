"""Completions of COCO files that say the same in other ways than the project would."""

import json

import pytest
from PIL import Image

from comining.completion.acceptance import accept
from comining.completion.review_files import find_review
from comining.completion.reviewing import write_small_page
from comining.completion.withholding import withhold
from comining.data.datasets import register_coco
from comining.errors import InputError

from .planned import begin, end

SIZE = (100, 80)
TIME = "2026-03-01T12:00:00Z"


def write_image(path, orientation=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", SIZE)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


def complete(tmp_path, dataset, new):
    """The folder of a completion that adds boxes to the first image, and what it wrote."""
    (tmp_path / "given.json").write_text(json.dumps(dataset))
    folder, source = begin(tmp_path, tmp_path / "given.json")
    first = max(x["id"] for x in source.dataset["annotations"]) + 1
    proposals = [
        {"id": id_, "image_id": source.dataset["images"][0]["id"], "category_id": 7, "bbox": bbox,
         "area": 1, "iscrowd": 0, "score": 0.9, "origin": "mined"}
        for id_, bbox in enumerate(new, first)
    ]  # fmt: skip
    end(folder, source, proposals)
    return folder, proposals


def decide(folder, *decided):
    lines = [
        {"key": f"k{x['id']}", "action": action, "image_id": x["image_id"], "id": x["id"],
         "was": x["bbox"], "time": TIME}
        for x, action in decided
    ]  # fmt: skip
    folder.decisions.write_text("".join(f"{json.dumps(x)}\n" for x in lines))


def accepted(folder):
    return json.loads(accept(find_review(folder.path, None)).path.read_text())


def dataset(*annotations, **image):
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80, **image}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 7, **x} for x in annotations],
    }


@pytest.mark.parametrize("name", ["images/a.jpg", "C:\\photos\\a.jpg", "A.JPG", "./a.jpg", "a.png"])
def test_images_may_be_named_otherwise(name, tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    given = dataset({"id": 1, "bbox": [10, 10, 20, 20]}, file_name=name)
    folder, (new,) = complete(tmp_path, given, [[50, 10, 20, 20]])
    write_small_page(find_review(folder.path, None), folder.review, 1)
    assert "a.jpg" in folder.review.read_text()
    decide(folder, (new, "accept"))
    result = accepted(folder)
    assert [x["file_name"] for x in result["images"]] == [name]
    assert [x["bbox"] for x in result["annotations"]] == [[10, 10, 20, 20], [50, 10, 20, 20]]


def test_boxes_of_an_image_that_is_described_as_stored_are_turned_once(tmp_path):
    write_image(tmp_path / "images" / "a.jpg", orientation=6)  # to be turned clockwise: 80 x 100
    outline = [[0, 0, 10, 0, 10, 20, 0, 20]]
    given = dataset({"id": 1, "bbox": [0, 0, 10, 20], "segmentation": outline})
    # In the upright image what is at the left of the stored one is at the top.
    folder, (new,) = complete(tmp_path, given, [[60, 50, 20, 10]])
    upright = json.loads(folder.annotations.read_text())
    assert upright["annotations"][0]["bbox"] == [60, 0, 20, 10]
    decide(folder, (new, "accept"))
    old, added = accepted(folder)["annotations"]
    assert (old["bbox"], old["segmentation"]) == ([0, 0, 10, 20], outline)
    assert added["bbox"] == [50, 0, 10, 20]


def test_annotations_need_no_ids(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    outline = [[10, 10, 30, 10, 30, 30]]
    given = dataset({"bbox": [10, 10, 20, 20], "segmentation": outline}, {"bbox": [40, 40, 20, 20]})
    folder, (new,) = complete(tmp_path, given, [[70, 10, 20, 20]])
    second = json.loads(folder.annotations.read_text())["annotations"][1]
    decide(folder, (second, "reject"), (new, "accept"))
    assert len(accepted(folder)["annotations"]) == 2
    old, added = accepted(folder)["annotations"]
    assert (old["bbox"], old["segmentation"]) == ([10, 10, 20, 20], outline)
    assert added["bbox"] == [70, 10, 20, 20]


def test_info_may_be_a_text(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    given = {**dataset({"id": 1, "bbox": [10, 10, 20, 20]}), "info": "of 2019"}
    folder, _ = complete(tmp_path, given, [])
    completed = json.loads(folder.completed.read_text())
    assert completed["info"] == {"description": "of 2019"}


def test_what_was_annotated_since_is_not_lost(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    given = dataset({"id": 1, "bbox": [10, 10, 20, 20]})
    folder, (new,) = complete(tmp_path, given, [[50, 10, 20, 20]])
    decide(folder, (new, "accept"))
    more = {"id": 2, "image_id": 1, "category_id": 7, "bbox": [70, 50, 20, 20]}
    given["annotations"].append(more)
    (tmp_path / "given.json").write_text(json.dumps(given))
    with pytest.raises(InputError, match="has 1 box, new or changed since the completion"):
        accepted(folder)
    given["annotations"].pop()
    (tmp_path / "given.json").write_text(json.dumps(given))
    assert len(accepted(folder)["annotations"]) == 2
    (tmp_path / "given.json").rename(tmp_path / "moved.json")
    with pytest.raises(InputError, match="isn't there any more: put it back"):
        accepted(folder)


def test_accepted_boxes_that_a_format_rounds_are_known_again(tmp_path):
    """Pascal VOC has whole pixels: what was accepted takes the place of what was annotated."""
    write_image(tmp_path / "images" / "a.jpg")
    box = "<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>"
    voc = (
        f"<annotation><filename>a.jpg</filename><object><name>cat</name>{box}</object></annotation>"
    )
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "a.xml").write_text(voc)
    folder, source = begin(tmp_path, tmp_path / "voc")
    new = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [50.5, 10.5, 20.49, 20.51],
           "area": 1, "iscrowd": 0, "score": 0.9, "origin": "mined"}  # fmt: skip
    end(folder, source, [new])
    decide(folder, (new, "accept"))
    for _ in range(2):
        accept(find_review(folder.path, None))
        written = (folder.path / "accepted" / "a.xml").read_text()
        assert written.count("<object>") == 2
        (tmp_path / "voc" / "a.xml").write_text(written)
    folder.path.rename(tmp_path / "moved")  # what lies there is still known as accepted
    accept(find_review(tmp_path / "moved", None))


def test_withheld_boxes_of_accepted_annotations_are_withheld_as_any(tmp_path):
    for place in range(30):
        write_image(tmp_path / "images" / f"{place}.jpg")
    full = {
        "info": {"mined": {"precision": 0.9}, "reviewed": {"drawn": 1}, "year": 2019},
        "images": [
            {"id": x, "file_name": f"{x}.jpg", "width": 100, "height": 80} for x in range(30)
        ],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [
            {"id": x, "image_id": x, "category_id": 7, "bbox": [10, 10, 20, 20]}
            for x in range(30)
        ],
    }  # fmt: skip
    (tmp_path / "annotations.json").write_text(json.dumps(full))
    sparse = withhold(full, "annotations.json")
    assert sparse["info"]["year"] == 2019
    (tmp_path / "training.json").write_text(json.dumps(sparse))
    from detectron2.data import DatasetCatalog, MetadataCatalog

    name = "withheld_of_accepted"
    register_coco(name, str(tmp_path / "training.json"), str(tmp_path / "images"))
    try:
        records = DatasetCatalog.get(name)
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    assert sum(len(x["withheld_annotations"]) for x in records) == 6  # a fifth
    assert sum(len(x["annotations"]) for x in records) == 24


def test_an_interrupted_beginning_can_go_on(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    folder, _ = complete(tmp_path, dataset({"id": 1, "bbox": [10, 10, 20, 20]}), [])
    source = folder.read_source(tmp_path / "images", tmp_path / "given.json", False)
    folder.annotations.unlink()  # as where the run was killed before it was written
    folder.claim(source, tmp_path / "images", False)
    assert json.loads(folder.annotations.read_text()) == source.dataset
    (folder.path / ".writing" / "completed").mkdir(parents=True)  # or before this was moved
    source = folder.read_source(tmp_path / "images", tmp_path / "given.json", False)
    folder.write_completed(source, source.dataset)
    assert not (folder.path / ".writing").exists()


def change(x, bbox, key):
    return {"key": key, "action": "change", "image_id": x["image_id"], "id": x["id"],
            "was": x["bbox"], "bbox": bbox, "time": TIME}  # fmt: skip


def write_decisions(folder, *records):
    folder.decisions.write_text("".join(f"{json.dumps(x)}\n" for x in records))


def test_a_changed_box_keeps_all_else_that_is_said_of_it(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    given = dataset({"id": 1, "bbox": [10, 10, 20, 20], "plate": "X 1"})
    folder, _ = complete(tmp_path, given, [])
    old = json.loads(folder.annotations.read_text())["annotations"][0]
    write_decisions(folder, change(old, [40, 10, 20, 20], "k"))
    for _ in range(2):
        (box,) = accepted(folder)["annotations"]
        assert (box["id"], box["bbox"], box["plate"]) == (1, [40, 10, 20, 20], "X 1")


def test_an_outline_that_was_refined_since_stays(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    given = dataset({"id": 1, "bbox": [10, 10, 20, 20]})
    folder, (new,) = complete(tmp_path, given, [[50, 10, 20, 20]])
    decide(folder, (new, "accept"))
    refined = {"bbox": [10, 10, 20.5, 20], "segmentation": [[10, 10, 30.5, 10, 30, 30]]}
    given["annotations"][0] |= refined
    (tmp_path / "given.json").write_text(json.dumps(given))
    box = accepted(folder)["annotations"][0]
    assert {k: box[k] for k in refined} == refined


def test_a_box_that_was_deleted_since_is_told_to_be_back(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    given = dataset({"id": 1, "bbox": [10, 10, 20, 20]}, {"id": 2, "bbox": [50, 50, 20, 20]})
    folder, (new,) = complete(tmp_path, given, [[50, 10, 20, 20]])
    decide(folder, (new, "accept"))
    assert accept(find_review(folder.path, None)).hints == []
    given["annotations"].pop()
    (tmp_path / "given.json").write_text(json.dumps(given))
    done = accept(find_review(folder.path, None))
    told = "1 box was deleted since the completion: reject it in the review, too"
    assert done.hints == [told]
    old = json.loads(folder.annotations.read_text())["annotations"][1]
    decide(folder, (new, "accept"), (old, "reject"))
    assert accept(find_review(folder.path, None)).hints == []


def test_any_earlier_result_may_have_taken_the_place_of_what_was_completed(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    folder, (new,) = complete(
        tmp_path, dataset({"id": 1, "bbox": [10, 10, 20, 20]}), [[50, 10, 20, 20]]
    )
    changes = [change(new, [50 + 5 * i, 10, 20, 20], f"k{i}") for i in (1, 2, 3)]
    write_decisions(folder, changes[0])
    first = accepted(folder)
    write_decisions(folder, *changes[:2])
    accepted(folder)  # nobody copies this one
    (tmp_path / "given.json").write_text(json.dumps(first))
    write_decisions(folder, *changes)
    assert [x["bbox"][0] for x in accepted(folder)["annotations"]] == [10, 65]


def test_an_image_may_be_added_between_two_results(tmp_path):
    for name in ("a.jpg", "c.jpg"):
        write_image(tmp_path / "images" / name)
    (tmp_path / "given.json").write_text(json.dumps(dataset({"id": 1, "bbox": [10, 10, 20, 20]})))
    folder, source = begin(tmp_path, tmp_path / "given.json")
    new = {"id": 2, "image_id": 2, "category_id": 7, "bbox": [50, 10, 20, 20], "area": 1,
           "iscrowd": 0, "score": 0.9, "origin": "mined"}  # fmt: skip
    end(folder, source, [new])
    decide(folder, (new, "accept"))
    for name in ("", "b.jpg", "b2.jpg"):
        if name:
            write_image(tmp_path / "images" / name)
        result = accepted(folder)
        files = {x["id"]: x["file_name"] for x in result["images"]}
        assert [files[x["image_id"]] for x in result["annotations"]] == ["a.jpg", "c.jpg"]


def test_a_category_may_vanish_by_the_review(tmp_path):
    """Pascal VOC lists no categories: they are those of the boxes."""
    write_image(tmp_path / "images" / "a.jpg")
    boxes = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>11</ymin><xmax>{x + 19}</xmax>"
        "<ymax>30</ymax></bndbox></object>"
        for name, x in (("cat", 11), ("dog", 51))
    )
    voc = f"<annotation><filename>a.jpg</filename>{boxes}</annotation>"
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / "a.xml").write_text(voc)
    folder, source = begin(tmp_path, tmp_path / "voc")
    end(folder, source, [])
    cat = source.dataset["annotations"][0]
    record = {**change(cat, cat["bbox"], "k"), "category_id": 2}
    write_decisions(folder, record)
    for _ in range(2):
        accept(find_review(folder.path, None))
        written = (folder.path / "accepted" / "a.xml").read_text()
        assert (written.count("<name>dog"), written.count("<name>cat")) == (2, 0)
        (tmp_path / "voc" / "a.xml").write_text(written)
