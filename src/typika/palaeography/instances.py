"""Every character of the lines of a run, brought into the frame of its sprite.

What is drawn of its neighbours is taken off, so that instances hold a letter and little else; all
instances of a letter lie over each other and over those of other documents.

Legend: `n` instances, `h w` pixels of a sprite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray

from typika.errors import DataError
from typika.files import whole_folder
from typika.palaeography.records import INK, WEIGHT, Instances, Letter
from typika.typewriter.alphabet import Alphabet, order_shown
from typika.typewriter.batches import Line
from typika.typewriter.decoding import Drawn, redraw
from typika.typewriter.instances import own_ink
from typika.typewriter.store import Trained

# Columns of characters.parquet that an instance keeps, in this order.
KEPT = ("place", "character", "confidence", "left", "top", "right", "bottom", "page_corners")
SEEN = ("log_scale_x", "log_scale_y", "strength")  # what the model says of how it is drawn


def letters_of(trained: Trained) -> tuple[Letter, ...]:
    """The letters that a typewriter types, in alphabetical order; a space is none.

    A letter has as many forms as it has sprites in use.
    """
    symbols, space = trained.alphabet.symbols, trained.alphabet.space
    forms = trained.model.forms or (trained.model.letters.shape[1],) * len(symbols)
    return tuple(sorted(
        Letter(one, form)
        for n, one in enumerate(symbols) if n != space
        for form in range(forms[n])
    ))  # fmt: skip


def sprites_of(trained: Trained) -> Float[ndarray, "K h w"]:
    """The model's own sprites, in the order of `letters_of`."""
    sprites = trained.model.letters.detach().cpu().numpy()
    place = {symbol: n for n, symbol in enumerate(trained.alphabet.symbols)}
    letters = letters_of(trained)
    return np.stack([sprites[place[one.character], one.form] for one in letters])


def gather(
    trained: Trained,
    lines: Sequence[Line],
    characters: pa.Table,
    columns: pa.Table,
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> Instances:
    """Write the instances of some lines to a folder, line by line, and open what was written.

    lines: with their symbols, as they were aligned. characters: characters.parquet of the run.
    columns: a row a line with `line_id`, `file_name` and what else is known of lines. Spaces have
    no instances. advance: told of lines done.

    Raises:
        DataError: `characters` is not of these lines.
    """
    table = _rows(characters, [line.line_id for line in lines], trained.alphabet)
    letters = letters_of(trained)
    height, width = trained.model.letters.shape[2:]
    shape, done = (table.num_rows, height, width), 0
    letter, seen = np.zeros(len(table), np.int64), np.zeros((len(table), len(SEEN)))
    with whole_folder(folder) as temporary:
        ink, weight = (_file(temporary / name, shape) for name in (INK, WEIGHT))
        for drawn in redraw(trained.model, lines, trained.alphabet):
            order = _order(drawn, trained.alphabet)
            rows = slice(done, done + len(order))
            _check(table, rows, drawn, trained.alphabet, order)
            ink[rows], weight[rows] = _pixels(trained, drawn, order)
            letter[rows] = _numbers(drawn, trained.alphabet, letters, order)
            seen[rows] = _seen(drawn, order)
            done = rows.stop
            advance(1)
        made = Instances(
            letters=letters, letter=letter, ink=ink, weight=weight,
            table=_joined(table, seen, columns), height=trained.model.height,
        )  # fmt: skip
        made.save_rows(temporary)
        del ink, weight, made
    return Instances.load(folder)


def _rows(characters: pa.Table, names: Sequence[str], alphabet: Alphabet) -> pa.Table:
    """The characters of some lines that are no spaces, in the order of those lines."""
    number = {name: n for n, name in enumerate(names)}
    line = np.array([number.get(name, -1) for name in characters["line_id"].to_pylist()], int)
    wanted = line >= 0
    if alphabet.space is not None:
        space = alphabet.symbols[alphabet.space]
        wanted &= pc.not_equal(characters["character"], space).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(wanted)
    return characters.take(rows[np.argsort(line[rows], kind="stable")])


def _file(path: Path, shape: tuple[int, int, int]) -> UInt8[ndarray, "n h w"]:
    if not shape[0]:  # nothing cannot be mapped
        np.save(path, np.zeros(shape, np.uint8))
        return np.zeros(shape, np.uint8)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _order(drawn: Drawn, alphabet: Alphabet) -> list[int]:
    """The characters of a line that are no spaces, in the order of reading."""
    symbols = drawn.alignment.symbols.tolist()
    shown = "".join(alphabet.symbols[symbol] for symbol in symbols)
    return [n for n in order_shown(shown) if symbols[n] != alphabet.space]


def _check(
    table: pa.Table, rows: slice, drawn: Drawn, alphabet: Alphabet, order: list[int]
) -> None:
    expected = table.slice(rows.start, len(order))
    name, symbols = drawn.alignment.line_id, drawn.alignment.symbols
    if expected["character"].to_pylist() != [alphabet.symbols[symbols[n]] for n in order] or set(
        expected["line_id"].to_pylist()
    ) - {name}:
        raise DataError(
            f"line {name!r}: its characters are not those of characters.parquet; run `typika "
            "typewriter fit` with this folder as --out again"
        )


def _pixels(trained: Trained, drawn: Drawn, order: list[int]) -> tuple[ndarray, ndarray]:
    own = own_ink(trained.model, drawn.characters, drawn.batch.ink_image[0], drawn.batch.mask[0])
    ink, known = ((one[order].clamp(0, 1) * 255).round().byte().numpy() for one in own)
    return ink, known


def _numbers(
    drawn: Drawn, alphabet: Alphabet, letters: Sequence[Letter], order: list[int]
) -> list[int]:
    place = {letter: n for n, letter in enumerate(letters)}
    symbols, forms = drawn.alignment.symbols, drawn.alignment.sprites
    return [place[Letter(alphabet.symbols[symbols[n]], int(forms[n]))] for n in order]


def _seen(drawn: Drawn, order: list[int]) -> Float[ndarray, "n 3"]:
    own = drawn.characters
    values = torch.cat([own.log_scale, own.strength[:, None]], dim=1)
    return values[order].double().numpy()


def _joined(table: pa.Table, seen: Float[ndarray, "n 3"], columns: pa.Table) -> pa.Table:
    """A row an instance: its line, what is known of the character, what is known of the line."""
    place = {name: n for n, name in enumerate(columns["line_id"].to_pylist())}
    of_line = columns.take([place[name] for name in table["line_id"].to_pylist()])
    found = {"line_id": table["line_id"], "file_name": of_line["file_name"],
             **{name: table[name] for name in KEPT},
             **{name: pa.array(seen[:, n]) for n, name in enumerate(SEEN)}}  # fmt: skip
    more = [name for name in columns.column_names if name not in (*found, "text", "width")]
    return pa.table({**found, **{name: of_line[name] for name in more}})
