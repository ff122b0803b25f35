"""Three small images, and short ways to read, complete and compare."""

import copy
from pathlib import Path

import pytest
from PIL import Image

#: Width and height by name.
SIZES = {"a.jpg": (200, 100), "sub dir/b ü.png": (100, 80), "c.jpg": (50, 40)}


def write_image(path: Path, size: tuple[int, int], orientation: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size)
    exif = image.getexif()
    if orientation:
        exif[0x0112] = orientation
    image.save(path, exif=exif)


def write_files(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def boxes(source_or_dataset) -> dict[str, list[tuple[str, list[float]]]]:
    """By file name, the boxes with the names of their categories, to hundredths of a pixel."""
    dataset = getattr(source_or_dataset, "dataset", source_or_dataset)
    names = {x["id"]: x["name"] for x in dataset["categories"]}
    files = {x["id"]: x["file_name"] for x in dataset["images"]}
    result = {x: [] for x in files.values()}
    for x in dataset["annotations"]:
        bbox = [round(value, 2) for value in x["bbox"]]
        result[files[x["image_id"]]].append((names[x["category_id"]], bbox))
    return result


def changed(source, *, add=(), remove=(), move=None) -> dict:
    """A copy of a source's data set with other annotations.

    Args:
        add: of new mined boxes, image, category, XYWH and score; no score for a box drawn by hand.
        remove: ids of annotations.
        move: by id of annotations, the new XYWH.
    """
    dataset = copy.deepcopy(source.dataset)
    images = {x["file_name"]: x["id"] for x in dataset["images"]}
    categories = {x["name"]: x["id"] for x in dataset["categories"]}
    kept = [x for x in dataset["annotations"] if x["id"] not in remove]
    for annotation in kept:
        annotation["bbox"] = (move or {}).get(annotation["id"], annotation["bbox"])
    free = max((x["id"] for x in dataset["annotations"]), default=0) + 1
    for id_, (image, category, bbox, score) in enumerate(add, free):
        new = {
            "id": id_,
            "image_id": images[image],
            "category_id": categories[category],
            "bbox": bbox,
            "area": bbox[2] * bbox[3],
            "iscrowd": 0,
        }
        kept.append(new if score is None else {**new, "origin": "mined", "score": score})
    return {**dataset, "annotations": kept}


def marks(source) -> list[tuple[str | None, float | None]]:
    """Of each annotation, its origin and its score."""
    return [(x.get("origin"), x.get("score")) for x in source.dataset["annotations"]]


class Helpers:
    write_image = staticmethod(write_image)
    write_files = staticmethod(write_files)
    boxes = staticmethod(boxes)
    changed = staticmethod(changed)
    marks = staticmethod(marks)


@pytest.fixture
def helpers():
    return Helpers


@pytest.fixture
def images(tmp_path):
    """The folder of the three images of `SIZES`."""
    for name, size in SIZES.items():
        write_image(tmp_path / "images" / name, size)
    return tmp_path / "images"
