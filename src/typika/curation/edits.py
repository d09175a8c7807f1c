"""Edits of clusters: small records that name patches and never cluster numbers (pure).

A cluster number means nothing once patches are grouped again. So an edit is held by an *anchor*:
the patches that its cluster had when the edit was made. `apply.py` finds the cluster that holds
most of them.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from typika.errors import DataError

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the image

LONGEST_NAME = 200  # characters
LONGEST_NOTE = 4_000
ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, order=True)
class Spot:
    """A patch, by its image and its box: what stays when patches are grouped again."""

    image_id: str
    box: Box


@dataclass(frozen=True)
class Anchor:
    """Patches of one label, in the order of `Spot`, each once."""

    label: str
    spots: tuple[Spot, ...]

    @classmethod
    def of(cls, label: str, spots: Iterable[Spot]) -> Anchor:
        """Raises DataError where there is no patch."""
        ordered = tuple(sorted(set(spots)))
        if not ordered:
            raise DataError("edit: of no patch; name at least one")
        return cls(label, ordered)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits; equal where label and patches are."""
        state = hashlib.blake2b(self.label.encode("utf-8", "surrogatepass"), digest_size=16)
        for spot in self.spots:
            state.update(f"\0{spot.image_id} {spot.box}".encode("utf-8", "surrogatepass"))
        return state.hexdigest()


@dataclass(frozen=True)
class Rename:
    """Give a cluster a name; the empty name takes it away."""

    of: Anchor
    name: str

    def __post_init__(self) -> None:
        require_line(self.name)


@dataclass(frozen=True)
class Annotate:
    """Give a cluster a note; the empty note takes it away."""

    of: Anchor
    note: str

    def __post_init__(self) -> None:
        require_text("note", self.note, LONGEST_NOTE, allowed="\n\t")


@dataclass(frozen=True)
class Star:
    """Mark a cluster, or take the mark away."""

    of: Anchor
    on: bool = True


@dataclass(frozen=True)
class Hide:
    """Fold a cluster away and leave it out of exports, or show it again."""

    of: Anchor
    on: bool = True


@dataclass(frozen=True)
class Merge:
    """Make two clusters of one label one; it keeps what the second was called."""

    of: Anchor
    into: Anchor

    def __post_init__(self) -> None:
        if self.of.label != self.into.label:
            raise DataError(
                f"merge: {self.of.label!r} and {self.into.label!r} are two labels; clusters are "
                "merged within one"
            )


@dataclass(frozen=True)
class Split:
    """Make some patches of one label a cluster of their own."""

    of: Anchor
    name: str = ""

    def __post_init__(self) -> None:
        require_line(self.name)


@dataclass(frozen=True)
class Drop:
    """Leave patches out, or put them back."""

    of: Anchor
    on: bool = True


@dataclass(frozen=True)
class Undo:
    """Take an earlier edit back. An undo may itself be undone."""

    edit: str

    def __post_init__(self) -> None:
        require_id(self.edit)


Change = Rename | Annotate | Star | Hide | Merge | Split | Drop | Undo
KINDS: dict[str, type[Change]] = {
    "rename": Rename, "note": Annotate, "star": Star, "hide": Hide, "merge": Merge,
    "split": Split, "drop": Drop, "undo": Undo,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One change, made at one time. id: 32 hexadecimal digits, chosen by who made it."""

    id: str
    at: str  # UTC, as in 2026-01-31T12:00:00Z
    change: Change

    def __post_init__(self) -> None:
        require_id(self.id)
        require_text("time", self.at, 40)


@dataclass(frozen=True)
class Log:
    """All edits of a run, the earliest first. It only grows."""

    edits: tuple[Edit, ...] = ()

    def __len__(self) -> int:
        return len(self.edits)

    def __iter__(self) -> Iterator[Edit]:
        return iter(self.edits)

    @classmethod
    def of(cls, edits: Iterable[Edit]) -> Log:
        """The log of some edits, each once, where it first stands.

        Raises:
            DataError: an undo of an edit that does not come before it.
        """
        kept: dict[str, Edit] = {}
        for edit in edits:
            if edit.id in kept:
                continue
            if isinstance(edit.change, Undo) and edit.change.edit not in kept:
                raise DataError(f"undo: no edit {edit.change.edit}; undo one that is in the log")
            kept[edit.id] = edit
        return cls(tuple(kept.values()))

    def with_edit(self, edit: Edit) -> Log:
        """The log with one more edit; the same where it has the edit's id already."""
        return Log.of((*self.edits, edit))

    @cached_property
    def undone(self) -> frozenset[str]:
        """Ids of the edits that later ones take back."""
        found: set[str] = set()
        for edit in reversed(self.edits):
            if isinstance(edit.change, Undo) and edit.id not in found:
                found.add(edit.change.edit)
        return frozenset(found)

    @property
    def standing(self) -> tuple[Edit, ...]:
        """The edits that count: no undo, and not undone."""
        counting = (one for one in self.edits if one.id not in self.undone)
        return tuple(one for one in counting if not isinstance(one.change, Undo))


def require_id(value: str) -> None:
    """Raises DataError unless it is the id of an edit."""
    if not ID.fullmatch(value):
        raise DataError(f"edit {value[:40]!r}: an id is 32 hexadecimal digits")


def require_line(value: str) -> None:
    """Raises DataError unless it is a name: one short line."""
    require_text("name", value, LONGEST_NAME)


def require_text(what: str, value: str, longest: int, allowed: str = "") -> None:
    """Raises DataError where a text is too long or has characters that no page can show."""
    if len(value) > longest:
        raise DataError(f"{what}: {len(value):,} characters; at most {longest:,} are kept")
    for character in value:
        if character in allowed:
            continue
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise DataError(f"{what}: has the control character U+{ord(character):04X}; remove it")


def told(change: Change) -> str:
    """What a change does, in a few words, without its label and its cluster."""
    match change:
        case Rename(name=name):
            return f"named “{name}”" if name else "name taken away"
        case Annotate(note=note):
            return f"note “{_short(note)}”" if note else "note taken away"
        case Star(on=on):
            return "starred" if on else "star taken away"
        case Hide(on=on):
            return "hidden" if on else "shown again"
        case Merge():
            return "merged into another"
        case Split(name=name, of=of):
            return f"{_count(of)} made a cluster" + (f", “{name}”" if name else "")
        case Drop(on=on, of=of):
            return f"{_count(of)} {'left out' if on else 'put back'}"
        case Undo():
            return "an edit taken back"


def _count(anchor: Anchor) -> str:
    number = len(anchor.spots)
    return "1 patch" if number == 1 else f"{number:,} patches"


def _short(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
