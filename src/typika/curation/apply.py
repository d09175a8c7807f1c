"""A log of edits and the clusters of a run -> clusters as people want them (pure).

Edits are replayed over whatever clusters there are. An edit goes to the cluster that holds more
than half of the patches it was made for; where none does, it waits in the log, *not placed*, for
clusters that will. So nothing depends on how clusters are numbered.

Letters: n typical patches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int
from numpy import ndarray

from typika.curation.edits import (
    Anchor,
    Annotate,
    Drop,
    Edit,
    Hide,
    Log,
    Merge,
    Rename,
    Split,
    Spot,
    Star,
)

LOOSE = -1
TYPICAL = "typical"
Rows = Int[ndarray, " n"]


@dataclass(frozen=True)
class Found:
    """The typical patches of a run, and the clusters that they were grouped into.

    row: (n,) of patches.parquet, ascending. cluster: (n,) of its label, LOOSE where in none.
    """

    label: tuple[str, ...]
    spot: tuple[Spot, ...]
    row: Rows
    cluster: Rows

    @classmethod
    def read(cls, patches: pa.Table) -> Found:
        """Take the columns of patches.parquet apart; its controls are left out."""
        typical = np.array([kind == TYPICAL for kind in patches["selection"].to_pylist()], bool)
        row = np.flatnonzero(typical)
        kept = patches.select([*_KEY, "cluster"]).take(pa.array(row))
        label, image, *sides = (kept[name].to_pylist() for name in _KEY)
        boxes = zip(*sides, strict=True)
        return cls(
            label=tuple(label),
            spot=tuple(Spot(name, box) for name, box in zip(image, boxes, strict=True)),
            row=row,
            cluster=np.array(kept["cluster"].to_numpy(), dtype=np.int64),
        )

    @cached_property
    def places(self) -> Mapping[tuple[str, Spot], int]:
        """Where in the tuples a patch stands."""
        return {key: place for place, key in enumerate(zip(self.label, self.spot, strict=True))}

    @cached_property
    def clusters(self) -> tuple[Cluster, ...]:
        """As they were found, by label and number."""
        members: dict[tuple[str, int], list[int]] = defaultdict(list)
        keys = zip(self.label, self.cluster.tolist(), strict=True)
        for place, (label, number) in enumerate(keys):
            if number != LOOSE:
                members[label, number].append(place)
        return tuple(
            Cluster(label=label, number=number, places=np.array(own), sources=(number,))
            for (label, number), own in sorted(members.items())
        )

    def of(self, anchor: Anchor) -> Rows:
        """Places of those of its patches that are still there."""
        keys = ((anchor.label, spot) for spot in anchor.spots)
        return np.array([self.places[key] for key in keys if key in self.places], dtype=np.int64)

    def anchor(self, places: Iterable[int]) -> Anchor:
        """The anchor of patches of one label. Raises DataError where there is none."""
        wanted = list(places)
        label = self.label[wanted[0]] if wanted else ""
        return Anchor.of(label, (self.spot[place] for place in wanted))


_KEY = ("label", "image_id", "left", "top", "right", "bottom")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster as curated.

    number: that of the run's own cluster, or a further one. places: of its patches in `Found`,
    ascending, those left out by hand too. sources: the run's own clusters that it has taken
    patches from. whole: whether it is one of them as it was found.
    """

    label: str
    number: int
    places: Rows
    sources: tuple[int, ...]
    whole: bool = True
    name: str = ""
    note: str = ""
    starred: bool = False
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Curated:
    """All clusters of a run as curated.

    dropped: (n,) which patches are left out. unplaced: edits that found no place.
    """

    found: Found
    clusters: tuple[Cluster, ...]
    dropped: Bool[ndarray, " n"]
    unplaced: tuple[Edit, ...] = ()

    @cached_property
    def number(self) -> Rows:
        """(n,) the cluster of each typical patch as curated, LOOSE where in none."""
        found = np.full(len(self.found.row), LOOSE)
        for cluster in self.clusters:
            found[cluster.places] = cluster.number
        return found

    def kept(self, cluster: Cluster) -> Rows:
        """Rows of patches.parquet that are in a cluster and not left out."""
        return self.found.row[cluster.places[~self.dropped[cluster.places]]]


def curate(found: Found, log: Log) -> Curated:
    """Replay the edits that stand, in their order."""
    desk = _Desk.of(found)
    unplaced = tuple(edit for edit in log.standing if not desk.apply(edit))
    clusters = sorted(desk.clusters.values(), key=lambda one: (one.label, one.number))
    return Curated(found=found, clusters=tuple(clusters), dropped=desk.dropped, unplaced=unplaced)


@dataclass
class _Desk:
    """The clusters while edits are replayed. owner: (n,) key of the cluster, LOOSE where none."""

    found: Found
    clusters: dict[int, Cluster]
    owner: Rows
    dropped: Bool[ndarray, " n"]
    next_number: dict[str, int]  # by label; a number is never used twice
    next_key: int
    read: dict[str, Rows] = field(default_factory=dict)  # digest of an anchor -> its places

    @classmethod
    def of(cls, found: Found) -> _Desk:
        owner = np.full(len(found.label), LOOSE)
        clusters = dict(enumerate(found.clusters))
        next_number: dict[str, int] = defaultdict(int)
        for key, one in clusters.items():
            owner[one.places] = key
            next_number[one.label] = max(next_number[one.label], one.number + 1)
        dropped = np.zeros(len(owner), dtype=bool)
        return cls(found, clusters, owner, dropped, next_number, len(clusters))

    def apply(self, edit: Edit) -> bool:
        """Whether the edit found its place."""
        change = edit.change
        match change:
            case Rename(of=of, name=name):
                return self._set(of, name=name)
            case Annotate(of=of, note=note):
                return self._set(of, note=note)
            case Star(of=of, on=on):
                return self._set(of, starred=on)
            case Hide(of=of, on=on):
                return self._set(of, hidden=on)
            case Merge(of=of, into=into):
                return self._merge(self.holder(of), self.holder(into))
            case Split(of=of, name=name):
                return self._split(of, name)
            case Drop(of=of, on=on):
                own = self._places(of)
                self.dropped[own] = on
                return len(own) > 0
        return True

    def _places(self, anchor: Anchor) -> Rows:
        if anchor.digest not in self.read:
            self.read[anchor.digest] = self.found.of(anchor)
        return self.read[anchor.digest]

    def holder(self, anchor: Anchor) -> int | None:
        """The cluster that holds more than half of an anchor's patches."""
        owners = self.owner[self._places(anchor)]
        keys, counts = np.unique(owners[owners != LOOSE], return_counts=True)
        if not len(keys) or 2 * counts.max() <= len(anchor.spots):
            return None
        return int(keys[counts.argmax()])

    def _set(self, anchor: Anchor, **values: str | bool) -> bool:
        key = self.holder(anchor)
        if key is None:
            return False
        self.clusters[key] = replace(self.clusters[key], **values)  # type: ignore[arg-type]
        return True

    def _merge(self, key: int | None, into: int | None) -> bool:
        if key is None or into is None:
            return False
        if key == into:
            return True
        gone, kept = self.clusters.pop(key), self.clusters[into]
        self.owner[gone.places] = into
        self.clusters[into] = replace(
            kept,
            places=np.sort(np.concatenate([kept.places, gone.places])),
            sources=tuple(sorted({*kept.sources, *gone.sources})),
            whole=False,
            name=kept.name or gone.name,
            note=kept.note or gone.note,
            starred=kept.starred or gone.starred,
        )
        return True

    def _split(self, anchor: Anchor, name: str) -> bool:
        own = np.unique(self._places(anchor))
        if 2 * len(own) <= len(anchor.spots):
            return False
        sources: set[int] = set()
        for key in np.unique(self.owner[own]).tolist():
            if key == LOOSE:
                continue
            before = self.clusters[key]
            sources |= set(before.sources)
            left = np.setdiff1d(before.places, own)
            if len(left):
                self.clusters[key] = replace(before, places=left, whole=False)
            else:
                del self.clusters[key]
        key, self.next_key = self.next_key, self.next_key + 1
        number = self.next_number[anchor.label]
        self.next_number[anchor.label] += 1
        self.owner[own] = key
        self.clusters[key] = Cluster(
            label=anchor.label, number=number, places=own, sources=tuple(sorted(sources)),
            whole=False, name=name,
        )  # fmt: skip
        return True


def changed_labels(before: Curated | None, after: Curated) -> frozenset[str]:
    """The labels whose clusters or patches are not what they were."""
    if before is None or before.found is not after.found:
        return frozenset(after.found.label)
    changed = set(np.array(after.found.label, dtype=object)[before.dropped != after.dropped])
    old, new = ({_known_by(one) for one in state.clusters} for state in (before, after))
    return frozenset(changed | {key[0] for key in old ^ new})


def _known_by(one: Cluster) -> tuple:
    return (one.label, one.number, one.places.tobytes(), one.sources, one.whole, one.name,
            one.note, one.starred, one.hidden)  # fmt: skip
