"""A text in symbols: where each stands, what it is called, and one image of it.

Two sources: lines whose signs were found, which are merged into symbols; and lines that somebody
transcribed in symbols, which are taken as they are.

Legend: `S` symbols, `n` symbols of a line, `H W` pixels of a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from PIL import Image

from typika.ciphers.merging import MergingConfig, Symbols, merge
from typika.ciphers.shapes import likeness_of
from typika.errors import DataError
from typika.typewriter.batches import Line
from typika.typewriter.discovery import NAMES, Signs
from typika.typewriter.image_decoding import boxes

SPACE = " "
_SIDE = 24  # pixels of the squares in which instances are compared
_MOST = 200  # instances of a symbol that are compared
_BORDER = 3  # pixels around an instance that is shown


@dataclass(frozen=True)
class CipherText:
    """Lines of symbols.

    names: of the symbols, the most frequent first; one may be SPACE. lines: symbols of each line.
    boxes: left, top, right, bottom of each symbol's ink, in pixels of the line; not a number where
    that is not known. spellings: of each symbol, the signs that it was put together of.
    merged: what was merged, where signs were.
    """

    line_ids: tuple[str, ...]
    names: tuple[str, ...]
    lines: tuple[Int[ndarray, " _"], ...]
    boxes: tuple[Float[ndarray, "_ 4"], ...]
    spellings: tuple[tuple[str, ...], ...]
    merged: Symbols | None = None

    @property
    def space(self) -> int | None:
        """The symbol that is a space, where there is one."""
        return self.names.index(SPACE) if SPACE in self.names else None

    def transcription(self) -> list[str]:
        """Each line in the names of its symbols."""
        return ["".join(self.names[one] for one in line) for line in self.lines]

    def stream(self) -> tuple[Int[ndarray, " N"], Int[ndarray, " N"]]:
        """All lines as one text, and of each symbol its line; where words are told apart, spaces
        between lines, with −1 for a line.
        """
        text: list[int] = []
        owner: list[int] = []
        for number, line in enumerate(self.lines):
            if number and self.space is not None:
                text.append(self.space)
                owner.append(-1)
            text += line.tolist()
            owner += [number] * len(line)
        return np.array(text, dtype=np.int64), np.array(owner, dtype=np.int64)


def of_signs(
    signs: Signs, lines: Sequence[Line], config: MergingConfig, *, spaces: bool
) -> CipherText:
    """Lines as symbols that the signs in them are merged into. spaces: found in wide gaps.

    Raises DataError where no sign is on the lines.
    """
    decoded = signs.decoded(lines)
    likeness = likeness_of(signs.sheet, [one for one, _ in decoded], signs.decoding.blur)
    merged = merge([one.sprites.tolist() for one, _ in decoded], likeness, config)
    if not len(merged):
        raise DataError("no line has a sign on it, so there is nothing to decipher")
    placed = []
    for (one, shift), parts in zip(decoded, merged.parts, strict=True):
        own = boxes(one, signs.sheet) + np.array([0, shift, 0, shift])
        placed.append(_united(own, parts))
    named = tuple(_named(merged))
    text = CipherText(
        line_ids=tuple(line.line_id for line in lines),
        names=named,
        lines=merged.lines,
        boxes=tuple(placed),
        spellings=tuple(
            tuple("".join(NAMES[sign] for sign in one) for one in own) for own in merged.spellings
        ),
        merged=merged,
    )
    return _with_spaces(text) if spaces else text


def of_texts(
    texts: Mapping[str, str], characters: Sequence[Mapping[str, Any]], *, spaces: bool
) -> CipherText:
    """Lines that are transcribed in symbols. texts: by line. characters: rows of the run's table.

    Raises DataError where no symbol is in the texts.
    """
    counts = Counter(one for text in texts.values() for one in _kept(text, spaces))
    if not counts:
        raise DataError("no line says anything, so there is nothing to decipher")
    names = sorted(counts, key=lambda one: (-counts[one], one))
    number = {name: place for place, name in enumerate(names)}
    found: dict[str, list[tuple[str, list[float]]]] = {}
    for row in characters:
        box = [row[edge] for edge in ("left", "top", "right", "bottom")]
        if spaces or not row["character"].isspace():
            found.setdefault(row["line_id"], []).append((row["character"], box))
    placed = []
    for name, text in texts.items():
        own, kept = found.get(name, []), _kept(text, spaces)
        same = "".join(one for one, _ in own) == kept
        empty = np.full((len(kept), 4), np.nan)
        placed.append(np.array([box for _, box in own]).reshape(-1, 4) if same else empty)
    return CipherText(
        line_ids=tuple(texts),
        names=tuple(names),
        lines=tuple(
            np.array([number[one] for one in _kept(text, spaces)], dtype=np.int64)
            for text in texts.values()
        ),
        boxes=tuple(placed),
        spellings=tuple((name,) for name in names),
    )


def token_table(text: CipherText) -> pa.Table:
    """A row a symbol of the text: line_id, place, symbol, and its box."""
    edges = np.concatenate([*text.boxes, np.zeros((0, 4))])
    return pa.table({
        "line_id": [name for name, line in zip(text.line_ids, text.lines, strict=True)
                    for _ in line],
        "place": pa.array([place for line in text.lines for place in range(len(line))],
                          pa.int32()),
        "symbol": [text.names[one] for line in text.lines for one in line],
        **{edge: edges[:, place] for place, edge in enumerate(("left", "top", "right", "bottom"))},
    })  # fmt: skip


def of_table(
    tokens: pa.Table, line_ids: Sequence[str], names: Sequence[str], spellings: Sequence[Sequence]
) -> CipherText:
    """What `token_table` told, with the lines that hold no symbol."""
    number = {name: place for place, name in enumerate(names)}
    own: dict[str, list[dict[str, Any]]] = {name: [] for name in line_ids}
    for row in tokens.to_pylist():
        own[row["line_id"]].append(row)
    edges = ("left", "top", "right", "bottom")
    return CipherText(
        line_ids=tuple(line_ids),
        names=tuple(names),
        lines=tuple(
            np.array([number[row["symbol"]] for row in rows], dtype=np.int64)
            for rows in own.values()
        ),
        boxes=tuple(
            np.array([[row[edge] for edge in edges] for row in rows], dtype=float).reshape(-1, 4)
            for rows in own.values()
        ),
        spellings=tuple(map(tuple, spellings)),
    )


@dataclass(frozen=True)
class Medoid:
    """The instance of a symbol that is most like all its others: where it is, and its pixels."""

    line: int
    place: int
    pixels: UInt8[ndarray, "h w 3"]


def medoids(text: CipherText, lines: Sequence[Line]) -> list[Medoid | None]:
    """Of each symbol the instance nearest to the mean; None where no place is known."""
    by_id = {line.line_id: line for line in lines}
    places: list[list[tuple[int, int]]] = [[] for _ in text.names]
    for number, (line, own) in enumerate(zip(text.lines, text.boxes, strict=True)):
        for place, symbol in enumerate(line.tolist()):
            if np.isfinite(own[place]).all() and text.names[symbol] != SPACE:
                places[symbol].append((number, place))
    answer: list[Medoid | None] = []
    for own_places in places:
        step = max(1, len(own_places) // _MOST)
        cuts = [
            (number, place, _cut(by_id[text.line_ids[number]], text.boxes[number][place]))
            for number, place in own_places[::step][:_MOST]
        ]
        cuts = [one for one in cuts if one[2].size]
        if not cuts:
            answer.append(None)
            continue
        square = np.array([_square(pixels) for _, _, pixels in cuts])
        nearest = int(((square - square.mean(axis=0)) ** 2).sum(axis=1).argmin())
        answer.append(Medoid(*cuts[nearest]))
    return answer


def _cut(line: Line, box: Float[ndarray, " 4"]) -> UInt8[ndarray, "h w 3"]:
    """The pixels in a box and a little around it."""
    left, top = (max(int(edge) - _BORDER, 0) for edge in box[:2])
    right, bottom = (int(np.ceil(edge)) + _BORDER for edge in box[2:])
    return np.asarray(line.pixels[top:bottom, left:right])


def _square(pixels: UInt8[ndarray, "h w 3"]) -> Float[ndarray, " d"]:
    image = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    grey = np.asarray(image, dtype=float).reshape(-1)
    return (grey - grey.mean()) / max(float(grey.std()), 1.0)


def _kept(text: str, spaces: bool) -> str:
    return (SPACE if spaces else "").join(text.split())


def _named(merged: Symbols) -> list[str]:
    """A name for each symbol: that of its most frequent sign, else the first that is free."""
    single = [next((one[0] for one in own if len(one) == 1), None) for own in merged.spellings]
    used = {NAMES[sign] for own in merged.spellings for one in own for sign in one}
    free = iter(name for name in NAMES if name not in used)
    return [NAMES[sign] if sign is not None else next(free) for sign in single]


def _united(own: Float[ndarray, "m 4"], parts: Int[ndarray, " n"]) -> Float[ndarray, "n 4"]:
    """The boxes around the parts of each symbol."""
    ends = np.cumsum(parts)
    rows = [own[end - n : end] for end, n in zip(ends, parts, strict=True)]
    edges = [np.concatenate([one[:, :2].min(axis=0), one[:, 2:].max(axis=0)]) for one in rows]
    return np.array(edges).reshape(-1, 4)


def _with_spaces(text: CipherText) -> CipherText:
    """Spaces in the gaps that are wider than usual: those above the best split of all in two."""
    gaps = [own[1:, 0] - own[:-1, 2] for own in text.boxes]
    least = _split(np.concatenate([*gaps, np.zeros(0)]))
    space = len(text.names)
    lines: list[ndarray] = []
    placed: list[ndarray] = []
    for line, own, gap in zip(text.lines, text.boxes, gaps, strict=True):
        wide = np.flatnonzero(gap > least)
        between = np.stack([own[wide, 2], own[wide, 1], own[wide + 1, 0], own[wide, 3]], axis=1)
        lines.append(np.insert(line, wide + 1, space))
        placed.append(np.insert(own, wide + 1, between, axis=0))
    return replace(
        text, names=(*text.names, SPACE), lines=tuple(lines), boxes=tuple(placed),
        spellings=(*text.spellings, (SPACE,)),
    )  # fmt: skip


def _split(values: Float[ndarray, " n"]) -> float:
    """The value that divides others in two groups of least variance (Otsu 1979)."""
    ordered = np.sort(values)
    n = len(ordered)
    if n < 2:
        return float("inf")
    sums, count = np.cumsum(ordered)[:-1], np.arange(1, n)
    between = (sums / count - (ordered.sum() - sums) / (n - count)) ** 2 * count * (n - count)
    place = int(between.argmax())
    return float((ordered[place] + ordered[place + 1]) / 2)
