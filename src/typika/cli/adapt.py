"""`typika typewriter adapt`: prototypes of groups of lines."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from typika.console import duration, say


def adapt(
    run: Path,
    *,
    by: Annotated[tuple[str, ...], Parameter(negative="")],
    method: str | None = None,
    set: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    metadata: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Make prototypes of the letters of each document, hand, script: of any groups of lines.

    Args:
        run: Folder that `typika typewriter fit` made.
        by: Column of the lines, as in --by document --by script. Where one is nested in another,
            its groups lean on those of the other.
        method: `hierarchical` (the default) or `published`.
        set: Any setting, as in --set fewest=8. May be repeated.
        metadata: Table (.csv, .tsv) of further columns by file_name, line_id, page or document.
        overwrite: Make again what is there.
    """
    from typika import adaptations, config

    given = config.from_settings(dict(config.parse_setting(text) for text in set))
    named = {"method": method} if method else {}
    sources = (config.from_environment(os.environ), given, named)
    settings = config.build(adaptations.AdaptationConfig, *sources)
    started = time.monotonic()
    made = adaptations.adapt(run, by, config=settings, metadata=metadata, overwrite=overwrite)
    for column in by:
        found = made.prototypes(column)
        flagged = sum(flag != "" for row in found.flag for flag in row)
        print(
            f"{column}\t{len(found.groups)} groups\t{found.count.sum()} instances\t"
            f"{flagged} of {found.count.size} prototypes flagged\t{made.sheet(column)}"
        )
    say(f"done in {duration(time.monotonic() - started)}; prototypes in {run}")
