"""Whole pages: their XML, the image that each is of, and their lines.

Names in XML are looked up among the images of the collection and never opened as they stand: no
name leads out of the folder.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Sequence, Set
from pathlib import Path

from typika.collection import _alto, _page
from typika.collection._files import Refused, same_name
from typika.collection._finder import tidy
from typika.collection._line_records import Candidate, Drawn, Harvest
from typika.collection._page_text import PageLine, PageText
from typika.collection._xml import local_name, parse_xml

MOST_BYTES = 1 << 26  # of one page's file; large ones, with glyphs, have a few million
MOST_LINES = 5_000  # of one page
_READERS = {_page.ROOT: _page.read_page, _alto.ROOT: _alto.read_alto}
_STEM_END = re.compile(r"[._-]")  # what may follow the stem of a sibling's name


class _Stranger(Refused):
    """XML of something else than a page."""


def read_pages(
    root: Path, files: Sequence[str], images: Sequence[str], lines: Collection[str]
) -> Harvest:
    """Read the lines of every page that an XML file describes.

    All images of a folder that holds a page's XML or its image are claimed: what no XML describes
    is a page nonetheless, and is skipped.

    Args:
        root: the folder that all names are relative to.
        files: XML files.
        images: image files that may be pages.
        lines: those of them that are known to be lines, and are claimed only by name.
    """
    harvest = Harvest()
    finder = PageFinder(images)
    of_image: dict[str, str] = {}
    folders: set[str] = set()
    siblings: list[str] = []
    for file in files:
        try:
            text = _read(root / file)
            image, exact = finder.find(text.image, file)
            if image in of_image:
                raise Refused(f"of the same page image as {of_image[image]}")
        except Refused as refusal:
            harvest.skip(file, str(refusal))
            if not isinstance(refusal, _Stranger):
                folders.add(posixpath.dirname(file))
            continue
        of_image[image] = file
        folders |= {posixpath.dirname(file), posixpath.dirname(image)}
        if not exact:
            siblings.append(f"{image} for {text.image or 'none'} in {file}")
        _gather(text, file, image, harvest)
    harvest.note(siblings, "page images under another name than their XML says")
    pages = {image for image in images if posixpath.dirname(image) in folders}
    _claim(of_image.keys(), pages - set(lines), harvest)
    return harvest


def _claim(described: Set[str], pages: Set[str], harvest: Harvest) -> None:
    """Keep pages from being taken for lines, and skip those that no XML describes."""
    harvest.claimed = set(described | pages)
    for image in sorted(pages - described):
        harvest.skip(image, "no XML describes this page")


def _read(path: Path) -> PageText:
    tree = parse_xml(path, MOST_BYTES, "ALTO or PAGE")
    reader = _READERS.get(local_name(tree))
    if reader is None:
        raise _Stranger(f"<{local_name(tree)}> is neither ALTO (<alto>) nor PAGE (<PcGts>)")
    text = reader(tree)
    if not text.lines:
        raise Refused("has no <TextLine>")
    if len(text.lines) > MOST_LINES:
        raise Refused(f"{len(text.lines):,} lines are more than a page has")
    return text


def _gather(text: PageText, file: str, image: str, harvest: Harvest) -> None:
    """The lines of one page, as far as they have a place."""
    page = posixpath.splitext(file)[0]
    for number, line in enumerate(text.lines, 1):
        name = f"{page}#{line.name.strip() or f'line-{number}'}"
        fault = line.fault
        if not fault and line.baseline is None and line.polygon is None:
            fault = "has neither a baseline nor an outline"
        if fault:
            harvest.skip(name, fault)
            continue
        harvest.candidates.append(_candidate(text, line, name, image, page))


def _candidate(text: PageText, line: PageLine, name: str, image: str, page: str) -> Candidate:
    return Candidate(
        line_id=name,
        file_name=image,
        text=line.text,
        drawn=Drawn(
            baseline=line.baseline,
            polygon=line.polygon,
            page=text.size,
            in_pixels=text.in_pixels,
            file=page,
            region=line.region,
        ),
        columns={"page": posixpath.basename(page)}
        | {key: value for key, value in line.columns.items() if value},
    )


class PageFinder:
    """The image that a page's XML is of."""

    def __init__(self, images: Sequence[str]) -> None:
        self._images = {same_name(image): image for image in images}
        self._by_base: dict[str, list[str]] = defaultdict(list)
        self._by_folder: dict[str, list[str]] = defaultdict(list)
        for image in self._images:
            self._by_base[posixpath.basename(image)].append(image)
            self._by_folder[posixpath.dirname(image)].append(image)

    def find(self, named: str, file: str) -> tuple[str, bool]:
        """The image, and whether it has the name that the XML says.

        The name is sought beside the XML, in the folder above, and anywhere as the only one of
        that name; then as far as its stem goes, first the name's and then the XML's own, beside
        the XML and in the folder above.

        Raises:
            Refused: none, or several that may be meant.
        """
        clean = same_name(tidy(named)) if named else ""
        base = posixpath.basename(clean)
        beside = posixpath.dirname(same_name(file))
        folders = list(dict.fromkeys([beside, posixpath.dirname(beside)]))
        names = [clean, base] if base else []
        for name in names:
            for folder in (*folders, ""):
                if (path := posixpath.normpath(posixpath.join(folder, name))) in self._images:
                    return self._images[path], True
        if len(found := self._by_base.get(base, [])) == 1:
            return self._images[found[0]], True
        own = posixpath.splitext(posixpath.basename(same_name(file)))[0]
        for stem in dict.fromkeys([posixpath.splitext(base)[0], own]):
            for folder in folders:
                if stem and (alike := self._of_stem(stem, folder)):
                    return self._images[alike], False
        raise Refused(f"its page image {base} is not there" if base else
                      "names no page image, and none is called like it")  # fmt: skip

    def _of_stem(self, stem: str, folder: str) -> str | None:
        """The image of a folder whose name is the stem, or else the only one that begins so."""
        bases = {posixpath.basename(path): path for path in self._by_folder.get(folder, [])}
        same = sorted(base for base in bases if posixpath.splitext(base)[0] == stem)
        if same:
            return bases[same[0]]
        alike = sorted(base for base in bases
                       if base.startswith(stem) and _STEM_END.match(base, len(stem)))  # fmt: skip
        if len(alike) > 1:
            raise Refused(
                f"its page image is not there, and several may be meant: {alike[0]}, {alike[1]}"
            )
        return bases[alike[0]] if alike else None
