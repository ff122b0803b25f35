"""Which format a file or a folder has, by what it holds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from comining.errors import InputError

from .coco import CocoDocument
from .cvat import CvatDocument
from .document import Document
from .images import ImageFolder, files_below
from .label_studio import LabelStudioDocument, is_label_studio
from .label_studio_min import LabelStudioMinDocument, is_label_studio_min
from .labelme import LabelMeDocument, is_labelme
from .open_images import OpenImagesDocument, is_open_images_table
from .parsing import parse_xml, read_bytes
from .table import read_lines
from .via import ViaDocument, is_via
from .via_csv import ViaCsvDocument, is_via_table
from .voc import VocDocument
from .yolo import YoloDocument, labels_root
from .yolo_names import LISTS

KNOWN = (
    "COCO JSON, Pascal VOC XML, YOLO txt, CVAT for images 1.1 XML, LabelMe JSON, VIA JSON or CSV, "
    "Open Images CSV, Label Studio JSON or JSON-MIN"
)
#: What people call a `Document.format`.
FORMAT_NAMES = {
    "coco": "COCO",
    "voc": "Pascal VOC",
    "yolo": "YOLO",
    "cvat": "CVAT",
    "labelme": "LabelMe",
    "via": "VIA",
    "openimages": "Open Images",
    "label_studio": "Label Studio",
}
#: Formats with one file for all images.
_WHOLE: dict[str, Callable[[Path], Document]] = {
    "COCO": CocoDocument,
    "CVAT": CvatDocument,
    "VIA": ViaDocument,
    "VIA CSV": ViaCsvDocument,
    "Open Images": OpenImagesDocument,
    "Label Studio": LabelStudioDocument,
    "Label Studio JSON-MIN": LabelStudioMinDocument,
}


def open_document(path: Path, folder: ImageFolder) -> Document:
    """The annotations in a file or a folder.

    Args:
        path: of the file or folder.
        folder: the images, which tell which text files describe one.

    Raises:
        InputError: it is missing, of no known format, of several, or broken.
    """
    if not path.exists():
        raise InputError(f"{path} doesn't exist: give the file or the folder of the annotations")
    if path.is_dir():
        return _open_folder(path, folder)
    if path.suffix.lower() in (".yaml", ".yml"):
        root = labels_root(path)
        return _open_yolo(path, root, _text_files(root), folder, names=path)
    kind = _kind(path)
    if kind in _WHOLE:
        return _WHOLE[kind](path)
    if kind in ("Pascal VOC", "LabelMe", "YOLO"):
        raise InputError(
            f"{path} is the {kind} annotation of a single image: give its folder, {path.parent}"
        )
    raise InputError(f"{path} holds {kind}, no annotations of a known format. Known are {KNOWN}")


def _open_folder(path: Path, folder: ImageFolder) -> Document:
    found: dict[str, list[str]] = defaultdict(list)
    texts = []
    for file in files_below(path):
        if file.lower().endswith(".txt"):
            texts.append(file)
        elif file.lower().endswith((".csv", ".json", ".xml")):
            found[_kind(path / file)].append(file)
    kinds = {k: v for k, v in found.items() if k in _WHOLE or k in ("Pascal VOC", "LabelMe")}
    if any(_describes(path / file, file, folder) for file in texts):
        kinds["YOLO"] = texts
    if not kinds:
        raise _nothing(path, found, texts)
    if len(kinds) > 1:
        each = "; ".join(f"{kind}: {files[0]}" for kind, files in kinds.items())
        raise InputError(
            f"{path} holds annotations of {len(kinds)} formats ({each}): give the file or the "
            "sub-folder of one"
        )
    kind, files = kinds.popitem()
    if kind == "YOLO":
        return _open_yolo(path, path, files, folder)
    if kind == "Pascal VOC":
        return VocDocument(path, path, files)
    if kind == "LabelMe":
        return LabelMeDocument(path, path, files)
    if len(files) > 1:
        raise InputError(
            f"{path} holds {len(files)} {kind} files ({', '.join(files[:3])}): give one of them"
        )
    return _WHOLE[kind](path / files[0])


def _nothing(path: Path, found: dict[str, list[str]], texts: list[str]) -> InputError:
    others = [*(f"{v[0]}: {k}" for k, v in found.items()), *texts[:1]]
    seen = f" (it holds {', '.join(others)})" if others else ""
    return InputError(f"{path} has no annotations of a known format{seen}. Known are {KNOWN}")


def _open_yolo(
    path: Path, root: Path, texts: list[str], folder: ImageFolder, names: Path | None = None
) -> Document:
    files = [x for x in texts if _describes(root / x, x, folder)]
    if not files:
        raise InputError(
            f"{root} has no text file with the name of an image of {folder.root}: give the "
            "folder of the labels"
        )
    document = YoloDocument(path, root, files, names)
    others = [x for x in texts if x not in files and Path(x).name not in LISTS]
    if others:
        note = f"text files without an image: left out (the first: {others[0]})"
        document.notes[note] = len(others)
    return document


def _describes(path: Path, file: str, folder: ImageFolder) -> bool:
    """Whether a text file is, or is meant to be, the annotation of an image."""
    if path.name in LISTS:
        return False
    if folder.candidates(file[: -len(path.suffix)]):
        return True
    return _is_yolo(read_bytes(path))


def _is_yolo(data: bytes) -> bool:
    """Whether a text begins with a line of at least five numbers."""
    words = data.lstrip()[:1000].decode("utf-8-sig", "replace").split("\n", 1)[0].split()
    return len(words) >= 5 and all(map(_is_number, words))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text_files(path: Path) -> list[str]:
    return [x for x in files_below(path) if x.lower().endswith(".txt")]


def _kind(path: Path) -> str:
    """What a file holds: the name of a format, else a description."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _kind_of_table(path)
    data = read_bytes(path)
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if suffix == ".xml" or start == b"<":
        tag = parse_xml(data, path).tag
        return {"annotation": "Pascal VOC", "annotations": "CVAT"}.get(tag, f"XML with <{tag}>")
    if suffix == ".json" or start in (b"{", b"["):
        return _kind_of_json(data, path)
    if _is_yolo(data):
        return "YOLO"
    first = data.split(b"\n", 1)[0]
    return _kind_of_table(path) if first.count(b",") >= 3 else "text"


def _kind_of_table(path: Path) -> str:
    columns = next(read_lines(path), (1, []))[1]
    if is_open_images_table(columns):
        return "Open Images"
    if is_via_table(columns):
        return "VIA CSV"
    return f"CSV with the columns {', '.join(columns[:4])}"


def _kind_of_json(data: bytes, path: Path) -> str:
    try:
        content: Any = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a JSON file: {error}. Export it again") from error
    if is_labelme(content):
        return "LabelMe"
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return "COCO"
    if is_via(content):
        return "VIA"
    if is_label_studio(content):
        return "Label Studio"
    if isinstance(content, list) and content and isinstance(content[0], dict):
        if {"image_id", "category_id", "bbox"} <= set(content[0]):
            return "detections (COCO results), which are no data set,"
        if is_label_studio_min(content):
            return "Label Studio JSON-MIN"
    if isinstance(content, dict):
        return f"JSON with {', '.join(map(repr, list(content)[:4])) or 'nothing in it'}"
    return "JSON that is no object with lists in it"
