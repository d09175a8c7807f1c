"""A page in PAGE XML, 2010-2019, as Transkribus, eScriptorium, kraken and OCR-D write it."""

from __future__ import annotations

import re

from typika.collection._files import Refused
from typika.collection._line_records import Points, Region
from typika.collection._page_text import (
    PageLine,
    PageText,
    number,
    parse_points,
    region_points,
    size_of,
    with_ancestors,
)
from typika.collection._xml import Element, child, children, local_name

ROOT = "PcGts"
_STRUCTURE = re.compile(r"structure\s*\{[^}]*type:\s*([^;}]+)")
_FIRST = -1.0  # the index of a text that has none


def read_page(root: Element) -> PageText:
    """The page that a PAGE file describes.

    Raises:
        Refused: it describes none.
    """
    page = child(root, "Page")
    if page is None:
        raise Refused("has no <Page>")
    lines = with_ancestors(page, "TextLine", _region)
    return PageText(
        image=page.get("imageFilename", "").strip(),
        size=size_of(page.get("imageWidth"), page.get("imageHeight")),
        in_pixels=True,
        lines=tuple(_line(element, region) for element, region in lines),
    )


def _kind(element: Element) -> str:
    """The kind of a region or line: as its structure says, else its type."""
    found = _STRUCTURE.search(element.get("custom", ""))
    return found[1].strip() if found else element.get("type", "")


def _region(element: Element, above: Region) -> Region:
    if not local_name(element).endswith("Region"):
        return above
    return Region(
        name=element.get("id", ""),
        label=_kind(element) or above.label,
        polygon=region_points(lambda one: _points(child(one, "Coords")), element),
    )


def _line(element: Element, region: Region) -> PageLine:
    name, text = element.get("id", ""), _text(element)
    columns = {"region": region.label, "line_type": _kind(element)}
    try:
        polygon, baseline = (_points(child(element, part)) for part in ("Coords", "Baseline"))
    except ValueError as error:
        fault = f"its points cannot be read ({error})"
        return PageLine(name=name, text=text, fault=fault, columns=columns)
    return PageLine(name=name, text=text, baseline=baseline, polygon=polygon, columns=columns,
                    region=region)  # fmt: skip


def _points(element: Element | None) -> Points | None:
    """The points of an attribute, or of elements, as before 2013."""
    if element is None:
        return None
    points = [f"{point.get('x')} {point.get('y')}" for point in children(element, "Point")]
    return parse_points(element.get("points") or " ".join(points))


def _text(element: Element) -> str | None:
    """The text of lowest index; where there is none, the words', and for a word its glyphs'."""
    texts = [
        (number(text.get("index")) if text.get("index") else _FIRST, order, text)
        for order, text in enumerate(children(element, "TextEquiv"))
    ]
    for _, _, text in sorted(texts, key=lambda found: found[:2]):
        unicode = child(text, "Unicode")
        if unicode is not None and (unicode.text or "").strip():
            return unicode.text
    words = [found for word in children(element, "Word") if (found := _text(word))]
    glyphs = [found for glyph in children(element, "Glyph") if (found := _text(glyph))]
    if words or glyphs:
        return " ".join(words) or "".join(glyphs)
    return "" if texts else None
