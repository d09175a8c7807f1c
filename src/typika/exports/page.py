"""A page as PAGE 2019-07-15: a Word a word, a Glyph a character, a TextEquiv for each.

https://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15/pagecontent.xsd. Coordinates are
whole pixels, as the standard has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from typika.exports._xml import XSI, Names, as_bytes, attributes, clean, share, whole
from typika.exports.pages import Block, Glyph, Line, Page, Points, Word, box_of

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
SCHEMA = f"{NAMESPACE}/pagecontent.xsd"
CREATOR = "typika"
# The kinds of text that the standard knows; any other goes into `custom`, as Transkribus writes it.
KINDS = frozenset({
    "paragraph", "heading", "caption", "header", "footer", "page-number", "drop-capital",
    "credit", "floating", "signature-mark", "catch-word", "marginalia", "footnote",
    "footnote-continued", "endnote", "TOC-entry", "list-label", "other",
})  # fmt: skip


def page_xml(page: Page, created: str) -> bytes:
    """The PAGE file of a page; what XML cannot hold is U+FFFD in it (`_xml.forbidden`).

    created: when it is written, as 2026-11-30T12:00:00.
    """
    names = Names()
    lines = {line.name: names.take(line.name, "line")
             for block in page.blocks for line in block.lines}  # fmt: skip
    root = Element("PcGts", {"xmlns": NAMESPACE, "xmlns:xsi": XSI,
                             "xsi:schemaLocation": f"{NAMESPACE} {SCHEMA}"})  # fmt: skip
    metadata = SubElement(root, "Metadata")
    for name, text in (("Creator", CREATOR), ("Created", created), ("LastChange", created)):
        SubElement(metadata, name).text = text
    sheet = SubElement(root, "Page", attributes(
        imageFilename=page.image, imageWidth=page.width, imageHeight=page.height
    ))  # fmt: skip
    for block in page.blocks:
        _block(sheet, block, page, lines, names)
    return as_bytes(root)


def _block(
    sheet: Element, block: Block, page: Page, lines: Mapping[str, str], names: Names
) -> None:
    written = {"id": names.take(block.name or "block", "block")} | _kind(block.label, KINDS)
    element = SubElement(sheet, "TextRegion", written)
    points = tuple(point for line in block.lines for point in line.polygon)
    _coords(element, block.polygon or _rectangle(points, page))
    for line in block.lines:
        _line(element, line, page, lines[line.name], names)


def _kind(label: str, known: frozenset[str] = frozenset()) -> dict[str, str]:
    if not label:
        return {}
    if label in known:
        return {"type": label}
    # ; and } end a value of `custom`.
    return attributes(custom=f"structure {{type:{re.sub('[;{}]', '_', label)};}}")


def _line(block: Element, line: Line, page: Page, name: str, names: Names) -> None:
    element = SubElement(block, "TextLine", {"id": name} | _kind(line.kind))
    _coords(element, line.polygon)
    SubElement(element, "Baseline", {"points": whole(line.baseline, ",")})
    for number, word in enumerate(line.words, 1):
        _word(element, word, page, names.take(f"{name}_w{number}", "word"), names)
    if line.text:
        _text(element, line.text)


def _word(line: Element, word: Word, page: Page, name: str, names: Names) -> None:
    element = SubElement(line, "Word", {"id": name})
    _coords(element, _rectangle(word.corners, page))
    for number, glyph in enumerate(word.glyphs, 1):
        _glyph(element, glyph, page, names.take(f"{name}_g{number}", "glyph"))
    _text(element, word.text, word.confidence)


def _glyph(word: Element, glyph: Glyph, page: Page, name: str) -> None:
    element = SubElement(word, "Glyph", {"id": name})
    rounded = {(round(x), round(y)) for x, y in glyph.corners}
    corners = glyph.corners if len(rounded) == 4 else _rectangle(glyph.corners, page)
    _coords(element, corners)
    _text(element, glyph.character, glyph.confidence)


def _text(element: Element, text: str, confidence: float | None = None) -> None:
    written = {} if confidence is None else {"conf": share(confidence)}
    SubElement(SubElement(element, "TextEquiv", written), "Unicode").text = clean(text)


def _coords(element: Element, points: Points) -> None:
    SubElement(element, "Coords", {"points": whole(points, ",")})


def _rectangle(points: Points, page: Page) -> Points:
    left, top, right, bottom = box_of(points, page.width, page.height)
    return (left, top), (right, top), (right, bottom), (left, bottom)
