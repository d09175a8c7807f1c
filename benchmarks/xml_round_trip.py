"""ALTO and PAGE of real pages: read, exported in both formats, and read again.

A typewriter is learned for a few steps only: what is tested is where things are, not what is read.

    python -m benchmarks.xml_round_trip FOLDER     # leaves the runs and the files there
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from lxml import etree

from benchmarks.record import Figure, Result, at_least, at_most, real
from typika import exporting, typewriting
from typika.collection.lines import LineCollection
from typika.collection.places import places_of

SETTINGS: dict = {
    "model": {"height": 48},
    "training": {"steps": 6, "batch": 4, "checks": 1, "held_out": 0.0},
}
SOURCES, TARGETS = ("alto", "page"), ("alto", "page")


@dataclass
class Trip:
    """What one way there and back left of the lines of a folder."""

    lines: int = 0
    same_name: int = 0
    same_text: int = 0
    farthest: float = 0.0  # pixels, of a baseline's or polygon's points
    band: float = 0.0  # pixels, of a band's height
    characters: int = 0
    glyphs: int = 0
    glyph: float = 0.0  # pixels, of a glyph's box
    opened: int = 0
    files: int = 0
    notes: list[str] = field(default_factory=list)


def take(source: str, target: str, folder: Path) -> Trip:
    origin = real("pages", source)
    run = folder / source
    if not (run / "characters.parquet").exists():
        typewriting.fit(origin, run, config=typewriting.configure(SETTINGS))
    written = exporting.export(run, target, folder / f"{source}-{target}")
    for image in origin.iterdir():
        if image.suffix != ".xml":
            shutil.copy2(image, written.folder)
    trip = Trip(files=len(written.files), notes=list(written.notes))
    before = LineCollection.open(origin)
    _hold_lines(before, LineCollection.open(written.folder), run, trip)
    _hold_glyphs(typewriting.TypewriterRun(run), written.files, trip)
    return trip


def _hold_lines(before: LineCollection, after: LineCollection, run: Path, trip: Trip) -> None:
    texts = {row["line_id"]: row["text"] or row["read"] or None
             for row in typewriting.TypewriterRun(run).readings.to_pylist()}  # fmt: skip
    found = {line.line_id: line for line in after}
    places = {place.line_id: place for place in places_of(after)}
    for line, place in zip(before, places_of(before), strict=True):
        trip.lines += 1
        if line.line_id not in found:
            continue
        trip.same_name += 1
        other = found[line.line_id]
        trip.same_text += other.text == texts[line.line_id]
        for name in ("baseline", "polygon"):
            one, two = (np.asarray(getattr(own, name)) for own in (place, places[line.line_id]))
            off = np.abs(one - two).max() if one.shape == two.shape else np.inf
            trip.farthest = max(trip.farthest, float(off))
        heights = [cut.above + cut.below for cut in (line.cut, other.cut) if cut]
        trip.band = max(trip.band, abs(heights[0] - heights[1]))


def _hold_glyphs(run: typewriting.TypewriterRun, files: tuple[Path, ...], trip: Trip) -> None:
    """Boxes in the files against boxes in the run's table, in the order of both."""
    wanted = defaultdict(list)
    for row in run.characters.sort_by(
        [("line_id", "ascending"), ("place", "ascending")]
    ).to_pylist():
        if not row["character"].isspace():
            x, y = np.reshape(row["page_corners"], (-1, 2)).T
            wanted[row["line_id"]].append((row["character"], (x.min(), y.min(), x.max(), y.max())))
    trip.characters = sum(map(len, wanted.values()))
    for file in files:
        root = etree.parse(
            file, etree.XMLParser(resolve_entities=False, no_network=True)
        ).getroot()
        trip.opened += 1
        for line in root.iter("{*}TextLine"):
            name = f"{file.stem}#{line.get('ID') or line.get('id')}"
            for glyph, (character, box) in zip(line.iter("{*}Glyph"), wanted[name], strict=False):
                text = glyph.get("CONTENT") or glyph.findtext("{*}TextEquiv/{*}Unicode")
                trip.glyphs += text == character
                trip.glyph = max(trip.glyph, float(np.abs(np.subtract(_box(glyph), box)).max()))


def _box(glyph: etree._Element) -> tuple[float, float, float, float]:
    if glyph.get("HPOS") is not None:
        left, top, wide, high = (float(glyph.get(key)) for key in
                                 ("HPOS", "VPOS", "WIDTH", "HEIGHT"))  # fmt: skip
        return left, top, left + wide, top + high
    pairs = glyph.find("{*}Coords").get("points").split()
    x, y = zip(*(map(float, pair.split(",")) for pair in pairs), strict=True)
    return min(x), min(y), max(x), max(y)


def run(folder: Path | None = None) -> Result:
    with tempfile.TemporaryDirectory() as temporary:
        trips = {(source, target): take(source, target, folder or Path(temporary))
                 for source in SOURCES for target in TARGETS}  # fmt: skip
    every = list(trips.values())

    def percent(part: str, whole: str) -> float:
        return 100 * sum(getattr(t, part) for t in every) / sum(getattr(t, whole) for t in every)

    figures: list[Figure] = [
        at_least("lines with their own ID", percent("same_name", "lines"), 100, "%"),
        at_least("lines with their own text", percent("same_text", "lines"), 100, "%"),
        at_least("files that lxml opens", percent("opened", "files"), 100, "%"),
        at_least("characters written as glyphs", percent("glyphs", "characters"), 99, "%"),
        at_most("farthest of a band's height", max(t.band for t in every), 1, "pixels"),
        at_most("farthest of a glyph's box", max(t.glyph for t in every), 1, "pixels"),
        at_most("farthest of a line's points", max(t.farthest for t in every), 1, "pixels"),
    ]
    rows = [
        f"| {source} | {target} | {t.files} | {t.lines} | {t.same_name} | {t.same_text} | "
        f"{t.glyphs} of {t.characters} | {t.farthest:.2f} | {t.band:.2f} | {t.glyph:.2f} | "
        f"{'; '.join(t.notes)} |"
        for (source, target), t in trips.items()
    ]
    head = (
        "| read from | written as | files | lines | same ID | same text | glyphs | points, px | "
        "band, px | glyphs, px | notes |\n" + "|---" * 11 + "|"
    )
    return Result(figures=figures, notes=("\n".join([head, *rows]),))


if __name__ == "__main__":
    for figure in run(Path(sys.argv[1])).figures:
        print(figure.line())
