"""Transcriptions: bytes to text, and text to one spelling of it.

Text stays in logical order, the order of reading: a line of Hebrew begins with the letter that is
rightmost.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from typika.collection._files import Refused
from typika.errors import ConfigError, DataError

Form = Literal["NFC", "NFD", "none"]
FORMS = ("NFC", "NFD", "none")
MOST_BYTES = 1 << 20  # of one line's file; real ones have a hundred
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TRUE = frozenset({"true", "1", "yes", "x"})
_REGEX = "#r#"
# Signs that leave no ink: byte-order mark, zero-width space, marks of direction.
_UNSEEN = frozenset("\ufeff\u200b\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e"
                    "\u2066\u2067\u2068\u2069")  # fmt: skip

Substitution = Callable[[str], str]


def read_transcription(path: Path) -> str:
    """The text of a .gt.txt file.

    Raises:
        Refused: it cannot be read, is too large for a line, or is not UTF-8.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused(f"cannot be read ({error.strerror or error})") from error
    if len(content) > MOST_BYTES:
        raise Refused(f"more than {MOST_BYTES:,} bytes are no transcription of one line")
    if content.startswith(_WIDE):
        raise Refused("not UTF-8 text but UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(
            f"not UTF-8 text (byte {content[error.start]:#04x} at place {error.start}), perhaps "
            "Latin-1; save it as UTF-8"
        ) from error
    if "\0" in text:
        raise Refused("holds zero bytes, as UTF-16 does; save it as UTF-8")
    return text


@dataclass(frozen=True)
class Spelling:
    """How every transcription is spelt: a Unicode form, and replacements."""

    form: Form = "NFC"
    substitutions: tuple[Substitution, ...] = ()

    @classmethod
    def choose(cls, form: Form, replacements: Path | None) -> Spelling:
        """Read a table of replacements, if there is one.

        It is a CSV file with the columns `char` and `replacement`, as choco-mufin writes it. A
        row is a regular expression where its `char` begins with `#r#` or its column `regex` is
        true; it changes nothing where its column `allow` is true. Regular expressions are applied
        first, one after the other; then all other rows at once, the longest `char` first, so that
        what one row wrote no other row changes.

        Raises:
            ConfigError: an unknown form, a regular expression that is none.
            DataError: no such table, or other columns.
        """
        if form not in FORMS:
            raise ConfigError(f"normalisation {form!r}: need one of {', '.join(FORMS)}")
        rows = [] if replacements is None else list(_rows(replacements, form))
        patterns = [row for row in rows if isinstance(row[0], re.Pattern)]
        plain = {old: new for old, new in rows if isinstance(old, str)}
        found: list[Substitution] = [_by_pattern(old, new) for old, new in patterns]
        if plain:
            found.append(_at_once(plain))
        return cls(form, tuple(found))

    def spell(self, text: str) -> str:
        """Spell a text: form, replacements, form again; runs of white space become one space.

        Control characters and signs that leave no ink, as marks of direction, are taken out.
        """
        text = unicode_form(text, self.form)
        for substitute in self.substitutions:
            text = substitute(text)
        seen = "".join(sign for sign in text if not is_unseen(sign))
        return " ".join(unicode_form(seen, self.form).split())


def unicode_form(text: str, form: Form) -> str:
    """Bring a text to a Unicode form; "none" leaves it."""
    return text if form == "none" else unicodedata.normalize(form, text)


def is_unseen(sign: str) -> bool:
    """Whether a code point is neither ink nor white space."""
    return sign in _UNSEEN or (unicodedata.category(sign) == "Cc" and not sign.isspace())


def _rows(path: Path, form: Form) -> Iterator[tuple[str | re.Pattern[str], str]]:
    """What to replace, and by what."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            lacking = [name for name in ("char", "replacement")
                       if name not in (reader.fieldnames or ())]  # fmt: skip
            if lacking:
                raise DataError(
                    f"{path}: no column {' and '.join(lacking)}; a table of replacements has the "
                    "columns char,replacement"
                )
            for row in reader:
                if _is_true(row.get("allow")):
                    continue
                old, new = row["char"] or "", row["replacement"] or ""
                if old.startswith(_REGEX) or _is_true(row.get("regex")):
                    where = f"{path}, line {reader.line_num}"
                    yield _pattern(old.removeprefix(_REGEX), new, where), new
                elif old:
                    yield unicode_form(old, form), unicode_form(new, form)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: no CSV in UTF-8 ({error})") from error


def _is_true(cell: str | None) -> bool:
    return (cell or "").strip().lower() in _TRUE


def _pattern(pattern: str, replacement: str, where: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
        # The added alternative matches "", so that the replacement is looked at too.
        re.compile(f"{pattern}|").sub(replacement, "")
    except (re.error, IndexError, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"{where}: {pattern!r} by {replacement!r} is no regular expression and its "
            f"replacement ({error}); correct it"
        ) from error
    if not pattern:
        raise ConfigError(f"{where}: an empty regular expression; write one, or remove the row")
    return compiled


def _by_pattern(old: str | re.Pattern[str], new: str) -> Substitution:
    return lambda text: re.sub(old, new, text)


def _at_once(replacements: dict[str, str]) -> Substitution:
    longest_first = sorted(replacements, key=lambda old: (-len(old), old))
    any_of = re.compile("|".join(map(re.escape, longest_first)))
    return lambda text: any_of.sub(lambda match: replacements[match[0]], text)
