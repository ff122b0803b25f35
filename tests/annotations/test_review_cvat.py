"""To CVAT and back."""

import pytest

from comining.annotations.coco_file import Report
from comining.annotations.review import apply_review
from comining.annotations.review_cvat import cvat_dataset, read_cvat
from comining.errors import InputError


def read(export, dataset):
    """The boxes of a sound export, and what is told of it."""
    report = Report("exported.json")
    boxes = read_cvat(export, dataset, report)
    assert not report.is_fatal, report
    return boxes, [str(x) for x in report.findings]


def errors(export, dataset):
    report = Report("exported.json")
    read_cvat(export, dataset, report)
    return [str(x) for x in report.findings if x.severity == "error"]


def test_cvat_dataset(completed):
    annotated, mined, *_, bare, _ = cvat_dataset(completed)["annotations"]
    # As boxes, not as polygons.
    assert annotated["segmentation"] == []
    assert annotated["attributes"] == {"origin": "annotated"}
    assert "score" not in annotated
    assert mined == {
        "id": 10, "image_id": 4, "category_id": 1, "bbox": [100.5, 0, 50, 25.25], "area": 1262.5,
        "segmentation": [], "iscrowd": 0, "attributes": {"origin": "mined"}, "score": 0.9,
    }  # fmt: skip
    assert (bare["iscrowd"], bare["area"]) == (0, 12)


def test_crowds_stay_crowds_in_cvat(completed):
    completed["annotations"][3]["iscrowd"] = 1
    assert [x["iscrowd"] for x in cvat_dataset(completed)["annotations"]] == [0, 0, 0, 1, 0]


def test_cvat_and_back(completed):
    """CVAT numbers images and labels anew and rounds; one of the images has lost its folder."""
    export = {
        "images": [{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "cat 1.jpg"}],
        "categories": [{"id": 1, "name": 'a "dog"'}, {"id": 2, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 2, "bbox": [20.0, 10.0, 30.0, 40.0]},
            {"id": 2, "image_id": 2, "category_id": 1, "bbox": [0.0, 0.01, 10.0, 9.99]},
        ],
    }
    result, counts = apply_review(completed, read(export, completed)[0])
    assert [x["id"] for x in result["annotations"]] == [9, 11]
    assert result["annotations"][0] == completed["annotations"][0]
    assert counts["mined, accepted"] == 1
    assert counts["mined, rejected"] == 2
    assert counts["annotated, deleted"] == 1


def export_of(*annotations, images=None, categories=None):
    """What CVAT exports of the two images; annotations without an image are of the first."""
    return {
        "images": images or [
            {"id": 1, "file_name": "a/cat 1.jpg", "width": 200, "height": 100},
            {"id": 2, "file_name": "b.jpg", "width": 30, "height": 30},
        ],
        "categories": categories or [{"id": 1, "name": "cat"}, {"id": 2, "name": 'a "dog"'}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "segmentation": [], "iscrowd": 0,
             "bbox": [20, 10, 30, 40], **annotation}
            for number, annotation in enumerate(annotations, 1)
        ],
    }  # fmt: skip


CAT = ("cat", (20, 10, 30, 40))


def test_image_that_cvat_made_up(completed):
    export = export_of(images=[{"id": 1, "file_name": "c.jpg"}])
    (told,) = errors(export, completed)
    assert "image is missing in the data set" in told
    assert "(c.jpg)" in told


def test_images_of_one_name_in_two_folders(completed):
    """Without the folder, CVAT's boxes could be those of either."""
    completed["images"][1]["file_name"] = "c/cat 1.jpg"
    images = [{"id": 1, "file_name": "c/cat 1.jpg"}, {"id": 2, "file_name": "a/cat 1.jpg"}]
    export = export_of({"bbox": [1, 2, 3, 4]}, images=images)
    assert read(export, completed)[0] == {2: [("cat", (1, 2, 3, 4))], 4: []}
    images[0]["file_name"] = "cat 1.jpg"
    (told,) = errors(export, completed)
    assert "ambiguous in the data set" in told
    assert "(cat 1.jpg: ids 4, 2)" in told


def test_two_images_of_cvat_that_are_the_same_one(completed):
    images = [{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "other/b.jpg"}]
    (told,) = errors(export_of(images=images), completed)
    assert "1 image is there already by another name" in told
    assert "(b.jpg and other/b.jpg)" in told


@pytest.mark.parametrize(
    "name",
    ["a/cat 1.jpg", "cat 1.jpg", "job_3/a/cat 1.jpg", "other/cat 1.jpg", "./a/cat 1.jpg",
     "a\\cat 1.jpg", "C:\\data\\a\\cat 1.jpg", "a/cat%201.jpg"],
)  # fmt: skip
def test_names_of_one_image(completed, name):
    export = export_of({}, images=[{"id": 7, "file_name": name}])
    export["annotations"][0]["image_id"] = 7
    assert read(export, completed)[0] == {4: [CAT]}


def test_file_that_the_data_set_lists_twice(completed):
    """CVAT has one image of it; the boxes would move from one entry to the other."""
    completed["images"].append({**completed["images"][1], "id": 3, "file_name": "./b.jpg"})
    (told,) = errors(export_of(), completed)
    assert "(b.jpg: ids 2, 3)" in told
    with pytest.raises(InputError, match=r"b\.jpg \(id 2\), \./b\.jpg \(id 3\): CVAT knows"):
        cvat_dataset(completed)


def test_files_that_differ_in_the_ending(completed):
    """Datumaro, which CVAT reads files with, keeps one of the two."""
    completed["images"].append({**completed["images"][1], "id": 3, "file_name": "b.png"})
    with pytest.raises(InputError, match=r"b\.jpg \(id 2\), b\.png \(id 3\): .*rename"):
        cvat_dataset(completed)


def test_categories_go_to_cvat_from_one_on(completed):
    """0 means no label there."""
    for x in [*completed["categories"], *completed["annotations"]]:
        key = "id" if "name" in x else "category_id"
        x[key] = {3: 0, 1: 1}[x[key]]
    sent = cvat_dataset(completed)
    assert [(x["id"], x["name"]) for x in sent["categories"]] == [(1, "cat"), (2, 'a "dog"')]
    assert [x["category_id"] for x in sent["annotations"]] == [1, 1, 2, 2, 2]
    result, counts = apply_review(completed, read(sent, completed)[0])
    assert [x["category_id"] for x in result["annotations"]] == [0, 0, 1, 1, 1]
    assert counts["mined, accepted"] == 3


def test_names_go_to_cvat_as_it_knows_them(completed):
    completed["images"][0]["file_name"] = ".\\a\\cat 1.jpg"
    assert [x["file_name"] for x in cvat_dataset(completed)["images"]] == ["a/cat 1.jpg", "b.jpg"]


def test_annotations_go_to_cvat_with_ids_of_their_own(completed):
    """CVAT makes one box of those that share an id."""
    for annotation in completed["annotations"][1:3]:
        annotation["id"] = 9
    assert [x["id"] for x in cvat_dataset(completed)["annotations"]] == [9, 14, 15, 12, 13]


def test_empty_fields_do_not_go_to_cvat(completed):
    completed["annotations"][0].update(iscrowd=None, score=None, origin=None)
    first = cvat_dataset(completed)["annotations"][0]
    assert first["iscrowd"] == 0
    assert first["attributes"] == {"origin": "annotated"}
    assert "score" not in first


@pytest.mark.parametrize(
    ("bbox", "degrees", "upright"),
    [
        # About the centre (60, 40).
        ([20, 20, 80, 40], 90, (40, 0, 40, 80)),
        ([20, 20, 80, 40], 270.0, (40, 0, 40, 80)),
        ([20, 20, 80, 40], "180", (20, 20, 80, 40)),
        # 30 degrees: half as wide as cos 80 + sin 20, half as high as sin 80 + cos 20.
        ([20, 30, 80, 20], 30, (20.359, 11.34, 79.282, 57.321)),
        # What reaches beyond the image unturned does not when it is turned.
        ([-20, 40, 80, 20], 90, (10, 10, 20, 80)),
    ],
)
def test_turned_boxes(completed, bbox, degrees, upright):
    export = export_of({"bbox": bbox, "attributes": {"rotation": degrees, "occluded": False}})
    boxes, told = read(export, completed)
    assert boxes[4][0].bbox == pytest.approx(upright, abs=0.001)
    assert told == [
        "repaired: 1 box is turned: made upright, large enough to hold it "
        "(annotation 1 of a/cat 1.jpg)"
    ]


@pytest.mark.parametrize(
    "attributes",
    [None, [], {}, {"rotation": 0.0}, {"rotation": None}, {"rotation": ""}, {"rotation": "0"},
     {"rotation": 360}, {"outside": False}, {"outside": "false"}],
)  # fmt: skip
def test_boxes_that_are_not_turned(completed, attributes):
    assert read(export_of({"attributes": attributes}), completed) == ({4: [CAT], 2: []}, [])


def test_outline_of_a_turned_box(completed):
    """Its bbox is that of the outline: turned already."""
    outline = {"segmentation": [[35, 10, 50, 30, 35, 50, 20, 30]], "attributes": {"rotation": 45}}
    boxes, told = read(export_of(outline), completed)
    assert boxes[4] == [CAT]
    assert told == ["note: 1 annotation has an outline: the box around it comes back "
                    "(annotation 1 of a/cat 1.jpg)"]  # fmt: skip


def test_box_of_a_track_that_has_left_the_image(completed):
    boxes, told = read(export_of({}, {"attributes": {"outside": True}}), completed)
    assert boxes[4] == [CAT]
    assert len(told) == 1
    assert "(annotation 2 of a/cat 1.jpg)" in told[0]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bbox": None}, "has no number"),
        ({"bbox": []}, "has no number"),
        ({"bbox": [1, 2, 3]}, "has no number"),
        ({"bbox": [1, 2, 3, 4, 5]}, "has no number"),
        ({"bbox": [1, 2, float("nan"), 4]}, "has no number"),
        ({"bbox": [1, 2, None, 4]}, "has no number"),
        ({"attributes": {"rotation": float("inf")}}, "has no number"),
        ({"bbox": [1, 2, 0, 4]}, "has no area"),
        ({"bbox": [200, 2, 5, 4]}, "lies outside its image"),
        ({"category_id": None}, "has no label"),
        ({"category_id": 0}, "has no label"),
        ({"category_id": 9}, "has no label"),
    ],
)
def test_boxes_that_can_not_be_used(completed, fields, text):
    (told,) = errors(export_of({}, fields), completed)
    assert text in told
    assert "(annotation 2 of a/cat 1.jpg)" in told


def test_label_that_was_renamed_in_cvat(completed):
    categories = [{"id": 1, "name": "kitten"}]
    (told,) = errors(export_of({}, categories=categories), completed)
    assert 'none of the data set\'s (cat, a "dog"): rename the label' in told
    assert "(annotation 1 of a/cat 1.jpg: 'kitten')" in told


def test_annotation_of_no_image(completed):
    (told,) = errors(export_of({"image_id": 8}, {"image_id": None}), completed)
    assert "(annotation 1: image_id 8, annotation 2: image_id None)" in told


def test_numbers_as_text(completed):
    """As VIA writes them; it also lists a category once for each attribute of an image."""
    export = export_of(
        {"image_id": "1", "category_id": "1", "bbox": ["20", 10, "30.0", 40], "iscrowd": "0"},
        categories=[{"id": 1, "name": "cat"}, {"id": "2", "name": 'a "dog"'},
                    {"id": 1, "name": "cat"}],
    )  # fmt: skip
    export["images"][0]["id"] = "1"
    assert read(export, completed)[0] == {4: [CAT], 2: []}


def test_ids_that_stand_for_two(completed):
    export = export_of(categories=[{"id": 1, "name": "cat"}, {"id": "1", "name": 'a "dog"'}])
    export["images"][1]["id"] = "1"
    told = errors(export, completed)
    assert "(b.jpg: id 1)" in told[0]
    assert '(id 1: cat and a "dog")' in told[1]


def test_image_of_another_size(completed):
    export = export_of()
    export["images"][0].update(width=100, height=50)
    (told,) = errors(export, completed)
    assert "(a/cat 1.jpg: 100x50, not 200x100)" in told


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, {}, [5]])
def test_exports_of_another_form(completed, key, value):
    """Were missing annotations none, every box would be deleted."""
    with pytest.raises(InputError, match=rf"exported\.json.*{key!r}"):
        read({**export_of(), key: value}, completed)


def test_export_without_images(completed):
    with pytest.raises(InputError, match=r"exported\.json lists no images"):
        read({**export_of(), "images": []}, completed)
