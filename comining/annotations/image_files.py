"""Which files are images, and which of them a detector could not see."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from .report import Report

#: Of all that Pillow reads, what is a picture: neither data (HDF5, GRIB) nor programs (PostScript).
IMAGE_SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
}  # fmt: skip
#: The EXIF tag that says how the camera was held, and by value what makes that upright.
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: How files end if nothing follows the image, by their suffix.
ENDS = {**dict.fromkeys((".jfif", ".jpeg", ".jpg"), b"\xff\xd9"), ".png": b"IEND\xaeB`\x82"}
#: How many images are looked at where a look at all would take too long.
NUM_SAMPLED = 500
TOO_DEEP = (
    "image files have more than 8 bits a pixel, or floating-point numbers, and would be read as "
    "black or white: write 8-bit images with the range of values that shows the objects, the same "
    "for all"
)


def has_image_name(name: str, suffixes: Collection[str] = IMAGE_SUFFIXES) -> bool:
    """Whether a path is that of an image by its name: it has a usual suffix and is not hidden, as
    those are that macOS leaves beside images (``._a.png``).

    Args:
        name: of a file, with "/" between folders.
        suffixes: in lower case, with dot.
    """
    path = PurePosixPath(name)
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def is_image(path: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> bool:
    """Whether what is found in a folder is an image: a file, no folder or dangling link, that
    `has_image_name`."""
    return has_image_name(path.name, suffixes) and path.is_file()


def orientation_of(image: Image.Image) -> int:
    """What EXIF says of an opened image, 1 to 8; 1 for nothing, as of a block that is damaged."""
    try:
        # PNG's own getexif decodes all pixels, to find what stands behind them.
        orientation = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # of all kinds; detectron2 ignores them, too
        return 1
    return orientation if orientation in TURNS else 1


def turned(image: Image.Image) -> Image.Image:
    """An opened image as the camera was held, as detectron2 reads it; perhaps the image itself.

    Pillow's ``exif_transpose`` writes the rest of EXIF anew, at which many a block fails.
    """
    turn = TURNS.get(orientation_of(image))
    return image if turn is None else image.transpose(turn)


def leads_outside(file_name: str) -> bool:
    """Whether a path, taken relative to a folder, leaves that folder (symbolic links apart)."""
    normal = os.path.normpath(file_name.replace("\\", "/"))
    return os.path.isabs(normal) or normal.split("/")[0] == ".." or "\0" in file_name


def is_leftover(file_name: str) -> bool:
    """Whether a file is what macOS leaves beside an image, with its name and other content."""
    return os.path.basename(file_name).startswith("._")


def named_by_address(images: list[Any], report: Report) -> list[Any]:
    """Give images of LVIS, which have no ``file_name``, that of their ``coco_url``.

    Args:
        images: as a file has them; they aren't changed.
        report: gets which were named.

    Returns:
        The images. A name is the last folder of the address and what follows:
        "train2017/000000000009.jpg".
    """
    named, ids = [], []
    for image in images:
        if isinstance(image, dict) and "file_name" not in image:
            address = image.get("coco_url")
            if isinstance(address, str):
                image = {**image, "file_name": "/".join(address.split("/")[-2:])}
                ids.append(image.get("id"))
        named.append(image)
    report.add("repaired", "images have no 'file_name': that of their 'coco_url' taken", ids)
    return named


def missing_files(names: Iterable[str], root: Path) -> list[str]:
    """The names that no file in ``root`` has. Every folder is listed once: that takes less than a
    look at each of a hundred thousand files."""
    listed: dict[str, set[str]] = {}
    missing = []
    for name in names:
        folder, base = os.path.split(name)
        if folder not in listed:
            try:
                with os.scandir(root / folder) as entries:
                    listed[folder] = {entry.name for entry in entries if entry.is_file()}
            except OSError:
                listed[folder] = set()
        if base not in listed[folder]:
            missing.append(name)
    return missing


def cut_off_files(names: Iterable[str], root: Path) -> list[str]:
    """The names of JPEG and PNG files that end too early, as after a copy that broke off.

    Those that don't end as others do are decoded, since something may follow an image.
    """
    return [name for name in names if not _is_whole(root / name)]


def _is_whole(path: Path) -> bool:
    end = ENDS.get(path.suffix.lower())
    if end is None:
        return True
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(end)))
            if file.read() == end:
                return True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def refuse_deep_image(path: str | Path) -> None:
    """Refuse an image that detectron2 would read as black or white.

    Pillow cuts off what is above 255. Which range of 65,536 values shows the objects, no file
    tells: radiographs use 10 to 16 bits of them.

    Raises:
        OSError: the image has more than 8 bits a pixel, or floating-point numbers.
    """
    if depth := _depth(path):
        raise OSError(
            f"{path} has the mode {depth}, of more than 8 bits a pixel, and would be read as black "
            "or white: write an 8-bit image with the range of values that shows the objects"
        )


def report_deep_images(
    images: list[dict[str, Any]], image_root: str | Path, report: Report
) -> None:
    """Look at a sample of the images and add to ``report`` those that `refuse_deep_image` refuses.

    Args:
        images: of a COCO data set.
        image_root: their folder.
        report: gets what is found.
    """
    names = [x["file_name"] for x in images if not leads_outside(x["file_name"])]
    sample = names[:: -(-len(names) // NUM_SAMPLED) or 1]
    report.add("error", TOO_DEEP, (x for x in sample if _depth(Path(image_root) / x)))


def is_deep(mode: str) -> bool:
    """Whether images of one of Pillow's modes hold more than 8 bits a pixel: I, I;16 and F."""
    return mode[0] in "IF"


def _depth(path: str | Path) -> str:
    """The mode of an image that is too deep, else nothing, also if it can't be read."""
    # No JPEG is too deep.
    if str(path).lower().endswith((".jpg", ".jpeg")):
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return image.mode if is_deep(image.mode) else ""
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ""
