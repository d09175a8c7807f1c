"""From a folder to lines: every reader's candidates, looked at, spelt, and given their columns."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from typika import console
from typika.collection._annotation import ANNOTATION, read_annotation
from typika.collection._cuts import Unusable, cuts_of, page_scale
from typika.collection._decode import (
    SCAN_DRAFT,
    SMALLEST_SIDE,
    Unreadable,
    content_id,
    decode_bytes,
    read_bytes,
)
from typika.collection._files import Skipped, Tree, walk
from typika.collection._line_columns import (
    DOCUMENT,
    SPLIT,
    Columns,
    Metadata,
    find_metadata,
    folder_columns,
)
from typika.collection._line_records import Candidate, Cut, Harvest, TextLine
from typika.collection._pages import read_pages
from typika.collection._pairs import TRANSCRIPTION, paired, read_pairs
from typika.collection._transcription import Spelling, is_unseen
from typika.collection.alphabet import form_remark
from typika.errors import DataError

LAYOUTS = """expected one of
  FOLDER/**/x.png with x.gt.txt beside it (also .jpg, .tif, x.nrm.png, x.bin.png), or without
  FOLDER/**/x.xml in ALTO or PAGE, with the images of the pages
  FOLDER/annotation.json with FOLDER/images/"""
MOST_ELONGATED = 2_000  # widths to a height; above, it is no line
_FIRST_COLUMNS = (DOCUMENT, SPLIT, "page")


@dataclass(frozen=True)
class Source:
    """An image file that was looked at."""

    content: str  # 16 hexadecimal digits, BLAKE2b of its bytes
    width: int  # upright pixels
    height: int


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    lines: list[TextLine]
    sources: Mapping[str, Source]
    skipped: list[Skipped]
    notes: list[str]


def read_lines(path: Path, spelling: Spelling, metadata: Path | None, workers: int) -> Found:
    """Read the lines of a folder, or those that one annotation.json or page's XML in it lists.

    Raises:
        DataError: nothing there, or malformed tables.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    root = path if path.is_dir() else path.parent
    tree = walk(root, others=(".txt", ".xml", ".json"))
    harvest = _gather(root, tree, None if path.is_dir() else path.name)
    if not harvest.candidates and not harvest.skipped:
        raise DataError(f"{path}: no text line in it; {LAYOUTS}")
    harvest.skipped += tree.skipped
    looked = _look_at_all(root, [line.file_name for line in harvest], workers)
    sources = {name: found for name, found in looked.items() if isinstance(found, Source)}
    candidates, cuts = _measure(_unique(harvest), looked, harvest)
    columns, remarks = _columns(candidates, metadata or find_metadata(root))
    texts = _spell(candidates, spelling, harvest)
    harvest.notes += remarks
    lines = [
        TextLine(
            line_id=line.line_id,
            file_name=line.file_name,
            text=text,
            cut=cut,
            columns=own,
            drawn=line.drawn,
        )
        for line, cut, text, own in zip(candidates, cuts, texts, columns, strict=True)
    ]
    return Found(lines, sources, harvest.skipped, harvest.notes)


def _gather(root: Path, tree: Tree, only: str | None) -> Harvest:
    """Everything that any reader finds; what one claims is not looked at by the next.

    An image beside a page's XML is a page, which the XML may have forgotten, and never a line.
    """
    listings = [name for name in tree.others if posixpath.basename(name) == ANNOTATION]
    pages = [name for name in tree.others if name.lower().endswith(".xml")]
    texts = [name for name in tree.others if name.lower().endswith(TRANSCRIPTION)]
    if only is not None:
        listings, pages = ([name for name in names if name == only] for names in (listings, pages))
        if not listings and not pages:
            raise DataError(f"{root / only}: no folder, {ANNOTATION} or page's XML; {LAYOUTS}")
    harvest = Harvest()
    for listing in listings:
        images = [name for name in tree.images if name not in harvest.claimed]
        harvest += read_annotation(root, listing, images)
    images = [name for name in tree.images if name not in harvest.claimed]
    harvest += read_pages(root, pages, images, paired(images, texts))
    if only is None:
        images = [name for name in tree.images if name not in harvest.claimed]
        harvest += read_pairs(root, images, texts)
    return harvest


def _unique(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Sort canonically, a page's lines in their order, and give each an id of its own."""
    ordered = sorted(candidates, key=lambda line: line.file_name)
    counts = Counter(line.line_id for line in ordered)
    taken: set[str] = set()
    found = []
    for line in ordered:
        name = line.line_id
        if counts[name] > 1 and line.drawn is None:
            name = line.file_name  # x.png and x.jpg
        number = 1
        free = name
        while free in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(free)
        found.append(replace(line, line_id=free))
    return found


def _look_at_all(root: Path, names: Iterable[str], workers: int) -> dict[str, Source | str]:
    """Size and digest of each image, or why it cannot be read."""
    distinct = sorted(set(names))
    looked: dict[str, Source | str] = {}
    with (
        console.task("reading lines", len(distinct)) as advance,
        ThreadPoolExecutor(max_workers=max(1, workers)) as pool,
    ):
        paths = (root / name for name in distinct)
        for name, found in zip(distinct, pool.map(_look, paths), strict=True):
            looked[name] = found
            advance(1)
    return looked


def _look(path: Path) -> Source | str:
    try:
        content = read_bytes(path)
        # In full but for JPEGs, of which a small version too needs the whole file.
        width, height = decode_bytes(content, SCAN_DRAFT)[1]
    except Unreadable as error:
        return str(error)
    return Source(content_id(content), width, height)


def _measure(
    candidates: Sequence[Candidate], looked: Mapping[str, Source | str], harvest: Harvest
) -> tuple[list[Candidate], list[Cut | None]]:
    """The candidates that have pixels, and where those on pages are; the others are skipped."""
    by_page: dict[str, list[Candidate]] = {}
    for line in candidates:
        by_page.setdefault(line.file_name, []).append(line)
    kept: list[Candidate] = []
    places: list[Cut | None] = []
    for name, lines in by_page.items():
        source = looked[name]
        if isinstance(source, str):
            harvest.skip(name, source + _how_many(lines))
            continue
        for line, cut in zip(lines, _places(lines, source, harvest), strict=True):
            if isinstance(cut, Unusable):
                harvest.skip(name if line.drawn is None else line.line_id, cut.reason)
            else:
                kept.append(line)
                places.append(cut)
    return kept, places


def _how_many(lines: Sequence[Candidate]) -> str:
    return f"; {len(lines)} lines lost" if lines[0].drawn else ""


def _places(
    lines: Sequence[Candidate], source: Source, harvest: Harvest
) -> Sequence[Cut | Unusable | None]:
    """Where the lines of one image are; None for a line that is the whole image."""
    size = source.width, source.height
    drawn = [line.drawn for line in lines if line.drawn is not None]
    if not drawn:
        reason = _why_no_line(*size)
        return [Unusable(reason) if reason else None for _ in lines]
    scale = page_scale(drawn[0], size)
    if isinstance(scale, tuple) and drawn[0].in_pixels and scale != (1.0, 1.0):
        name = lines[0].file_name
        harvest.notes.append(f"{name} has another size than its XML says; places are scaled to it")
    return cuts_of(drawn, size)


def _why_no_line(width: int, height: int) -> str:
    if min(width, height) < SMALLEST_SIDE:
        return f"too small for a line: {width} x {height} pixels, need {SMALLEST_SIDE} a side"
    if width > MOST_ELONGATED * height:
        return f"too long for a line: {width} x {height} pixels"
    return ""


def _columns(
    candidates: Sequence[Candidate], metadata: Path | None
) -> tuple[list[Columns], list[str]]:
    """The columns of every line, each with the same keys, and remarks."""
    found: list[Columns] = [
        folder_columns(line.file_name) | dict(line.columns) for line in candidates
    ]
    remarks: list[str] = []
    if metadata is not None:
        found, remarks = Metadata(metadata).join(candidates, found)
    names = {name for own in found for name in own}
    first = [name for name in _FIRST_COLUMNS if name in names]
    order = [*first, *sorted(names - set(first))]
    return [{name: own.get(name, "") for name in order} for own in found], remarks


def _spell(
    candidates: Sequence[Candidate], spelling: Spelling, harvest: Harvest
) -> list[str | None]:
    """The text of every line, spelt in one way, with notes on what was not."""
    texts, empty, unseen, broken = [], [], [], []
    for line in candidates:
        raw = line.text
        text = None if raw is None else spelling.spell(raw)
        texts.append(text or None)
        if raw is None:
            continue
        if not text:
            empty.append(line.line_id)
        if any(map(is_unseen, raw.removeprefix("\ufeff"))):
            unseen.append(line.line_id)
        if len(raw.strip().splitlines()) > 1:
            broken.append(line.line_id)
    harvest.note(empty, "empty transcriptions, untranscribed lines now")
    harvest.note(unseen, "transcriptions with signs that leave no ink, taken out")
    harvest.note(broken, "transcriptions of several lines, joined by spaces")
    if remark := form_remark(line.text for line in candidates if line.text):
        done = "left as they are" if spelling.form == "none" else f"all are {spelling.form} now"
        harvest.notes.append(f"{remark}; {done}")
    return texts
