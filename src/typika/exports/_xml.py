"""What both page formats need of XML: texts it may hold, names that are IDs, points, bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from typika.exports.pages import Page, Points

Element = ElementTree.Element
REPLACEMENT = "\ufffd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

# XML 1.0, sections 2.2 (Char) and 2.3 (NameStartChar, NameChar), without the colon.
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_START = (
    r"A-Z_a-z\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u02FF\u0370-\u037D\u037F-\u1FFF\u200C\u200D"
    r"\u2070-\u218F\u2C00-\u2FEF\u3001-\uD7FF\uF900-\uFDCF\uFDF0-\uFFFD\U00010000-\U000EFFFF"
)
_INNER = _START + r"\-.0-9\u00B7\u0300-\u036F\u203F\u2040"
_NAME = re.compile(f"[{_START}][{_INNER}]*")


def clean(text: str) -> str:
    """A text that XML may hold: what it may not is U+FFFD."""
    return _FORBIDDEN.sub(REPLACEMENT, text)


def forbidden(page: Page) -> tuple[str, ...]:
    """The characters of a page's texts and names that XML cannot hold, as U+0001."""
    found = {sign for text in _texts(page) for sign in _FORBIDDEN.findall(text)}
    return tuple(f"U+{ord(sign):04X}" for sign in sorted(found))


def _texts(page: Page) -> Iterator[str]:
    yield page.image
    for block in page.blocks:
        yield block.label
        for line in block.lines:
            yield line.kind
            yield line.text


class Names:
    """IDs of one document: each is given out once."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = set(reserved)

    def take(self, wanted: str, kind: str) -> str:
        """The wanted name where it may be an ID and is free; else one like it.

        kind: what it begins with where it may not begin as it does.
        """
        name = re.sub(f"[^{_INNER}]", "_", wanted)
        if not _NAME.fullmatch(name):
            name = f"{kind}_{name}"
        free, number = name, 1
        while free in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free)
        return free


def attributes(**values: object) -> dict[str, str]:
    """Attributes whose values XML may hold."""
    return {name: clean(str(value)) for name, value in values.items()}


def whole(points: Points, between: str) -> str:
    """Points in whole pixels, as both standards' readers take them."""
    return " ".join(f"{round(x)}{between}{round(y)}" for x, y in points)


def share(value: float) -> str:
    """A confidence in [0, 1]."""
    return f"{value:.4f}"


def as_bytes(root: Element) -> bytes:
    """The file: UTF-8 with a declaration."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"
