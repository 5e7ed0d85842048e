"""XML that may be hostile: no entities, nothing external, bounded size and depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from .._extras import need
from ..errors import FormatError

MAX_BYTES = 256 << 20
MAX_DEPTH = 200


def parse(path: str, data: bytes) -> Element:
    """The root element; tags lose their namespace.

    Raises
    ------
    FormatError
        The text is not well-formed, nests too deeply, or declares entities.
    """
    defused: Any = need("defusedxml.ElementTree", "io", "reading XML")
    try:
        root = defused.fromstring(data, forbid_dtd=False, forbid_entities=True)
    except ParseError as error:
        line, column = error.position
        raise FormatError(f"{path}, line {line}, column {column}: not well-formed XML") from error
    except (ValueError, LookupError) as error:  # defusedxml's own errors are ValueErrors
        raise FormatError(f"{path}: XML is refused: {type(error).__name__}") from error
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
        if not level:
            break
    else:
        raise FormatError(f"{path}: XML nests more than {MAX_DEPTH} deep")
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def find(path: str, element: Element, tag: str) -> Element:
    """The first descendant ``tag`` ("a/b" for steps), or a :class:`FormatError` that names it."""
    found = element.find(f".//{tag}")
    if found is None:
        raise FormatError(f"{path}: element <{tag}> is missing in <{element.tag}>")
    return found


def text(element: Element | None) -> str:
    """Text of an element without the space around it, "" for None."""
    return ((element.text if element is not None else "") or "").strip()


def number(path: str, value: str, what: str, low: float, high: float) -> float:
    """A finite number within [low, high]."""
    try:
        v = float(value)
    except ValueError:
        v = float("nan")
    if not low <= v <= high:
        raise FormatError(f"{path}: {what} must be {low:g} to {high:g}, got {value[:40]!r}")
    return v


def descend(element: Element, tag: str) -> Iterator[Element]:
    """All descendants ``tag`` in document order."""
    return element.iter(tag)
