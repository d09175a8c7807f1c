"""What is served: a run as its page shows it, and its edits as they come.

Calls may come from several threads at once; a lock lets one in at a time. The file is the truth:
an edit is on disk before anybody is told of it, and what somebody else did to the file counts.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from typika.curation.apply import Cluster, Curated, Found, Rows, changed_labels, curate
from typika.curation.edits import (
    Anchor,
    Annotate,
    Change,
    Drop,
    Edit,
    Hide,
    Log,
    Merge,
    Rename,
    Split,
    Star,
    Undo,
)
from typika.curation.store import CURATION, read_log, write_log
from typika.curation.tables import Figures
from typika.errors import DataError, TypikaError
from typika.files import text_digest
from typika.report.build import PatchTable, label_order, label_record, patch_records, shelve
from typika.report.by_hand import edit_told
from typika.report.html import label_data, patch_data
from typika.report.records import ReportInputs
from typika.view import requests as asked

LISTED = 200  # edits that a page is told of, the last ones
Answer = dict[str, Any]


class Outdated(TypikaError):
    """The page was made of other clusters than the run has now."""


class Unsaved(TypikaError):
    """The disk refused an edit; nothing has changed."""


class Source(Protocol):
    """Where a run comes from."""

    folder: Path

    def digest(self) -> str:
        """Changes when the run's clusters or what is known of them change."""

    def read(self) -> ReportInputs:
        """The run as it was found, without what was changed by hand."""

    def render(self, inputs: ReportInputs, base: str) -> str:
        """The page."""


@dataclass(frozen=True)
class Served:
    """A run as read at one time. base: what pages made of it know it by."""

    base: str
    digest: str
    inputs: ReportInputs
    page: str

    @cached_property
    def table(self) -> PatchTable:
        """Its patches, column by column."""
        return PatchTable.read(self.inputs)

    @cached_property
    def found(self) -> Found:
        """Its typical patches."""
        return Found.read(self.inputs.patches)

    @cached_property
    def figures(self) -> Figures:
        """What figures of changed clusters are computed from."""
        return Figures.read(self.inputs.patches, self.inputs.clusters)

    @cached_property
    def labels(self) -> list[str]:
        """In the order of the page."""
        return label_order(self.inputs)

    @cached_property
    def place_of(self) -> Mapping[int, int]:
        """Row of patches.parquet -> place in `found`."""
        return {row: place for place, row in enumerate(self.found.row.tolist())}

    def label_answer(self, label: str, curated: Curated) -> Answer:
        """What a page shows of a label as curated; members are rows of patches.parquet."""
        own = [one for one in curated.clusters if one.label == label]
        clusters = self.figures.table(replace(curated, clusters=tuple(own)))
        number = np.array(self.table.integers["cluster"])
        number[self.found.row] = curated.number
        out = self.found.row[curated.dropped]
        typical = self.table.of(label, "typical")
        table = replace(
            self.table,
            integers={**self.table.integers, "cluster": number},
            rows={**self.table.rows, (label, "typical"): np.setdiff1d(typical, out)},
        )
        inputs = replace(self.inputs, clusters=clusters)
        shelf = shelve(inputs, table, label)
        record = label_record(inputs, table, label, shelf, range(len(number)))
        answer = label_data(record)
        keys = {one.number: cluster_key(one) for one in own}
        for values in answer["clusters"]:
            values["key"] = keys[values["cluster"]]
        return {**answer, "leftOut": np.intersect1d(typical, out).tolist()}


def cluster_key(cluster: Cluster) -> str:
    """What a page calls a cluster: the same as long as it has the same patches."""
    return text_digest(f"{cluster.label}\0{cluster.places.tobytes().hex()}")


def _signature(folder: Path) -> tuple[int, ...] | None:
    """Changes when the file of edits is replaced; None where there is none."""
    try:
        found = (folder / CURATION).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Session:
    """A run that is open in browsers."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lock = threading.RLock()
        self._served = self._read()
        self._revision = -1
        self._start()

    def _read(self) -> Served:
        digest = self._source.digest()
        inputs = self._source.read()
        base = secrets.token_hex(16)
        return Served(base, digest, inputs, self._source.render(inputs, base))

    def _start(self) -> None:
        """Forget what was known of other clusters, and look at the edits."""
        self._log: Log | None = None
        self._curated: Curated | None = None
        self._answers: dict[int, tuple[int, Answer]] = {}  # label -> revision, what is shown
        self._anchors: dict[str, tuple[str, Rows]] = {}  # every cluster that a page may name
        self._seen: tuple[int, ...] | None = None
        self._refresh()

    def page(self) -> str:
        """The page, made anew where the run has changed."""
        with self._lock:
            if self._source.digest() != self._served.digest:
                self._served = self._read()
                self._start()
            return self._served.page

    def changes(self, base: str, since: int) -> Answer:
        """What is new to a page that knows revision `since`.

        Raises:
            Outdated: the page was made of other clusters.
        """
        with self._lock:
            self._require(base)
            self._refresh()
            return self._since(since)

    def submit(self, submission: asked.Submission) -> Answer:
        """Save an edit, and tell what is new. An edit sent twice counts once.

        Raises:
            Outdated: as above, or the cluster is one that the page cannot have.
            DataError: the edit cannot be.
            Unsaved: the disk refused it.
        """
        with self._lock:
            self._require(submission.base)
            self._refresh()
            log = self._log or Log()
            if submission.id not in {edit.id for edit in log}:
                change = self._change(submission.change)
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                more = log.with_edit(Edit(id=submission.id, at=now, change=change))
                try:
                    write_log(more, self._source.folder)
                except OSError as error:
                    raise Unsaved(f"the disk refused it ({error.strerror}); try again") from error
                self._seen = _signature(self._source.folder)
                self._settle(more)
            return self._since(submission.since)

    def pictures(self, base: str, rows: Sequence[int]) -> Answer:
        """Patches that a page does not hold: row, values as in the page, words.

        Raises:
            Outdated: the page was made of other clusters.
            DataError: no such row.
        """
        with self._lock:
            self._require(base)
            table = self._served.table
            if any(row >= len(table.label) for row in rows):
                raise DataError(f"rows: there are {len(table.label):,} patches")
            words = [table.words(row) for row in rows]
            places = list(dict.fromkeys(words))
            records = patch_records(table, self._served.labels, rows, {}, places)
            return {
                "patches": [
                    [row, patch_data(record), said]
                    for row, record, said in zip(rows, records, words, strict=True)
                ]
            }

    # ------------------------------------------------------------------------------ inside

    def _require(self, base: str) -> None:
        if base != self._served.base or self._source.digest() != self._served.digest:
            raise Outdated("The run was grouped again, or the server started anew.")

    def _refresh(self) -> None:
        """Take up what somebody else did to the file."""
        signature = _signature(self._source.folder)
        if self._log is not None and signature == self._seen:
            return
        log = read_log(self._source.folder)
        self._seen = signature
        if log != self._log:
            self._settle(log)

    def _settle(self, log: Log) -> None:
        """Make a log the one that holds."""
        served = self._served
        curated = curate(served.found, log)
        changed = changed_labels(self._curated, curated)
        self._log, self._curated = log, curated
        self._revision += 1
        self._anchors.update(
            (cluster_key(one), (one.label, one.places))
            for one in curated.clusters
            if one.label in changed
        )
        for number, label in enumerate(served.labels):
            if label in changed or number not in self._answers:
                self._answers[number] = self._revision, served.label_answer(label, curated)

    def _since(self, revision: int) -> Answer:
        labels = {
            str(number): answer
            for number, (changed, answer) in self._answers.items()
            if changed > revision
        }
        return {"revision": self._revision, "labels": labels, "edits": self._listed()}

    def _listed(self) -> list[Answer]:
        """The last edits, the latest first; an undo shows in what it undoes."""
        log, curated = self._log or Log(), self._curated
        assert curated is not None  # set before the first answer
        undone_by = {
            edit.change.edit: edit.id
            for edit in log
            if isinstance(edit.change, Undo) and edit.id not in log.undone
        }
        unplaced = {edit.id for edit in curated.unplaced}
        shown = [edit for edit in log if not isinstance(edit.change, Undo)]
        numbered = list(enumerate(shown, 1))[-LISTED:]
        return [
            {
                "id": edit.id,
                "number": number,
                "at": edit.at,
                "text": edit_told(edit),
                "undone": edit.id in undone_by,
                "undoneBy": undone_by.get(edit.id, ""),
                "placed": edit.id not in unplaced,
            }
            for number, edit in reversed(numbered)
        ]

    def _anchor(self, key: str) -> Anchor:
        if key not in self._anchors:
            raise Outdated("This cluster is not one that the server knows.")
        return self._served.found.anchor(self._anchors[key][1].tolist())

    def _patches(self, rows: Sequence[int]) -> Anchor:
        places = [self._served.place_of.get(row) for row in rows]
        known = [place for place in places if place is not None]
        if len(known) < len(places):
            raise DataError("rows: one is of no typical patch")
        if len({self._served.found.label[place] for place in known}) > 1:
            raise DataError("rows: of several labels; send an edit for each")
        return self._served.found.anchor(known)

    def _change(self, shape: asked.Shape) -> Change:
        match shape:
            case asked.RenameShape():
                return Rename(self._anchor(shape.cluster), shape.name.strip())
            case asked.NoteShape():
                return Annotate(self._anchor(shape.cluster), shape.note.strip())
            case asked.MarkShape():
                kind = Star if shape.kind == "star" else Hide
                return kind(self._anchor(shape.cluster), shape.on)
            case asked.MergeShape():
                if shape.cluster == shape.into:
                    raise DataError("merge: a cluster cannot be merged into itself")
                return Merge(self._anchor(shape.cluster), self._anchor(shape.into))
            case asked.SplitShape():
                return Split(self._patches(shape.rows), shape.name.strip())
            case asked.DropShape():
                return Drop(self._patches(shape.rows), shape.on)
            case asked.UndoShape():
                return Undo(shape.edit)
