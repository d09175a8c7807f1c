"""XML from elsewhere, parsed without trust.

A file that declares a document type (the only way to entities, which may grow without bound or
fetch other files) is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from typika.collection._files import Refused

Element = ElementTree.Element
# Of one file: an element takes two, and a hundred bytes and more of memory. A page of 5,000 lines
# with four elements for each of its characters has as many.
MOST_SIGNS = 3_000_000


def xml_files(folder: Path) -> list[Path]:
    """All .xml files below a folder, in order of their names; hidden ones are left out."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names
                  if name.lower().endswith(".xml") and not name.startswith(".")]  # fmt: skip
    return sorted(found)


def parse_xml(path: Path, most_bytes: int, kind: str) -> Element:
    """The root element of a file of at most `most_bytes`, which is `kind` ("VOC").

    Raises:
        Refused: unreadable, larger, not UTF-8, with a document type, of too many elements, or not
            XML.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(most_bytes + 1)
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror})") from error
    if len(content) > most_bytes:
        raise Refused(f"more than {most_bytes:,} bytes are no {kind} of one image")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8 text; save it as UTF-8") from error
    # As text, so that what is looked at here is what is parsed, whatever encoding it declares.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Refused(f"declares a document type, which {kind} has no use for; remove it")
    if text.count("<") > MOST_SIGNS:
        raise Refused(f"more elements than a {kind} has")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise Refused(f"not XML ({error})") from error


def local_name(element: Element) -> str:
    """The name of an element without its namespace, which versions of a format differ in."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element, name: str) -> Iterator[Element]:
    """The elements of that name directly below."""
    return (child for child in element if local_name(child) == name)


def child(element: Element, name: str) -> Element | None:
    """The first element of that name directly below, if there is one."""
    return next(children(element, name), None)
