"""What an independent library writes is read, and what is written is read by it."""

import pytest
from globox import Annotation, AnnotationSet, BoundingBox

from comining.annotations.formats import read_annotations, write_annotations

#: Corners, in images of 200 x 100 and 100 x 80.
A = [("cat", (10, 20, 60, 90)), ("ant", (100, 0, 120, 30))]
B = [("ant", (0, 0, 100, 80))]
FORMATS = ("coco", "voc", "yolo", "cvat", "labelme", "openimages")


@pytest.fixture
def written(tmp_path, helpers):
    """The folder of images, and by format the path of annotations that globox has written."""
    helpers.write_image(tmp_path / "images" / "a.jpg", (200, 100))
    helpers.write_image(tmp_path / "images" / "b.jpg", (100, 80))
    annotations = AnnotationSet(
        Annotation(name, size, [BoundingBox(label=x, **_edges(box)) for x, box in boxes])
        for name, size, boxes in (("a.jpg", (200, 100), A), ("b.jpg", (100, 80), B))
    )
    files = {"coco": "coco.json", "cvat": "cvat.xml", "openimages": "boxes.csv"}
    paths = {x: tmp_path / files.get(x, x) for x in FORMATS}
    annotations.save_coco(paths["coco"], auto_ids=True)
    annotations.save_pascal_voc(paths["voc"])
    annotations.save_yolo_darknet(paths["yolo"], label_to_id={"cat": 0, "ant": 1})
    (paths["yolo"] / "classes.txt").write_text("cat\nant\n")
    annotations.save_cvat(paths["cvat"])
    annotations.save_labelme(paths["labelme"])
    annotations.save_openimage(paths["openimages"])
    return tmp_path / "images", paths


def _edges(box):
    return dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))


def _read_by_globox(format_, path, images):
    readers = {
        "coco": lambda: AnnotationSet.from_coco(path),
        "voc": lambda: AnnotationSet.from_pascal_voc(path),
        "yolo": lambda: AnnotationSet.from_yolo_darknet(path, image_folder=images),
        "cvat": lambda: AnnotationSet.from_cvat(path),
        "labelme": lambda: AnnotationSet.from_labelme(path),
        "openimages": lambda: AnnotationSet.from_openimage(path, image_folder=images),
    }
    return readers[format_]()


@pytest.mark.parametrize("format_", FORMATS)
def test_globox_and_comining_read_what_the_other_writes(format_, written, tmp_path, helpers):
    images, paths = written
    source = read_annotations(paths[format_], images)
    assert source.format == format_
    assert helpers.boxes(source) == {
        "a.jpg": [("cat", [10, 20, 50, 70]), ("ant", [100, 0, 20, 30])],
        "b.jpg": [("ant", [0, 0, 100, 80])],
    }
    dataset = helpers.changed(source, add=[("b.jpg", "cat", [50, 40, 20, 30], 0.75)])
    completed = write_annotations(source, dataset, tmp_path / "out")
    if format_ == "yolo":  # globox takes every text for labels
        (completed / "classes.txt").unlink()
    found = _read_by_globox(format_, completed, images)["b.jpg"].boxes
    name = "0" if format_ == "yolo" else "cat"
    added = next(x for x in found if x.label == name)
    assert added.ltrb == pytest.approx((50, 40, 70, 70), abs=0.01)
    assert len(found) == 2
