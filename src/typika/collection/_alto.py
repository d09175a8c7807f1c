"""A page in ALTO 2-4: the Library of Congress's format, as eScriptorium and kraken write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

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

ROOT = "alto"
_PIXEL = "pixel"


def read_alto(root: Element) -> PageText:
    """The page that an ALTO file describes.

    Raises:
        Refused: it describes none, or several.
    """
    layout = child(root, "Layout")
    pages = [] if layout is None else list(children(layout, "Page"))
    if len(pages) != 1:
        raise Refused(f"describes {len(pages)} pages; need one ALTO file for each page")
    description = child(root, "Description")
    tags = _tags(root)
    lines = with_ancestors(pages[0], "TextLine", partial(_region, tags))
    return PageText(
        image=_image(description),
        size=size_of(pages[0].get("WIDTH"), pages[0].get("HEIGHT")),
        in_pixels=_unit(description) == _PIXEL,
        lines=tuple(_line(element, region, tags) for element, region in lines),
    )


def _image(description: Element | None) -> str:
    source = None if description is None else child(description, "sourceImageInformation")
    name = None if source is None else child(source, "fileName")
    return "" if name is None else (name.text or "").strip()


def _unit(description: Element | None) -> str:
    unit = None if description is None else child(description, "MeasurementUnit")
    return ("" if unit is None else (unit.text or "").strip().lower()) or _PIXEL


def _tags(root: Element) -> Mapping[str, str]:
    """What each tag is called, by its ID."""
    tags = child(root, "Tags")
    return {tag.get("ID", ""): tag.get("LABEL", "") for tag in (() if tags is None else tags)}


def _labels(element: Element, tags: Mapping[str, str]) -> str:
    names = (tags.get(name, "") for name in element.get("TAGREFS", "").split())
    return " ".join(name for name in names if name)


def _region(tags: Mapping[str, str], element: Element, above: Region) -> Region:
    label = _labels(element, tags) or above.label
    if not local_name(element).endswith("Block"):
        return replace(above, label=label)
    polygon = region_points(_polygon, element)
    return Region(name=element.get("ID", ""), label=label, polygon=polygon)


def _line(element: Element, region: Region, tags: Mapping[str, str]) -> PageLine:
    name, text = element.get("ID", ""), _text(element)
    columns = {"region": region.label, "line_type": _labels(element, tags)}
    try:
        polygon = _polygon(element)
        baseline = _baseline(element)
    except ValueError as error:
        fault = f"its points cannot be read ({error})"
        return PageLine(name=name, text=text, fault=fault, columns=columns)
    return PageLine(name=name, text=text, baseline=baseline, polygon=polygon, columns=columns,
                    region=region)  # fmt: skip


def _text(line: Element) -> str | None:
    """Its strings, with what stands between them; words without anything between get a space."""
    parts = [(local_name(part), part.get("CONTENT", "")) for part in line]
    strings = [content for name, content in parts if name == "String"]
    if not strings:
        return None
    if not any(name == "SP" for name, _ in parts):
        hyphen = "".join(content for name, content in parts if name == "HYP")
        return " ".join(strings) + hyphen
    written = {"String", "HYP"}
    return "".join(" " if name == "SP" else content for name, content in parts
                   if name == "SP" or name in written)  # fmt: skip


def _polygon(line: Element) -> Points | None:
    """Its outline; the rectangle around it where no outline is drawn."""
    shape = child(line, "Shape")
    polygon = None if shape is None else child(shape, "Polygon")
    points = None if polygon is None else parse_points(polygon.get("POINTS"))
    left, top, width, height = (number(line.get(n)) for n in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    if points or not (width > 0 and height > 0):
        return points
    right, bottom = left + width, top + height
    return (left, top), (right, top), (right, bottom), (left, bottom)


def _baseline(line: Element) -> Points | None:
    """Its points; before ALTO 4.2 a single number, its y."""
    text = line.get("BASELINE", "")
    if text and len(text.replace(",", " ").split()) == 1:
        left, width = number(line.get("HPOS")), number(line.get("WIDTH"))
        y = float(text)
        return parse_points(f"{left} {y} {left + width} {y}") if width > 0 else None
    return parse_points(text)
