"""What the published schemas of ALTO 4.2 and PAGE 2019-07-15 ask of a file, as far as we write."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from lxml import etree

# Of each element: the order of its children, and which attributes it must have.
ALTO = {
    "alto": (["Description", "Styles", "Tags", "Layout"], []),
    "Description": (["MeasurementUnit", "sourceImageInformation"], []),
    "sourceImageInformation": (["fileName"], []),
    "Tags": (["OtherTag"], []),
    "OtherTag": ([], ["ID", "LABEL"]),
    "Layout": (["Page"], []),
    "Page": (["PrintSpace"], ["ID", "PHYSICAL_IMG_NR", "WIDTH", "HEIGHT"]),
    "PrintSpace": (["TextBlock"], []),
    "TextBlock": (["Shape", "TextLine"], ["ID", "HPOS", "VPOS", "WIDTH", "HEIGHT"]),
    "TextLine": (["Shape", "String|SP"], ["ID", "BASELINE", "HPOS", "VPOS", "WIDTH", "HEIGHT"]),
    "String": (["Shape", "Glyph"], ["CONTENT", "HPOS", "VPOS", "WIDTH", "HEIGHT"]),
    "SP": ([], []),
    "Glyph": (["Shape"], ["CONTENT", "GC", "HPOS", "VPOS", "WIDTH", "HEIGHT"]),
    "Shape": (["Polygon"], []),
    "Polygon": ([], ["POINTS"]),
    "MeasurementUnit": ([], []),
    "fileName": ([], []),
}
PAGE = {
    "PcGts": (["Metadata", "Page"], []),
    "Metadata": (["Creator", "Created", "LastChange"], []),
    "Page": (["TextRegion"], ["imageFilename", "imageWidth", "imageHeight"]),
    "TextRegion": (["Coords", "TextLine"], ["id"]),
    "TextLine": (["Coords", "Baseline", "Word", "TextEquiv"], ["id"]),
    "Word": (["Coords", "Glyph", "TextEquiv"], ["id"]),
    "Glyph": (["Coords", "TextEquiv"], ["id"]),
    "TextEquiv": (["Unicode"], []),
    "Coords": ([], ["points"]),
    "Baseline": ([], ["points"]),
    "Unicode": ([], []),
    "Creator": ([], []),
    "Created": ([], []),
    "LastChange": ([], []),
}
MUST_HAVE = {"TextRegion": "Coords", "Word": "Coords", "TextEquiv": "Unicode", "Shape": "Polygon"}


def local(element) -> str:
    return etree.QName(element).localname


def parsed(content: bytes):
    return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))


def faults(content: bytes) -> list[str]:
    """What is wrong with a file; nothing, it is hoped."""
    root = parsed(content)
    rules = ALTO if local(root) == "alto" else PAGE
    found = [fault for element in root.iter() for fault in _of_element(element, rules)]
    names = [element.get(key) for element in root.iter() for key in ("ID", "id")
             if element.get(key) is not None]  # fmt: skip
    found += [f"{name} twice" for name, n in Counter(names).items() if n > 1]
    found += [f"{name!r} is no NCName" for name in names if not _is_name(name)]
    refs = [ref for element in root.iter() for ref in element.get("TAGREFS", "").split()]
    found += [f"{ref} is nowhere" for ref in refs if ref not in names]
    size = [int(next(page.get(key) for key in keys if page.get(key)))
            for page in root.iter("{*}Page") for keys in (("WIDTH", "imageWidth"),
                                                         ("HEIGHT", "imageHeight"))]  # fmt: skip
    found += [f"{local(element)} is not on the page: {box}" for element in root.iter()
              if (box := box_of(element)) and not _inside(box, size)]  # fmt: skip
    if local(root) == "alto":
        found += [fault for line in root.iter("{*}TextLine") for fault in _of_strings(line)]
    return found


def _of_element(element, rules) -> list[str]:
    name = local(element)
    if name not in rules:
        return [f"no <{name}> here"]
    order, required = rules[name]
    found = [f"{name} without {key}" for key in required if element.get(key) is None]
    places = [next((n for n, names in enumerate(order) if local(child) in names.split("|")), None)
              for child in element]  # fmt: skip
    if None in places:
        return [*found, f"<{local(element[places.index(None)])}> in <{name}>"]
    if places != sorted(places):
        found.append(f"{name}: children out of order")
    wanted = MUST_HAVE.get(name)
    if wanted and wanted not in {local(child) for child in element}:
        found.append(f"{name} without <{wanted}>")
    for key in ("WC", "GC", "conf"):
        if element.get(key) is not None and not 0 <= float(element.get(key)) <= 1:
            found.append(f"{name}: {key}={element.get(key)}")
    if name == "Glyph" and "CONTENT" in element.attrib and len(element.get("CONTENT")) != 1:
        found.append(f"Glyph of {element.get('CONTENT')!r}")  # the schema: length 1
    return found


def _of_strings(line) -> list[str]:
    kinds = [local(child) for child in line if local(child) != "Shape"]
    wrong = not kinds or kinds[0] != "String" or any(
        one == other == "SP" for one, other in pairwise(kinds)
    )  # fmt: skip
    return [f"line {line.get('ID')}: {kinds}"] if wrong else []


def _is_name(name: str) -> bool:
    try:
        etree.Element(name)
    except ValueError:
        return False
    return ":" not in name


def box_of(element) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of an element that has a place."""
    if element.get("HPOS") is not None:
        left, top, wide, high = (float(element.get(key)) for key in
                                 ("HPOS", "VPOS", "WIDTH", "HEIGHT"))  # fmt: skip
        return left, top, left + wide, top + high
    coords = element.find("{*}Coords")
    if coords is None:
        return None
    points = [tuple(map(float, pair.split(","))) for pair in coords.get("points").split()]
    x, y = zip(*points, strict=True)
    return min(x), min(y), max(x), max(y)


def _inside(box, size) -> bool:
    left, top, right, bottom = box
    return 0 <= left <= right <= size[0] and 0 <= top <= bottom <= size[1]


def glyphs(content: bytes) -> list[tuple[str, tuple[float, float, float, float]]]:
    """The characters of a file in its order, with their boxes."""
    return [(glyph.get("CONTENT") or glyph.findtext("{*}TextEquiv/{*}Unicode"), box_of(glyph))
            for glyph in parsed(content).iter("{*}Glyph")]  # fmt: skip
