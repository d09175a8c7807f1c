"""A page as ALTO 4.2: a String a word, SP between words, a Glyph a character.

https://www.loc.gov/standards/alto/v4/alto-4-2.xsd. Coordinates are whole pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from typika.exports._xml import XSI, Names, as_bytes, attributes, clean, share, whole
from typika.exports.pages import Block, Box, Glyph, Line, Page, Points, Word, box_of

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-2.xsd"
_LEVEL = 1.0  # pixels that a corner may be off an upright box, which is drawn without a Shape


def alto(page: Page) -> bytes:
    """The ALTO file of a page; what XML cannot hold is U+FFFD in it (`_xml.forbidden`)."""
    names = Names({"page"})
    lines = {line.name: names.take(line.name, "line")
             for block in page.blocks for line in block.lines}  # fmt: skip
    root = Element("alto", {"xmlns": NAMESPACE, "xmlns:xsi": XSI,
                            "xsi:schemaLocation": f"{NAMESPACE} {SCHEMA}"})  # fmt: skip
    description = SubElement(root, "Description")
    SubElement(description, "MeasurementUnit").text = "pixel"
    source = SubElement(description, "sourceImageInformation")
    SubElement(source, "fileName").text = clean(page.image)
    tags = _tags(root, page, names)
    size = attributes(WIDTH=page.width, HEIGHT=page.height)
    layout = SubElement(root, "Layout")
    sheet = SubElement(layout, "Page", {"ID": "page", "PHYSICAL_IMG_NR": "1", **size})
    space = SubElement(sheet, "PrintSpace", {"HPOS": "0", "VPOS": "0", **size})
    for block in page.blocks:
        _block(space, block, page, lines, tags, names)
    return as_bytes(root)


Tags = Mapping[str, str]


def _tags(root: Element, page: Page, names: Names) -> Tags:
    """The ID of each kind of block or line."""
    kinds = {block.label: "block" for block in page.blocks}
    kinds |= {line.kind: "line" for block in page.blocks for line in block.lines}
    kinds.pop("", None)
    found = {}
    if kinds:
        tags = SubElement(root, "Tags")
        for number, (label, what) in enumerate(kinds.items(), 1):
            found[label] = names.take(f"type_{number}", "type")
            description = f"{what} type {label}"
            SubElement(tags, "OtherTag", attributes(ID=found[label], LABEL=label,
                                                    DESCRIPTION=description))  # fmt: skip
    return found


def _block(
    space: Element, block: Block, page: Page, lines: Mapping[str, str], tags: Tags, names: Names
) -> None:
    outline = block.polygon or tuple(point for line in block.lines for point in line.polygon)
    written = {"ID": names.take(block.name or "block", "block")}
    if block.label:
        written["TAGREFS"] = tags[block.label]
    element = SubElement(space, "TextBlock", written | _box(outline, page))
    if block.polygon:
        _shape(element, block.polygon)
    for line in block.lines:
        _line(element, line, page, lines[line.name], tags)


def _line(block: Element, line: Line, page: Page, name: str, tags: Tags) -> None:
    written = {"ID": name}
    if line.kind:
        written["TAGREFS"] = tags[line.kind]
    written["BASELINE"] = whole(line.baseline, " ")
    element = SubElement(block, "TextLine", written | _box(line.polygon, page))
    _shape(element, line.polygon)
    if not line.words:
        SubElement(element, "String", attributes(CONTENT=line.text) | _box(line.polygon, page))
        return
    before: Box | None = None
    for word in line.words:
        box = box_of(word.corners, page.width, page.height)
        if before is not None:
            SubElement(element, "SP", _gap(before, box))
        _word(element, word, page)
        before = box


def _word(line: Element, word: Word, page: Page) -> None:
    written = attributes(CONTENT=word.text, WC=share(word.confidence))
    element = SubElement(line, "String", written | _box(word.corners, page))
    for glyph in word.glyphs:
        _glyph(element, glyph, page)


def _glyph(word: Element, glyph: Glyph, page: Page) -> None:
    written = attributes(CONTENT=glyph.character, GC=share(glyph.confidence))
    element = SubElement(word, "Glyph", written | _box(glyph.corners, page))
    left, top, right, bottom = box_of(glyph.corners, page.width, page.height)
    upright = (left, top), (right, top), (right, bottom), (left, bottom)
    away = (abs(a - b) for one, other in zip(glyph.corners, upright, strict=True)
            for a, b in zip(one, other, strict=True))  # fmt: skip
    if max(away) > _LEVEL:
        _shape(element, glyph.corners)


def _gap(before: Box, after: Box) -> dict[str, str]:
    """The space between two words, of which the first one read may be the right one."""
    first, second = sorted((before, after))
    left, right = first[2], max(second[0], first[2])
    top, bottom = min(first[1], second[1]), max(first[3], second[3])
    return attributes(HPOS=left, VPOS=top, WIDTH=right - left, HEIGHT=bottom - top)


def _box(points: Points, page: Page) -> dict[str, str]:
    left, top, right, bottom = box_of(points, page.width, page.height)
    return attributes(HPOS=left, VPOS=top, WIDTH=right - left, HEIGHT=bottom - top)


def _shape(element: Element, points: Points) -> None:
    SubElement(SubElement(element, "Shape"), "Polygon", {"POINTS": whole(points, " ")})
