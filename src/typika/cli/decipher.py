"""`typika typewriter decipher ...`: letters out of symbols."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from typika.console import duration, say

Setting = Annotated[tuple[str, ...], Parameter(negative="")]


def decipher(
    run: Path,
    *,
    language: Path,
    out: Path | None = None,
    homophones: bool = False,
    spaces: bool = False,
    set: Setting = (),
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Find the symbols of a cipher and the letters that they stand for.

    Args:
        run: Folder that `typika typewriter fit` made, of lines without transcriptions or
            transcribed in symbols.
        language: Text file in the language that is written, the longer the better.
        out: Folder of the tables; RUN/cipher by default.
        homophones: Whether several symbols may stand for one letter.
        spaces: Whether words are told apart by spaces.
        set: Any setting, as in --set solving.order=3. May be repeated.
        overwrite: Redo what other settings made in the folder.
    """
    from typika import config, deciphering

    given = config.from_settings(dict(config.parse_setting(text) for text in set))
    asked = {"spaces": spaces, **({"solving": {"homophones": True}} if homophones else {})}
    settings = deciphering.configure(asked, config.from_environment(os.environ), given)
    started = time.monotonic()
    found = deciphering.decipher(run, language, out, config=settings, overwrite=overwrite)
    for line in found.plaintext:
        print(line)
    for line in found.summary:
        say(line)
    say(f"done in {duration(time.monotonic() - started)}; tables in {found.folder}")
