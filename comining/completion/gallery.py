"""The review page as one file that works from disk without a server."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from PIL import Image
from tqdm import tqdm

from comining.annotations.image_files import refuse_deep_image, turned
from comining.counted import counted
from comining.errors import InputError
from comining.output_file import write_atomically

from .gallery_data import gallery_data

__all__ = ["gallery_data", "write_gallery"]

logger = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page")
#: The page's script, in this order.
SCRIPTS = (
    "elements.js",
    "decisions.js",
    "filters.js",
    "drawing.js",
    "grid.js",
    "large.js",
    "editing.js",
    "sample.js",
    "start.js",
)


def thumbnail(path: Path, size: int) -> str:
    """An image, at most ``size`` pixels wide and high, as base64 of a WebP file.

    Raises:
        InputError: it can't be read.
    """
    return base64.b64encode(thumbnail_bytes(path, size)).decode()


def thumbnail_bytes(path: Path, size: int) -> bytes:
    """As `thumbnail`, the content of the file."""
    return encoded(upright(path, size), "WEBP", 75)


def image_bytes(path: Path) -> bytes:
    """An image in its own size, as the content of a JPEG file.

    Raises:
        InputError: it can't be read.
    """
    return encoded(upright(path), "JPEG", 92)


def upright(path: Path, size: int | None = None) -> Image.Image:
    """An image as detectron2 reads it: turned as the camera was held; at most of a given size.

    Raises:
        InputError: it can't be read.
    """
    try:
        refuse_deep_image(path)
        with Image.open(path) as image:
            if size is not None:
                image.draft("RGB", (2 * size, 2 * size))  # of a large JPEG, no more is decoded
            picture = turned(image).convert("RGB")
            if size is not None:
                picture.thumbnail((size, size))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} can't be read as an image: {error}") from error
    return picture


def encoded(image: Image.Image, kind: str, quality: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def link(path: Path, folder: Path) -> str:
    """The URL of a file, relative to a page in ``folder``."""
    return quote(os.fsencode(os.path.relpath(path, folder)))


def page_policy(images_from: str, connect_to: str) -> str:
    """The content security policy of the page.

    Args:
        images_from: sources of images.
        connect_to: what its script may talk to.
    """
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"img-src {images_from}; connect-src {connect_to}; "
        f"style-src {hash_source(page_style())}; script-src {hash_source(page_script())}"
    )


def render_page(title: str, data: dict[str, Any], policy: str) -> bytes:
    """The page. Thumbnails may follow its script, so that it shows before all is read.

    Args:
        title: of the page.
        data: of `gallery_data`, and what the page needs beside.
        policy: as `page_policy` returns it.
    """
    page = Template((PAGE / "page.html").read_text(encoding="utf-8"))
    return page.substitute(
        policy=policy,
        title=html.escape(title),
        style=page_style(),
        script=page_script(),
        # A "<" in a name could end the script element.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    ).encode()


def page_style() -> str:
    return (PAGE / "style.css").read_text(encoding="utf-8")


def page_script() -> str:
    return "\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)


def hash_source(text: str) -> str:
    """What a content security policy calls this very script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def write_gallery(
    output: Path, title: str, data: dict[str, Any], image_root: Path, thumbnail_size: int | None
) -> None:
    """Write the page, completely or not at all.

    An image that can't be read is a grey area, and named in a warning.

    Args:
        output: the page.
        title: of the page.
        data: as `gallery_data` returns it.
        image_root: folder of the images.
        thumbnail_size: longest edge in pixels; None for images that are linked only.

    Raises:
        InputError: the page can't be written.
    """
    unreadable: list[str] = []
    paths = [image_root / image["name"] for image in data["images"]]
    images = [
        {**image, "url": link(path, output.parent)}
        for image, path in zip(data["images"], paths, strict=True)
    ]
    prefix = None if thumbnail_size is None else "data:image/webp;base64,"

    def pieces() -> Iterator[bytes]:
        shown = {**data, "images": images, "thumbnails": prefix, "server": False}
        yield render_page(title, shown, page_policy("'self' file: data:", "'none'"))
        if thumbnail_size is None:
            return

        def made_or_grey(path: Path) -> str:
            try:
                return thumbnail(path, thumbnail_size)
            except InputError as error:
                unreadable.append(str(error))
                grey = Image.new("RGB", (1, 1), "gray")
                return base64.b64encode(encoded(grey, "WEBP", 75)).decode()

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = pool.map(made_or_grey, paths)
            for number, text in enumerate(tqdm(made, "thumbnails", len(paths), disable=None)):
                script = f'<script type="text/plain" id="thumbnail-{number}">{text}</script>\n'
                yield script.encode()

    write_atomically(output, lambda file: file.writelines(pieces()))
    if unreadable:
        head = counted(
            len(unreadable), "images are grey in the page: repair them and make the page again"
        )
        logger.warning("\n  ".join([head, *sorted(unreadable)]))
