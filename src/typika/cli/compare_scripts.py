"""`typika typewriter compare`: groups of documents held against each other."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from typika.console import duration, say

Names = Annotated[tuple[str, ...], Parameter(negative="")]


def compare(
    run: Path,
    *,
    groups: str,
    between: Names = (),
    documents: str = "document",
    published: Annotated[bool, Parameter(negative="")] = False,
    overwrite: bool = False,
) -> None:
    """Show, letter by letter, how groups of documents differ and how sure that is.

    Args:
        run: Folder that `typika typewriter adapt` worked in.
        groups: Column that the groups are values of, such as script, hand or document.
        between: A group to hold against the others named so. May be repeated; all by default.
        documents: Column of what varies independently of each other.
        published: Compare the prototypes that `adapt` made, and not the means of instances.
        overwrite: Compare again what is compared already.
    """
    from typika import script_comparison

    started = time.monotonic()
    ink: script_comparison.Ink = "prototypes" if published else "instances"
    found = script_comparison.compare(
        run, groups, between=between, documents=documents, ink=ink, overwrite=overwrite
    )
    for line in found.summary:
        print(line)
    say(f"done in {duration(time.monotonic() - started)}; tables in {found.folder}")
