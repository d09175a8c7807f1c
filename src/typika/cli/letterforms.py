"""`typika typewriter allographs` and `measure`: forms of letters, and proportions of a script."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from typika.letterforms import LetterformsConfig

Words = Annotated[tuple[str, ...], Parameter(negative="")]


def allographs(
    run: Path,
    *,
    letters: str | None = None,
    forms: int | None = None,
    by: str | None = None,
    set: Words = (),
) -> None:
    """Find the forms in which letters are written: round and long s, two kinds of d.

    Args:
        run: Folder that `typika typewriter fit` made.
        letters: The characters to look at, as in --letters sdr; all by default.
        forms: How many forms each is divided into; by default as many as are found.
        by: Column of the lines that forms are counted by; `document` by default.
        set: Any setting, as in --set allographs.least_share=0.1. May be repeated.
    """
    from typika import letterforms

    characters = None if letters is None else list(dict.fromkeys(letters))
    found = letterforms.allographs(run, characters, forms, by=by, config=_settings(set))
    for row in found.forms.to_pylist():
        if row["forms"] > 1:
            print(
                f"{row['character']}·{row['form'] + 1}\t{row['count']}\t{row['share']:.0%}\t"
                f"separation {row['separation']:.1f}, agreement {row['agreement']:.2f}"
            )
    print(found.sheet)


def measure(run: Path, *, by: str = "document", set: Words = ()) -> None:
    """Measure letters, strokes, gaps and word spaces of each document, hand or script.

    Args:
        run: Folder that `typika typewriter fit` made.
        by: Column of the lines.
        set: Any setting, as in --set measures.fewest=10. May be repeated.
    """
    from typika import letterforms

    table = letterforms.measure(run, by, config=_settings(set))
    for row in table.to_pylist():
        if not row["item"]:
            interval = f"{row['low']:.3g} to {row['high']:.3g}"
            print(
                f"{row[by]}\t{row['measure']}\t{row['mean']:.3g} {row['unit']}\t{interval}\t"
                f"n {row['count']}"
            )


def _settings(given: Sequence[str]) -> LetterformsConfig:
    from typika import config, letterforms

    named = config.from_settings(dict(config.parse_setting(text) for text in given))
    sources = (config.from_environment(os.environ), named)
    return config.build(letterforms.LetterformsConfig, *sources)
