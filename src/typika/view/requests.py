"""What a page may send: shapes of edits, checked before anything is done with them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from typika.errors import DataError

MOST_ROWS = 100_000  # patches of one edit

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Rows = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=MOST_ROWS)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RenameShape(_Shape):
    """A name for a cluster."""

    kind: Literal["rename"]
    cluster: Key
    name: str


class NoteShape(_Shape):
    """A note on a cluster."""

    kind: Literal["note"]
    cluster: Key
    note: str


class MarkShape(_Shape):
    """A star, or the wish to hide."""

    kind: Literal["star", "hide"]
    cluster: Key
    on: bool


class MergeShape(_Shape):
    """Two clusters to be one."""

    kind: Literal["merge"]
    cluster: Key
    into: Key


class SplitShape(_Shape):
    """Patches to be a cluster. rows: of patches.parquet."""

    kind: Literal["split"]
    rows: Rows
    name: str = ""


class DropShape(_Shape):
    """Patches to be left out or put back."""

    kind: Literal["drop"]
    rows: Rows
    on: bool


class UndoShape(_Shape):
    """An edit to be taken back."""

    kind: Literal["undo"]
    edit: Key


Shape = RenameShape | NoteShape | MarkShape | MergeShape | SplitShape | DropShape | UndoShape


class Submission(_Shape):
    """An edit as a page sends it.

    id: its own, so that sending it twice is as once. base: what the page was made of. since: the
    revision that the page knows.
    """

    id: Key
    base: Key
    since: int
    change: Annotated[Shape, Field(discriminator="kind")]


def submission(content: bytes) -> Submission:
    """Raises DataError where the content is no edit; the message does not repeat it."""
    try:
        return Submission.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "request"
        raise DataError(f"{place[:80]}: {first['msg'][:200]}") from error


def row_numbers(text: str, most: int = 500) -> tuple[int, ...]:
    """Row numbers out of an address: `1,2,3`. Raises DataError where they are none."""
    parts = text.split(",")
    if len(parts) > most or not all(part.isascii() and part.isdigit() and len(part) < 12
                                    for part in parts):  # fmt: skip
        raise DataError(f"rows: expected at most {most} row numbers, as in 1,2,3")
    return tuple(map(int, parts))
