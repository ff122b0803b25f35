"""Reading numbers, texts and XML that others wrote."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath
from typing import Any

from comining.errors import InputError

from .geometry import Size


def read_bytes(path: Path) -> bytes:
    """Raises:
    InputError: the file can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error


def read_text(path: Path) -> str:
    """Raises:
    InputError: the file can't be read or is not in UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text in UTF-8: save it as UTF-8") from error


def number(value: Any, what: str, where: str) -> float:
    """A finite number, given as one or as a text.

    Raises:
        InputError: it is none.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: {what} is {_short(value)}, not a number") from error
    if not math.isfinite(result):
        raise InputError(f"{where}: {what} is {_short(value)}: it must be finite")
    return result


def stated_size(width: Any, height: Any, where: str) -> Size | None:
    """The size that an annotation states: None where it states none, or 0, as some tools do.

    Raises:
        InputError: it is not a number.
    """
    if width in (None, "") or height in (None, ""):
        return None
    size = int(number(width, "width", where)), int(number(height, "height", where))
    return size if size[0] > 0 and size[1] > 0 else None


def two_decimals(value: float) -> float | int:
    """Rounded to hundredths; an integer where it is one."""
    value = round(value, 2)
    return int(value) if value == int(value) else value


class _Builder(ET.TreeBuilder):
    """Keeps comments and refuses document type definitions, with which XML can do harm."""

    def __init__(self) -> None:
        super().__init__(insert_comments=True)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise _HasDoctype


class _HasDoctype(Exception):
    pass


def parse_xml(data: bytes, path: Path) -> ET.Element:
    """The root of an XML file, with its comments.

    Raises:
        InputError: it is no XML, or has a document type definition.
    """
    try:
        return ET.fromstring(data, ET.XMLParser(target=_Builder()))
    except _HasDoctype as error:
        raise InputError(
            f"{path} has a document type definition (<!DOCTYPE ...>): remove it, annotations need "
            "none"
        ) from error
    except (ET.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path} is not well-formed XML: {error}. Export it again") from error


def xml_bytes(root: ET.Element, original: bytes) -> bytes:
    """A tree as a file; it begins with an XML declaration if the original does."""
    declares = original.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml")
    text = ET.tostring(root, encoding="unicode", short_empty_elements=b"/>" in original)
    head = '<?xml version="1.0" encoding="utf-8"?>\n' if declares else ""
    return f"{head}{text}\n".encode()


def append_indented(parent: ET.Element, child: ET.Element) -> None:
    """Append a child, indented as its siblings are."""
    depth = parent.text
    if len(parent) and depth and not depth.strip():
        closing = parent[-1].tail or "\n"
        unit = depth[len(closing) :] if depth.startswith(closing) else "\t"
        parent[-1].tail = depth
        _indent(child, depth, unit)
        child.tail = closing
    parent.append(child)


def _indent(element: ET.Element, depth: str, unit: str) -> None:
    if not len(element):
        return
    element.text = depth + unit
    for sub in element:
        _indent(sub, depth + unit, unit)
        sub.tail = depth + unit
    element[-1].tail = depth


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def without_suffix(file_name: str) -> str:
    """The path of a file, "/" between its parts, up to the suffix."""
    return PurePosixPath(file_name).with_suffix("").as_posix()
