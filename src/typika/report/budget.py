"""How much of a run fits one HTML file: the ladder of plans, and what each would weigh (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MEGABYTE = 1_000_000
FRAME_BYTES = 150_000  # template, style, script and the tables of facts
PATCH_BYTES = 130  # numbers of one patch beside its picture and its words
DOT_BYTES = 18  # one patch that is only a dot in the map
MAX_DOTS = 20_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One compromise between how many patches a page holds and how well it shows them."""

    n_clusters: int  # per label
    n_members: int  # per cluster
    n_controls: int  # random, and as many least typical, per label
    side: int  # whole images: longer side in pixels
    quality: int  # whole images: JPEG quality
    grid: int  # heat-maps: cells a side


# From all one can wish for down to what 1,000 labels can afford. On the last rungs not every
# patch finds its whole image in the file: the page then says so.
LADDER = tuple(
    Plan(n_clusters=c, n_members=m, n_controls=r, side=s, quality=q, grid=g)
    for c, m, r, s, q, g in (
        (999, 999, 96, 480, 82, 48),
        (64, 40, 48, 480, 80, 48),
        (48, 32, 40, 480, 76, 48),
        (32, 24, 32, 480, 72, 32),
        (32, 20, 24, 420, 70, 32),
        (32, 16, 24, 360, 66, 32),
        (32, 12, 16, 320, 62, 24),
        (24, 12, 16, 320, 58, 24),
        (20, 10, 12, 288, 55, 24),
        (16, 8, 10, 256, 52, 16),
        (12, 8, 8, 240, 50, 16),
        (8, 8, 8, 224, 48, 16),
        (6, 8, 8, 200, 46, 16),
        (6, 6, 6, 200, 44, 16),
        (6, 6, 4, 180, 42, 16),
        (5, 5, 4, 180, 42, 16),
        (4, 4, 4, 180, 42, 12),
        (3, 4, 2, 180, 42, 12),
        (2, 3, 1, 160, 40, 12),
        (1, 3, 0, 160, 40, 12),
        (1, 1, 0, 160, 40, 12),
    )
)
N_FULL_RUNGS = len(LADDER) - 7  # of these every patch has its whole image
PATCH_SHARE = 0.7  # on the other rungs: what patches may fill, so that some images find room


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """All patches of one label by row number, in the order in which they may be kept."""

    clusters: tuple[tuple[int, ...], ...]  # by cluster rank; members closest first
    random: tuple[int, ...]
    negative: tuple[int, ...]

    def cut(self, plan: Plan) -> Shelf:
        """What `plan` keeps of this label."""
        return Shelf(
            clusters=tuple(rows[: plan.n_members] for rows in self.clusters[: plan.n_clusters]),
            random=self.random[: plan.n_controls],
            negative=self.negative[: plan.n_controls],
        )

    def rows(self) -> Iterator[int]:
        """All rows: clusters in order, then the controls."""
        for cluster in self.clusters:
            yield from cluster
        yield from self.random
        yield from self.negative


def by_importance(shelves: Sequence[Shelf]) -> Iterator[int]:
    """Rows of all labels, the first members of every cluster before the second ones."""
    clusters = [rows for shelf in shelves for rows in shelf.clusters]
    controls = [rows for shelf in shelves for rows in (shelf.random, shelf.negative)]
    yield from _in_turn(clusters)
    yield from _in_turn(controls)


def _in_turn(lists: Sequence[tuple[int, ...]]) -> Iterator[int]:
    for position in range(max(map(len, lists), default=0)):
        for rows in lists:
            if position < len(rows):
                yield rows[position]
