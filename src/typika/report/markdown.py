"""Plain documents -> Markdown in which no text of a user is markup.

Labels and names come from strangers. Every text of a document is escaped here and nowhere else, so
that neither CommonMark nor the dialects that allow HTML, links, mentions or tables see more in it
than its letters.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

LONGEST = 300  # characters of a text; a label may have ten thousand
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "|": "&#124;"}
_MARKUP = re.compile(r"([\\`*_{}\[\]~$#!^=])")
_LINKS = re.compile(r"(?i)(?<=https)(?=:)|(?<=http)(?=:)|(?<=www)(?=\.)|(?<=ftp)(?=:)")
_OPENS_A_LIST = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+])")  # 0.75 opens none


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it: sentences, points, a table whose first row is its head.

    All texts are plain; they are escaped when the document is written.
    """

    title: str
    sentences: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Document:
    """A title, an opening, and sections in order."""

    title: str
    opening: str
    sections: tuple[Section, ...]


def markdown(document: Document) -> str:
    """The document as CommonMark with tables, one line end at its end."""
    blocks = [f"# {escaped(document.title)}", escaped(document.opening)]
    for section in document.sections:
        blocks.append(f"## {escaped(section.title)}")
        blocks += [escaped(sentence) for sentence in section.sentences]
        if section.points:
            blocks.append("\n".join(f"- {escaped(point)}" for point in section.points))
        if section.table:
            blocks.append(_table(section.table))
    return "\n\n".join(blocks) + "\n"


def escaped(text: str) -> str:
    """A text that Markdown shows as its letters: one line, at most 300 characters.

    White space becomes single spaces; control characters and marks of direction, which could
    reorder what stands around them, become the replacement character.
    """
    line = " ".join(text.split())
    line = "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") else c for c in line)
    if len(line) > LONGEST:
        line = line[: LONGEST - 1] + "…"
    line = "".join(_ENTITIES.get(character, character) for character in _LINKS.sub("\0", line))
    line = _MARKUP.sub(r"\\\1", line.replace("&#", "\1")).replace("\1", "&#")
    line = line.replace("\0:", "&#58;").replace("\0.", "&#46;")
    return _OPENS_A_LIST.sub(lambda found: _tame(found), line)


def _tame(found: re.Match[str]) -> str:
    number, mark, sign = found.groups()
    return f"\\{sign}" if sign else f"{number}\\{mark}"


def _table(rows: tuple[tuple[str, ...], ...]) -> str:
    head, *body = ("| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows)
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])
